# What a Canonical says, written as members of a JSON message; see jsonlower.pyx.

from fabric_codecs.core.canonical cimport Canonical, Place
from fabric_codecs.core.jsondata cimport Shape
from fabric_codecs.core.writer cimport Writer

cdef enum:
    ROOMS_MAX = 6
    NOWHERE = -1  # the place of an entry that has no room


cdef struct Rooms:  # the places of a message that native entries may go back to: `_meta/`, `params/` ...
    int count
    const char* name[ROOMS_MAX]
    Py_ssize_t size[ROOMS_MAX]


cdef int put_place(Writer* w, const Place* text) except -1
cdef int put_id(Writer* w, const Canonical* c, bytes request_id) except -1
cdef int put_own_id(Writer* w, const Canonical* c) except -1
cdef int put_told(
    Writer* w, const Canonical* c, unsigned long long skip, tuple losses, bint in_words, int room
) except -1
cdef int drop_comma(Writer* w, Py_ssize_t start) except -1
cdef int put_marks(Writer* w, const Canonical* c, unsigned long long skip) except -1
cdef int put_losses(Writer* w, const Canonical* c, tuple losses, bint in_words) except -1
cdef tuple with_guess(const Shape* shape, tuple losses)
cdef int put_spliced(Writer* w, const Canonical* c, str room, tuple losses, bint in_words) except -1
cdef int sort_natives(Canonical* c, const Rooms* rooms) except -1
cdef bint has_member(const Canonical* c, int room, const char* name, Py_ssize_t size) noexcept nogil
cdef int displace(Canonical* c, int room, const char* name, Py_ssize_t size) noexcept nogil
cdef int put_room(Writer* w, const Canonical* c, int room) except -1
cdef tuple with_unplaced(const Canonical* c, tuple losses)
