# Timestamps as CloudEvents carry them: RFC 3339, `2026-11-21T06:56:46.123456Z`. Inline, without the GIL.

from libc.stdint cimport int64_t

from fabric_codecs.core.writer cimport Writer, reserve

cdef enum:
    SECOND_CHARS = 19
    TIMESTAMP_CHARS = 27


cdef inline int64_t floored(int64_t value, int64_t by) noexcept nogil:
    # C divides towards zero, which for a time before 1970 is the wrong day.
    return value // by if value >= 0 else -((by - 1 - value) // by)


cdef inline void two(char* target, int value) noexcept nogil:
    target[0] = 48 + value // 10
    target[1] = 48 + value % 10


cdef inline void render_second(char* target, int64_t second) noexcept nogil:
    """Nineteen characters, without fraction and zone. Civil date from days since 1970-01-01, proleptic Gregorian
    (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms"). Years 1 to 9999."""
    cdef int64_t days = floored(second, 86400)
    cdef int clock = <int>(second - days * 86400)
    cdef int64_t shifted = days + 719468
    cdef int64_t era = shifted // 146097
    cdef int day_of_era = <int>(shifted - era * 146097)
    cdef int year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    cdef int day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    cdef int month_shifted = (5 * day_of_year + 2) // 153
    cdef int day = day_of_year - (153 * month_shifted + 2) // 5 + 1
    cdef int month = month_shifted + 3 if month_shifted < 10 else month_shifted - 9
    cdef int year = <int>(year_of_era + era * 400) + (1 if month <= 2 else 0)
    two(target, year // 100)
    two(target + 2, year % 100)
    target[4] = 45
    two(target + 5, month)
    target[7] = 45
    two(target + 8, day)
    target[10] = 84
    two(target + 11, clock // 3600)
    target[13] = 58
    two(target + 14, clock // 60 % 60)
    target[16] = 58
    two(target + 17, clock % 60)


cdef inline bint has_form(const unsigned char* text, Py_ssize_t size, const char* form) noexcept nogil:
    """Whether the text is `form`, in which a 0 stands for any digit."""
    cdef Py_ssize_t at
    for at in range(size):
        if form[at] == 48:
            if text[at] < 48 or text[at] > 57:
                return False
        elif text[at] != form[at]:
            return False
    return form[size] == 0


cdef inline bint is_timestamp(const unsigned char* text, Py_ssize_t size) noexcept nogil:
    """Whether it is written as a timestamp; that there is such a day is not asked."""
    cdef Py_ssize_t at = 19
    if size < 20 or not has_form(text, 19, b"0000-00-00T00:00:00"):
        return False
    if text[at] == 46:
        at += 1
        while at < size and 48 <= text[at] <= 57:
            at += 1
        if at == 20:
            return False
    if size - at == 1:
        return text[at] == 90
    return size - at == 6 and (has_form(text + at, 6, b"+00:00") or has_form(text + at, 6, b"-00:00"))


cdef inline void render_fraction(char* target, int fraction) noexcept nogil:
    """`.459455Z` into 8 characters."""
    cdef int at
    target[0] = 46
    for at in range(6, 0, -1):
        target[at] = 48 + fraction % 10
        fraction //= 10
    target[7] = 90


cdef inline int put_timestamp(Writer* w, int64_t time_us) except -1 nogil:
    """`2026-11-21T03:56:33.459455Z`. Years 1 to 9999."""
    cdef int64_t second = floored(time_us, 1000000)
    reserve(w, TIMESTAMP_CHARS)
    render_second(<char*>w.data + w.size, second)
    render_fraction(<char*>w.data + w.size + SECOND_CHARS, <int>(time_us - second * 1000000))
    w.size += TIMESTAMP_CHARS
    return 0


cdef inline int digits(const unsigned char* p, int count) noexcept nogil:
    """The number in `count` digits, or -1."""
    cdef int value = 0, at
    for at in range(count):
        if p[at] < 48 or p[at] > 57:
            return -1
        value = value * 10 + (p[at] - 48)
    return value


cdef inline bint read_timestamp(const unsigned char* p, Py_ssize_t size, int64_t* time_us) noexcept nogil:
    """The moment that the text is. False when it is not in the form that nearly everybody writes: UTC as Z; no, three or six
    decimals; a day up to the 28th. Whether another text is a moment is for the standard library to say."""
    cdef int year, month, day, hour, minute, second, fraction = 0
    cdef int64_t era, days
    if size != 20 and size != 24 and size != 27:
        return False
    if p[4] != 45 or p[7] != 45 or p[10] != 84 or p[13] != 58 or p[16] != 58 or p[size - 1] != 90:
        return False
    year = digits(p, 4)
    month = digits(p + 5, 2)
    day = digits(p + 8, 2)
    hour = digits(p + 11, 2)
    minute = digits(p + 14, 2)
    second = digits(p + 17, 2)
    if size > 20:
        fraction = digits(p + 20, <int>size - 21) if p[19] == 46 else -1
        if size == 24:
            fraction *= 1000
    if year < 1 or month < 1 or month > 12 or day < 1 or day > 28 or fraction < 0:
        return False
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 59:
        return False
    if month <= 2:
        year -= 1
    era = year // 400
    days = (year - era * 400) * 365 + (year - era * 400) // 4 - (year - era * 400) // 100
    days += (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    days += era * 146097 - 719468
    time_us[0] = ((days * 24 + hour) * 60 + minute) * 60 + second
    time_us[0] = time_us[0] * 1000000 + fraction
    return True
