# Topics and channels in place: the common case, in which a topic's levels need no escapes and `/` only becomes `.`; every
# other is `fabric_codecs.names`', which also says what is wrong with a name.

cdef enum:
    LEVELS_MAX = 16  # bounds.CHANNEL_LEVELS_MAX
    LEVEL_BYTES_MAX = 256
    NAME_BYTES_MAX = 1024


cdef inline bint is_plain(unsigned char c) noexcept nogil:
    """A byte that is the same in a topic, in a channel, and as a header value."""
    cdef unsigned long long special = (1ULL << 33) - 1 | (  # below 64: controls, the space and these
        1ULL << c'"' | 1ULL << c"#" | 1ULL << c"%" | 1ULL << c"*" | 1ULL << c"+" | 1ULL << c"." | 1ULL << c"/" | 1ULL << c">"
    )
    return c < 127 if c >= 64 else not special >> c & 1


cdef inline bint swap_levels(
    const unsigned char* name, Py_ssize_t size, unsigned char mark, unsigned char other, unsigned char* to
) noexcept nogil:
    """The name with another mark between its levels, into `to` (NAME_BYTES_MAX bytes); False when it is not that simple."""
    cdef Py_ssize_t at, level = 0
    cdef int levels = 1
    if size == 0 or size > NAME_BYTES_MAX:
        return False
    for at in range(size):
        if name[at] == mark:
            if at == level or at - level > LEVEL_BYTES_MAX:
                return False
            level = at + 1
            levels += 1
            to[at] = other
        elif is_plain(name[at]):
            to[at] = name[at]
        else:
            return False
    return levels <= LEVELS_MAX and size > level and size - level <= LEVEL_BYTES_MAX
