# What a Canonical says, written as members of a JSON message: attributes as marks (see `marks`), losses, and native entries, put
# back where their names say they came from or listed in `io.agentfabric/native`. Also the JSON-RPC id, and what both codecs lose.
#
# In: a Canonical. Out: members into a Writer, each with a comma before it. Above: the lowers of MCP and A2A. Below: `jsondata`.

from libc.string cimport memchr, memcmp, memmove

import msgspec

from fabric_codecs.core.base64 cimport put_base64
from fabric_codecs.core.canonical cimport CONVERSATION, Canonical, Native, Place, data_of, has, is_legal, is_usual_type
from fabric_codecs.core.jsondata cimport Shape, is_json, put_raw, put_typed_id
from fabric_codecs.core.jsonwrite cimport put_inner, put_string
from fabric_codecs.core.marks cimport ATTRIBUTES_COUNT, FABLIVE, FABLOSS, ID, TYPE, Lead, attribute_of, is_reserved, leads
from fabric_codecs.core.utf8 cimport utf8_fault
from fabric_codecs.core.writer cimport Writer, put, put_u8

from fabric_codecs.bounds import CONVERSATION_CHARS_MAX
from fabric_codecs.core.jsonscan import scan
from fabric_codecs.errors import CodecError
from fabric_codecs.losses import Loss, LossCode, loss_codes

cdef enum:
    PREFIX_BYTES = 15
    PLACED_MAX = 32  # entries that go back to their rooms: an object of more than twice as many is not looked into again
cdef const char* PREFIX = b"io.agentfabric/"
cdef const Lead* LEADS = leads()


cdef int put_place(Writer* w, const Place* text) except -1:
    """A JSON string."""
    return put_string(w, text.text, text.size)


# ---- ids


cdef int put_id(Writer* w, const Canonical* c, bytes request_id) except -1:
    """`,"id":...` of JSON-RPC: the caller's, else the one in `fabcorr`, else the envelope's own."""
    put(w, b',"id":', 6)
    if request_id is not None:
        return put_raw(w, request_id)
    return 0 if put_typed_id(w, c) else put_own_id(w, c)


cdef int put_own_id(Writer* w, const Canonical* c) except -1:
    return put_place(w, &c.known[ID]) if has(c, ID) else put(w, b'""', 2)


# ---- metadata


cdef int put_told(
    Writer* w, const Canonical* c, unsigned long long skip, tuple losses, bint in_words, int room
) except -1:
    """What an object of metadata says: marks, losses, the entries of its `room` and those of none, each with a comma before it."""
    skip |= 1ULL << FABLIVE
    if is_usual_type(c):
        skip |= 1ULL << TYPE
    put_marks(w, c, skip)
    put_losses(w, c, losses, in_words)
    put_room(w, c, room)
    return put_rest(w, c)


cdef int drop_comma(Writer* w, Py_ssize_t start) except -1:
    """Before the first member of an object that was opened at `start`."""
    if w.size > start and w.data[start] == c",":
        w.size -= 1
        memmove(w.data + start, w.data + start + 1, w.size - start)
    return 0


# ---- marks


cdef int put_marks(Writer* w, const Canonical* c, unsigned long long skip) except -1:
    """`,"io.agentfabric/<attribute>":"<value>"` for each that is there and not in `skip`; losses are written by `put_losses`."""
    cdef int at
    skip |= 1ULL << FABLOSS
    for at in range(ATTRIBUTES_COUNT):
        if has(c, at) and not skip >> at & 1:
            if CONVERSATION >> at & 1 and not is_legal(at, c.known[at].text, c.known[at].size):
                raise no_mark(c, at)
            put(w, LEADS[at].mark, LEADS[at].mark_size)
            put_inner(w, c.known[at].text, c.known[at].size)
            put_u8(w, c'"')
    for at in range(c.others):
        put(w, b',"io.agentfabric/', 2 + PREFIX_BYTES)
        if is_reserved(c.other[at].name.text, c.other[at].name.size):
            put(w, b"ce-", 3)
        put(w, c.other[at].name.text, c.other[at].name.size)
        put(w, b'":', 2)
        put_place(w, &c.other[at].value)
    return 0


