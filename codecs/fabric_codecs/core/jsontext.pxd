# The leaves of JSON's grammar, for jsonscan: space, words, numbers and strings (RFC 8259, 3 to 7; UTF-8 as Unicode 15
# has it; surrogates as I-JSON, RFC 7493, wants them). A Scan is a window on memory that somebody else keeps alive. Each
# `skip_` moves `at` behind what it names and returns True, or leaves the first fault and returns False. Without the GIL.

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #ifdef __SSE2__
    #include <emmintrin.h>
    #endif

    /* How many bytes from the start stand for themselves inside a JSON string: ASCII without controls, quote and backslash.
       Sixteen at a time, else eight (the usual tests for "a byte is below n" and "a byte is zero"), then one by one. */
    static inline Py_ssize_t fab_plain_run(const unsigned char *p, Py_ssize_t size) {
        Py_ssize_t at = 0;
    #ifdef __SSE2__
        const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8(92), space = _mm_set1_epi8(32);
        while (size - at >= 16) {
            __m128i c = _mm_loadu_si128((const __m128i *)(p + at));
            /* signed: everything from 0x80 on is below the space too */
            __m128i odd = _mm_or_si128(_mm_cmplt_epi8(c, space), _mm_or_si128(_mm_cmpeq_epi8(c, quote), _mm_cmpeq_epi8(c, slash)));
            int mask = _mm_movemask_epi8(odd);
            if (mask) return at + __builtin_ctz((unsigned)mask);
            at += 16;
        }
    #endif
        const uint64_t ones = 0x0101010101010101ULL, tops = 0x8080808080808080ULL;
        while (size - at >= 8) {
            uint64_t c, q, b;
            memcpy(&c, p + at, 8);
            q = c ^ ones * '"';
            b = c ^ ones * 92;
            if ((c | ((c - ones * 32) & ~c) | ((q - ones) & ~q) | ((b - ones) & ~b)) & tops) break;
            at += 8;
        }
        while (at < size && p[at] >= 32 && p[at] < 128 && p[at] != '"' && p[at] != 92) at++;
        return at;
    }
    """
    Py_ssize_t plain_run "fab_plain_run" (const unsigned char* p, Py_ssize_t size) noexcept nogil


cdef enum:
    DOUBLE_CHARS = 15  # a decimal this short is the same after a double has held it (C's DBL_DIG)


cdef struct Scan:
    const unsigned char* base
    Py_ssize_t at
    Py_ssize_t end
    int depth_left
    bint long_numbers  # whether a number was met that a double may not hold; the caller clears it
    const char* problem  # NULL while all is well; then the first fault, and `at` is its place
    const char* clause


cdef inline bint fault(Scan* s, const char* problem, const char* clause) noexcept nogil:
    s.problem = problem
    s.clause = clause
    return False


cdef inline void skip_space(Scan* s) noexcept nogil:
    cdef unsigned char c
    while s.at < s.end:
        c = s.base[s.at]
        if c != c" " and c != c"\n" and c != c"\r" and c != c"\t":
            return
        s.at += 1


cdef inline unsigned char peek(Scan* s) noexcept nogil:
    """The next byte, or 0 (which no JSON text has outside a string) at the end."""
    return s.base[s.at] if s.at < s.end else 0


cdef inline bint is_digit(unsigned char c) noexcept nogil:
    return c"0" <= c <= c"9"


cdef inline bint skip_word(Scan* s, const char* word, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(size):
        if peek(s) != <unsigned char>word[i]:
            return fault(s, b"neither true, false nor null", b"RFC 8259 3")
        s.at += 1
    return True


cdef inline bint skip_digits(Scan* s) noexcept nogil:
    if not is_digit(peek(s)):
        return fault(s, b"a number needs a digit here", b"RFC 8259 6")
    while is_digit(peek(s)):
        s.at += 1
    return True


cdef inline bint skip_number(Scan* s) noexcept nogil:
    cdef Py_ssize_t start = s.at
    if not skip_decimal(s):
        return False
    if s.at - start > DOUBLE_CHARS:
        s.long_numbers = True
    if peek(s) == c"e" or peek(s) == c"E":
        s.long_numbers = True
        s.at += 1
        if peek(s) == c"+" or peek(s) == c"-":
            s.at += 1
        return skip_digits(s)
    return True


cdef inline bint skip_decimal(Scan* s) noexcept nogil:
    if peek(s) == c"-":
        s.at += 1
    if peek(s) == c"0":
        s.at += 1
        if is_digit(peek(s)):
            return fault(s, b"a number has a leading zero", b"RFC 8259 6")
    elif not skip_digits(s):
        return False
    if peek(s) == c".":
        s.at += 1
        return skip_digits(s)
    return True


cdef inline int hex4(Scan* s) noexcept nogil:
    """The value of the four hexadecimal digits at `at`, or -1."""
    cdef int value = 0
    cdef int i
    cdef unsigned char c
    for i in range(4):
        c = peek(s)
        if is_digit(c):
            value = value * 16 + (c - c"0")
        elif c"a" <= (c | 0x20) <= c"f":
            value = value * 16 + ((c | 0x20) - c"a" + 10)
        else:
            fault(s, b"\\u needs four hexadecimal digits", b"RFC 8259 7")
            return -1
        s.at += 1
    return value


cdef inline bint skip_escape(Scan* s) noexcept nogil:
    """Behind a backslash."""
    cdef unsigned char c = peek(s)
    cdef int unit
    if c == c'"' or c == c"\\" or c == c"/" or c == c"b" or c == c"f" or c == c"n" or c == c"r" or c == c"t":
        s.at += 1
        return True
    if c != c"u":
        return fault(s, b"an escape that JSON does not have", b"RFC 8259 7")
    s.at += 1
    unit = hex4(s)
    if unit < 0:
        return False
    if 0xDC00 <= unit <= 0xDFFF:
        return fault(s, b"an escaped low surrogate without its high half", b"RFC 7493 2.1")
    if 0xD800 <= unit <= 0xDBFF:
        if s.end - s.at < 2 or s.base[s.at] != c"\\" or s.base[s.at + 1] != c"u":
            return fault(s, b"an escaped high surrogate without its low half", b"RFC 7493 2.1")
        s.at += 2
        unit = hex4(s)
        if unit < 0:
            return False
        if not 0xDC00 <= unit <= 0xDFFF:
            return fault(s, b"an escaped high surrogate without its low half", b"RFC 7493 2.1")
    return True


cdef inline bint skip_utf8(Scan* s) noexcept nogil:
    """One character of two to four bytes: Unicode 15, table 3-7, well-formed UTF-8."""
    cdef unsigned char lead = s.base[s.at]
    cdef unsigned char low = 0x80
    cdef unsigned char high = 0xBF
    cdef int more
    if 0xC2 <= lead <= 0xDF:
        more = 1
    elif 0xE0 <= lead <= 0xEF:
        more = 2
        if lead == 0xE0:
            low = 0xA0  # shorter forms exist
        elif lead == 0xED:
            high = 0x9F  # surrogates
    elif 0xF0 <= lead <= 0xF4:
        more = 3
        if lead == 0xF0:
            low = 0x90  # shorter forms exist
        elif lead == 0xF4:
            high = 0x8F  # above U+10FFFF
    else:
        return fault(s, b"a byte that cannot start a UTF-8 character", b"RFC 8259 8.1")
    s.at += 1
    while more > 0:
        if s.at >= s.end or not low <= s.base[s.at] <= high:
            return fault(s, b"a UTF-8 character that is cut short or not well formed", b"RFC 8259 8.1")
        low = 0x80
        high = 0xBF
        s.at += 1
        more -= 1
    return True


cdef inline bint skip_string(Scan* s, bint* escaped) noexcept nogil:
    """A string with its quotes; `escaped` says whether it holds an escape."""
    cdef unsigned char c
    escaped[0] = False
    s.at += 1
    while True:
        s.at += plain_run(s.base + s.at, s.end - s.at)
        if s.at >= s.end:
            break
        c = s.base[s.at]
        if c == c'"':
            s.at += 1
            return True
        if c == c"\\":
            escaped[0] = True
            s.at += 1
            if not skip_escape(s):
                return False
        elif c < 0x20:
            return fault(s, b"a control character inside a string", b"RFC 8259 7")
        elif not skip_utf8(s):
            return False
    return fault(s, b"the document ends inside a string", b"RFC 8259 7")
