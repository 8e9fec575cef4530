# UTF-8 looked at in place: whether bytes are well formed (Unicode 15, table 3-7: no overlong forms, no surrogates), and
# whether they are plain ASCII that every header, property and attribute may carry. Inline, without the GIL.

from libc.stdint cimport uint64_t
from libc.string cimport memcpy


cdef inline Py_ssize_t ascii_run(const unsigned char* p, Py_ssize_t size) noexcept nogil:
    """How many bytes from the start are ASCII, to within a word: at most the true number."""
    cdef Py_ssize_t at = 0
    cdef uint64_t word
    while size - at >= 8:
        memcpy(&word, p + at, 8)
        if word & 0x8080808080808080ULL:
            break
        at += 8
    return at


cdef inline Py_ssize_t utf8_fault(const unsigned char* p, Py_ssize_t size) noexcept nogil:
    """Where the first character that is not well formed begins, or -1 when all are."""
    cdef Py_ssize_t at = 0
    cdef unsigned char lead, low, high
    cdef int more, i
    while True:
        at += ascii_run(p + at, size - at)
        while at < size and p[at] < 0x80:
            at += 1
        if at >= size:
            return -1
        lead = p[at]
        low = 0x80
        high = 0xBF
        if 0xC2 <= lead <= 0xDF:
            more = 1
        elif 0xE0 <= lead <= 0xEF:
            more = 2
            if lead == 0xE0:
                low = 0xA0
            elif lead == 0xED:
                high = 0x9F
        elif 0xF0 <= lead <= 0xF4:
            more = 3
            if lead == 0xF0:
                low = 0x90
            elif lead == 0xF4:
                high = 0x8F
        else:
            return at
        if size - at <= more:
            return at
        for i in range(1, more + 1):
            if not low <= p[at + i] <= high:
                return at
            low = 0x80
            high = 0xBF
        at += more + 1


cdef inline bint is_printable_ascii(const unsigned char* p, Py_ssize_t size) noexcept nogil:
    """Whether every byte stands for itself on paper, the space included."""
    cdef Py_ssize_t at = 0
    cdef uint64_t word, odd = 0
    while size - at >= 8:
        memcpy(&word, p + at, 8)
        odd |= word | (word - 0x2020202020202020ULL) | (word + 0x0101010101010101ULL)  # the top bit of any byte that is none
        at += 8
    if size >= 8:  # the last ones, some of them again
        memcpy(&word, p + size - 8, 8)
        odd |= word | (word - 0x2020202020202020ULL) | (word + 0x0101010101010101ULL)
        return not odd & 0x8080808080808080ULL
    while at < size:
        if p[at] < 32 or p[at] > 126:
            return False
        at += 1
    return True