cdef object no_mark(const Canonical* c, int which):
    """Its reader would refuse it."""
    return CodecError(
        f"{LEADS[which].name.decode()} of {c.known[which].size} bytes is no text of 1 to {CONVERSATION_CHARS_MAX} characters",
        protocol="envelope", clause="CloudEvents 1.0.2, Type System",
    )


# ---- losses


cdef object NOT_JSON = Loss(LossCode.CONTENT_TYPE_GUESSED, "data", "said to be JSON, and is none: sent as text or bytes")
cdef object NATIVES_LOST = Loss(LossCode.NO_METADATA, "native", "a message that came whole has no place for other headers")


cdef tuple with_guess(const Shape* shape, tuple losses):
    return (*losses, NOT_JSON) if shape.is_guessed else losses


cdef tuple with_unplaced(const Canonical* c, tuple losses):
    """What is lost of the native entries when a message has no metadata of the fabric's."""
    cdef int at
    for at in range(c.natives):
        if c.native[at].place == NOWHERE:
            return (*losses, NATIVES_LOST)
    return losses


cdef str losses_before(const Canonical* c):
    return (<const char*>c.known[FABLOSS].text)[:c.known[FABLOSS].size].decode() if has(c, FABLOSS) else ""


cdef list loss_entries(str codes, tuple losses, bint in_words):
    """Earlier codes, then those of this step; `in_words` tells the latter with field and outcome, as A2A's extension has it."""
    if not in_words:
        return [code for code in loss_codes(losses, codes).split(",") if code]
    return [{"code": code} for code in codes.split(",") if code] + [
        {"code": one.code, "field": one.field, "outcome": one.outcome} for one in losses
    ]


cdef int put_losses(Writer* w, const Canonical* c, tuple losses, bint in_words) except -1:
    """`,"io.agentfabric/loss":[...]`, earlier ones first; nothing when nothing was lost."""
    cdef const Place* before = &c.known[FABLOSS]
    if not losses and not has(c, FABLOSS):
        return 0
    put(w, b',"io.agentfabric/loss":', 23)
    if losses or before.size == 0 or memchr(before.text, c",", before.size) != NULL:
        return put_raw(w, msgspec.json.encode(loss_entries(losses_before(c), losses, in_words)))
    put(w, b'[{"code":' if in_words else b"[", 9 if in_words else 1)  # one, which is what most have
    put_place(w, before)
    return put(w, b"}]" if in_words else b"]", 2 if in_words else 1)


cdef int put_spliced(Writer* w, const Canonical* c, str room, tuple losses, bint in_words) except -1:
    """Data that are something whole, with what was lost told in its `room` (`_meta`, `metadata`). Every other byte stays; all do
    when it is told there already."""
    if not losses and not has(c, FABLOSS):
        return put(w, c.data.text, c.data.size)
    return put_raw(w, with_losses(data_of(c), room, losses_before(c), losses, in_words))


cdef bytes with_losses(bytes raw, str room, str earlier, tuple losses, bint in_words):
    body = scan(raw)
    inner = body.object(room) if body.kind(room) == "object" else None
    told = [] if inner is None else told_in(inner.get("io.agentfabric/loss"))
    codes = [one.get("code") if type(one) is dict else one for one in told]
    before = ",".join([code for code in earlier.split(",") if code not in codes])
    fresh = tuple([one for one in losses if one.code not in codes])
    if not before and not fresh:
        return raw
    entries = msgspec.json.encode(told + loss_entries(before, fresh, in_words))
    if inner is None:
        return body.splice(room, b'{"io.agentfabric/loss":' + entries + b"}")
    return body.splice(room, inner.splice("io.agentfabric/loss", entries))


cdef list told_in(bytes raw):
    told = msgspec.json.decode(raw) if raw is not None else []
    return told if type(told) is list else []


# ---- native entries


cdef int sort_natives(Canonical* c, const Rooms* rooms) except -1:
    """Note at each entry which room it goes back to: one whose name begins with the room's, whose value is JSON, and that repeats
    neither another one nor a mark."""
    cdef int at, before, placed = 0
    cdef Native* one
    for at in range(c.natives):
        one = &c.native[at]
        one.place = NOWHERE
        if placed == PLACED_MAX or one.value.text == NULL:
            continue
        one.place = room_of(one, rooms)
        if one.place == NOWHERE:
            continue
        for before in range(at):
            if c.native[before].place == one.place and is_same(&c.native[before], one):
                one.place = NOWHERE
                break
        if one.place != NOWHERE and is_told(c, one):
            one.place = NOWHERE
        placed += one.place != NOWHERE
    return 0


