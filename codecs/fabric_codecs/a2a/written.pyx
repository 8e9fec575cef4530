# Everything here is for other Cython modules; see written.pxd.
# Messages of A2A written: what is known of an envelope, the one part, the metadata, and what else several messages have. Below
# `lower` and `events`.

from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.string cimport strlen

from fabric_codecs.core.base64 cimport put_base64
from fabric_codecs.core.canonical cimport BINARY, JSON, TEXT, Canonical, Place, data_of, has, says
from fabric_codecs.core.jsondata cimport has_typed_id, judge
from fabric_codecs.core.jsonlower cimport (
    Rooms, displace, drop_comma, has_member, put_own_id, put_place, put_room, put_spliced, put_told, sort_natives, with_guess,
    with_unplaced,
)
from fabric_codecs.core.jsonwrite cimport put_string
from fabric_codecs.core.marks cimport (
    CORRELATIONID, DATACONTENTTYPE, EXPIRYTIME, FABCORR, FABKIND, FABMETHOD, FABVER, ID,
)
from fabric_codecs.core.writer cimport Writer, put, put_u8, reserve

from fabric_codecs.a2a.numbers import survives_doubles
from fabric_codecs.core.jsonscan import scan
from fabric_codecs.errors import CodecError
from fabric_codecs.losses import Loss, LossCode

cdef enum:
    NO_ROOM = 1 << 30  # longer than any name
cdef const char* room_names[ROOMS]
room_names[:] = [b"rpc/", b"metadata/", b"message/", b"params/", b"request/", b"result/"]
cdef frozenset OLD_KINDS = frozenset(("task", "message", "status-update", "artifact-update"))
cdef object EXPIRY_UNENFORCED = Loss(
    LossCode.EXPIRY_UNENFORCED, "expirytime", "told in metadata; an A2A message does not expire"
)


cdef tuple open_lowering(Lowering* l, Canonical* c, str task_id, str context_id, tuple losses):
    """What is known of the message, and what is lost whatever it becomes. The ids are those of the caller, who keeps them."""
    l.c = c
    reserve(&l.out, c.data.size + FRAME_BYTES)
    judge(&l.shape, c, b"application/a2a+json", 20)
    l.is_old = is_old(l)
    l.is_raw = l.shape.long_numbers and l.shape.form <= JSON and not survives_doubles(data_of(c))
    place_of(&l.task, task_id)
    place_of(&l.context, context_id)
    losses = with_guess(&l.shape, losses)
    return (*losses, EXPIRY_UNENFORCED) if has(c, EXPIRYTIME) else losses


cdef bint is_old(Lowering* l) except -1:
    """Whether something whole is spelled as 0.3 has it."""
    if not l.shape.is_whole or says(l.c, FABVER, b"1.0", 3):
        return False
    return says(l.c, FABVER, b"0.3", 3) or is_old_kind(scan(data_of(l.c), protocol="a2a"))


cdef bint is_old_kind(object body):
    """Whether an object says what it is as 0.3 does. (It has come by another protocol, which told no version.)"""
    return body.kind("kind") == "string" and body.text("kind") in OLD_KINDS


cdef int sort_rooms(Lowering* l, int there) except -1:
    """Which native entries go back to where they came from; `there` has a bit for each room that the message has."""
    cdef Rooms rooms
    cdef int room
    if not l.c.natives:
        return 0
    rooms.count = ROOMS
    for room in range(ROOMS):
        rooms.name[room] = room_names[room]
        rooms.size[room] = strlen(room_names[room]) if there >> room & 1 else NO_ROOM
    return sort_natives(l.c, &rooms)


# ---- texts


cdef int place_of(Place* text, str given) except -1:
    text.text = NULL
    if given is not None:
        try:
            text.text = <const unsigned char*>PyUnicode_AsUTF8AndSize(given, &text.size)
        except UnicodeEncodeError as error:
            raise CodecError("a lone surrogate is no text", protocol="a2a", clause="RFC 7493 2.1") from error
    return 0


cdef int put_str(Writer* w, str text) except -1:
    """A text as a JSON string."""
    cdef Place utf8
    place_of(&utf8, text)
    return put_place(w, &utf8)


cdef bint knows(const Lowering* l, const Place* given, int which) noexcept nogil:
    return given.text != NULL or has(l.c, which)


cdef int put_known(Lowering* l, const Place* given, int which) except -1:
    """What the caller calls it, else the attribute, as a JSON string."""
    return put_place(&l.out, given if given.text != NULL else &l.c.known[which])


cdef int put_context(Lowering* l) except -1:
    """`,"contextId":...` when the conversation is known."""
    if not knows(l, &l.context, CORRELATIONID):
        return 0
    put(&l.out, b',"contextId":', 13)
    return put_known(l, &l.context, CORRELATIONID)


# ---- the one part


cdef int put_part(Lowering* l) except -1:
    """The data; a content type that it cannot say is told by a mark."""
    if l.is_raw or l.shape.form == BINARY:
        put(&l.out, b'{"raw":"', 8)
        put_base64(&l.out, l.c.data.text, l.c.data.size)
        put_u8(&l.out, c'"')
    elif l.shape.form == TEXT:
        put(&l.out, b'{"text":', 8)
        put_string(&l.out, l.c.data.text, l.c.data.size)
    else:
        put(&l.out, b'{"data":', 8)
        put(&l.out, l.c.data.text, l.c.data.size)
    if has(l.c, DATACONTENTTYPE):
        put(&l.out, b',"mediaType":', 13)
        put_place(&l.out, &l.c.known[DATACONTENTTYPE])
    elif l.is_raw:
        put(&l.out, b',"mediaType":"application/json"', 31)
    return put_u8(&l.out, c"}")


# ---- metadata


cdef Py_ssize_t open_metadata(Lowering* l) except -1:
    """Where metadata begin; what is put there before `close_metadata` begins with a comma."""
    put(&l.out, b',"metadata":{', 13)
    return l.out.size


cdef int close_metadata(Lowering* l, Py_ssize_t start, tuple lost, unsigned long long skip) except -1:
    """The rest of `,"metadata":{...}`: marks, losses, and what was kept; nothing at all when there is nothing to say."""
    put_told(&l.out, l.c, skip | 1ULL << ID | 1ULL << DATACONTENTTYPE, lost, True, METADATA)
    return end_metadata(l, start)


cdef int end_metadata(Lowering* l, Py_ssize_t start) except -1:
    if l.out.size == start:
        l.out.size = start - 13
        return 0
    drop_comma(&l.out, start)
    return put_u8(&l.out, c"}")


cdef int put_told_id(Lowering* l) except -1:
    """An event has no id of its own."""
    put(&l.out, b',"io.agentfabric/id":', 21)
    return put_own_id(&l.out, l.c)


# ---- messages


cdef int put_message(Lowering* l, tuple lost, bint is_plain, bint sends) except -1:
    """A message of one part. `is_plain` when its place says the kind, `sends` when its method is said too."""
    cdef bint answers = says(l.c, FABKIND, b"response", 8)
    cdef unsigned long long skip = 0
    make_way(l, answers)
    put(&l.out, b'{"messageId":', 13)
    put_own_id(&l.out, l.c)
    if not has_member(l.c, MESSAGE, b"role", 4):
        put_role(l, answers)
    if put_message_context(l):
        skip |= 1ULL << CORRELATIONID
    if answers and l.task.text != NULL:
        put(&l.out, b',"taskId":', 10)
        put_place(&l.out, &l.task)
    put(&l.out, b',"parts":[', 10)
    put_part(l)
    put_u8(&l.out, c"]")
    put_room(&l.out, l.c, MESSAGE)
    if is_plain:
        skip |= 1ULL << FABKIND
    if sends:
        skip |= 1ULL << FABMETHOD
    if has_typed_id(l.c):  # which is the JSON-RPC id already
        skip |= 1ULL << FABCORR
    close_metadata(l, open_metadata(l), lost, skip)
    return put_u8(&l.out, c"}")


cdef int make_way(Lowering* l, bint answers) noexcept nogil:
    """Members that are written of something else are none of the kept ones."""
    displace(l.c, MESSAGE, b"messageId", 9)
    displace(l.c, MESSAGE, b"parts", 5)
    displace(l.c, MESSAGE, b"metadata", 8)
    if answers and l.task.text != NULL:
        displace(l.c, MESSAGE, b"taskId", 6)
    if l.context.text != NULL:
        displace(l.c, MESSAGE, b"contextId", 9)
    return 0


cdef int put_role(Lowering* l, bint answers) except -1:
    return put(&l.out, b',"role":"ROLE_AGENT"', 20) if answers else put(&l.out, b',"role":"ROLE_USER"', 19)


cdef bint put_message_context(Lowering* l) except -1:
    """Whether the context says the conversation: it does not when the message has one of its own, kept beside a mark."""
    cdef const Place* given = &l.context
    if has_member(l.c, MESSAGE, b"contextId", 9):
        return False
    put_context(l)
    return given.text == NULL or says(l.c, CORRELATIONID, <const char*>given.text, given.size)


cdef tuple put_whole(Lowering* l, tuple lost):
    """Data that are something whole; what is lost now."""
    lost = with_unplaced(l.c, lost)
    put_spliced(&l.out, l.c, "metadata", lost, True)
    return lost


cdef tuple put_item(Lowering* l, tuple lost):
    """Something whole in its place in a StreamResponse, which the method names."""
    cdef const Place* name = &l.c.known[FABMETHOD]
    displace(l.c, RESULT, <const char*>name.text, name.size)
    put_u8(&l.out, c"{")
    put_place(&l.out, name)
    put_u8(&l.out, c":")
    lost = put_whole(l, lost)
    put_room(&l.out, l.c, RESULT)
    put_u8(&l.out, c"}")
    return lost