cdef int room_of(Native* one, const Rooms* rooms) except -2:
    """The room that the name begins with; the name is then what comes after."""
    cdef int room
    for room in range(rooms.count):
        if one.room_size:  # from a lift of JSON: its value is a member's
            if one.room_size == rooms.size[room] and memcmp(one.room, rooms.name[room], one.room_size) == 0:
                return room
        elif one.name.size >= rooms.size[room] and memcmp(one.name.text, rooms.name[room], rooms.size[room]) == 0:
            if not is_json(one.value.text, one.value.size):
                return NOWHERE
            one.room = rooms.name[room]
            one.room_size = rooms.size[room]
            one.name.text += one.room_size
            one.name.size -= one.room_size
            return room
    return NOWHERE


cdef inline bint is_same(const Native* one, const Native* other) noexcept nogil:
    return one.name.size == other.name.size and memcmp(one.name.text, other.name.text, one.name.size) == 0


cdef bint is_told(const Canonical* c, const Native* one) except -1:
    """Whether a mark says it."""
    cdef const unsigned char* name = one.name.text + PREFIX_BYTES
    cdef Py_ssize_t size = one.name.size - PREFIX_BYTES
    cdef int which
    if size <= 0 or memcmp(one.name.text, PREFIX, PREFIX_BYTES) != 0:
        return False
    which = attribute_of(name, size)
    return is_reserved(name, size) or (which >= 0 and has(c, which))


cdef bint has_member(const Canonical* c, int room, const char* name, Py_ssize_t size) noexcept nogil:
    """Whether an entry of that name goes back to the room."""
    return find_member(c, room, name, size) >= 0


cdef int displace(Canonical* c, int room, const char* name, Py_ssize_t size) noexcept nogil:
    """Take an entry out of the room, where its name is taken: it is told with those that have none."""
    cdef int at = find_member(c, room, name, size)
    if at >= 0:
        c.native[at].place = NOWHERE
    return 0


cdef int find_member(const Canonical* c, int room, const char* name, Py_ssize_t size) noexcept nogil:
    cdef int at
    for at in range(c.natives):
        if c.native[at].place == room and c.native[at].name.size == size and memcmp(c.native[at].name.text, name, size) == 0:
            return at
    return -1


cdef int put_room(Writer* w, const Canonical* c, int room) except -1:
    """`,"name":value` for each entry of that room."""
    cdef int at
    for at in range(c.natives):
        if c.native[at].place == room:
            put_u8(w, c",")
            put_place(w, &c.native[at].name)
            put_u8(w, c":")
            put(w, c.native[at].value.text, c.native[at].value.size)
    return 0


cdef int put_rest(Writer* w, const Canonical* c) except -1:
    """`,"io.agentfabric/native":[...]` for entries that no room has; nothing when there are none."""
    cdef int at
    cdef bint any_yet = False
    for at in range(c.natives):
        if c.native[at].place == NOWHERE:
            put(w, b"," if any_yet else b',"io.agentfabric/native":[', 1 if any_yet else 26)
            put_native(w, &c.native[at])
            any_yet = True
    return put_u8(w, c"]") if any_yet else 0


cdef int put_native(Writer* w, const Native* one) except -1:
    """`["name","value"]`, `["name",null]`, `["name","dmFsdWU=","base64"]`."""
    put(w, b'["', 2)
    put(w, one.room, one.room_size)
    put_inner(w, one.name.text, one.name.size)
    if one.value.text == NULL:
        return put(w, b'",null]', 7)
    if utf8_fault(one.value.text, one.value.size) < 0:
        put(w, b'","', 3)
        put_inner(w, one.value.text, one.value.size)
        return put(w, b'"]', 2)
    put(w, b'","', 3)
    put_base64(w, one.value.text, one.value.size)
    return put(w, b'","base64"]', 11)
