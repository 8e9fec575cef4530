# Lowering from an envelope: its attributes where they stand in the header block, written as marks; its native entries, put
# back where their names say they came from. See `marks` for the names.

from base64 import b64encode

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memchr, memcmp, memset

from fabric_codecs.core.base64 cimport put_base64, put_unbase64
from fabric_codecs.core.block cimport (
    Entries, Entry, Line, Lines, entries_of, lines_of, next_entry, next_line, put_unescaped,
)
from fabric_codecs.core.jsontext cimport plain_run
from fabric_codecs.core.jsonwrite cimport put_inner, put_string
from fabric_codecs.core.marks cimport (
    ATTRIBUTES_COUNT, CORRELATIONID, FABLOSS, Value, Lead, attribute_of, is_reserved, leads,
)
from fabric_codecs.core.utf8 cimport utf8_fault
from fabric_codecs.core.writer cimport Writer, put, put_u8, writer_bytes, writer_free, writer_init
from fabric_codecs.envelope cimport Envelope

import msgspec

from fabric_codecs.core.jsonscan import check, quote, scan
from fabric_codecs.errors import CodecError
from fabric_codecs.translate.losses import loss_codes

cdef enum:
    PREFIX_BYTES = 15

cdef const Lead* LEADS = leads()


cdef int read_told(Envelope envelope, Told* told, list kept) except -1:
    """The attributes of an envelope where they stand. `kept` holds what the places point into."""
    cdef bytes block = envelope._block if envelope._attributes is None else envelope.nats_header()
    cdef Lines lines
    cdef Line line
    cdef Value* value
    cdef int which
    memset(told.known, 0, sizeof(told.known))
    told.native.text = NULL
    told.others = 0
    kept.append(block)
    lines_of(&lines, <const unsigned char*>PyBytes_AS_STRING(block), PyBytes_GET_SIZE(block))
    while next_line(&lines, &line):
        if not line.is_attribute:
            if line.name_size == 10 and memcmp(line.name, b"Fab-Native", 10) == 0 and told.native.text == NULL:
                told.native.text = line.value
                told.native.size = line.size
            continue
        which = attribute_of(line.name, line.name_size)
        if which >= 0:
            value = &told.known[which]
        elif line.name_size == 11 and memcmp(line.name, b"specversion", 11) == 0:
            continue
        else:
            value = other_value(told, line.name, line.name_size)
        if value.text == NULL:  # of two lines of one name the first counts
            value.text = line.value
            value.size = line.size
            value.coded = memchr(line.value, c"%", line.size) != NULL
    return 0


cdef Value* other_value(Told* told, const unsigned char* name, Py_ssize_t size) except NULL:
    cdef int at
    for at in range(told.others):
        if told.other_name[at].size == size and memcmp(told.other_name[at].text, name, size) == 0:
            return &told.other[at]
    if told.others == OTHERS_MAX:
        raise CodecError(f"more than {OTHERS_MAX} attributes of other vocabularies", protocol="envelope", clause="OTHERS_MAX")
    at = told.others
    told.others += 1
    told.other_name[at].text = name
    told.other_name[at].size = size
    told.other[at].text = NULL
    return &told.other[at]


cdef bint is_text(const Value* value, const char* text, Py_ssize_t size) noexcept nogil:
    return value.text != NULL and value.size == size and memcmp(value.text, text, size) == 0


cdef int put_value_inner(Writer* w, const Value* value) except -1:
    """A value inside a JSON string. What our writers never write, and peers may, is shown as `Envelope.get` shows it."""
    cdef Writer undone
    cdef bytes text
    if not value.coded:
        if plain_run(value.text, value.size) == value.size:
            return put(w, value.text, value.size)
        text = (<const char*>value.text)[:value.size].decode("latin-1").encode()
        return put_inner(w, <const unsigned char*>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    writer_init(&undone)
    try:
        put_unescaped(&undone, value.text, value.size)
        text = writer_bytes(&undone).decode("utf-8", "replace").encode()
    finally:
        writer_free(&undone)
    return put_inner(w, <const unsigned char*>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))


cdef int put_value_string(Writer* w, const Value* value) except -1:
    put_u8(w, c'"')
    put_value_inner(w, value)
    return put_u8(w, c'"')


cdef int put_marks(Writer* w, Told* told, unsigned long long skip) except -1:
    """`,"io.agentfabric/<attribute>":"<value>"` for each that is there and not in `skip`; losses are written by `put_losses`."""
    cdef int which, at
    skip |= 1ULL << FABLOSS
    for which in range(ATTRIBUTES_COUNT):
        if told.known[which].text != NULL and not skip >> which & 1:
            put(w, LEADS[which].mark, LEADS[which].mark_size)
            put_value_inner(w, &told.known[which])
            put_u8(w, c'"')
    for at in range(told.others):
        put(w, b',"io.agentfabric/', 2 + PREFIX_BYTES)
        put(w, told.other_name[at].text, told.other_name[at].size)
        put(w, b'":', 2)
        put_value_string(w, &told.other[at])
    return 0


cdef str losses_before(Told* told):
    cdef Value* before = &told.known[FABLOSS]
    return "" if before.text == NULL else (<const char*>before.text)[:before.size].decode("ascii", "replace")


cdef list loss_entries(str codes, tuple losses, bint in_words):
    """Earlier codes, then those of this step; `in_words` tells the latter with field and outcome, as A2A's extension has it."""
    if not in_words:
        return [code for code in loss_codes(losses, codes).split(",") if code]
    return [{"code": code} for code in codes.split(",") if code] + [
        {"code": one.code, "field": one.field, "outcome": one.outcome} for one in losses
    ]


cdef int put_losses(Writer* w, Told* told, tuple losses, bint in_words) except -1:
    """`,"io.agentfabric/loss":[...]`, earlier ones first; nothing when nothing was lost."""
    cdef bytes raw
    if told.known[FABLOSS].text == NULL and not losses:
        return 0
    raw = msgspec.json.encode(loss_entries(losses_before(told), losses, in_words))
    put(w, b',"io.agentfabric/loss":', 23)
    return put(w, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))


cdef bytes with_losses(bytes raw, str room, Told* told, tuple losses, bint in_words):
    """Something whole, with what was lost told in its `_meta` or `metadata`. Every other byte stays; all do when it is told."""
    if told.known[FABLOSS].text == NULL and not losses:
        return raw
    body = scan(raw)
    inner = body.object(room) if body.kind(room) == "object" else None
    told_already = [] if inner is None else told_in(inner.get("io.agentfabric/loss"))
    codes = [one.get("code") if type(one) is dict else one for one in told_already]
    before = ",".join([code for code in losses_before(told).split(",") if code not in codes])
    fresh = tuple([one for one in losses if one.code not in codes])
    if not before and not fresh:
        return raw
    entries = msgspec.json.encode(told_already + loss_entries(before, fresh, in_words))
    if inner is None:
        return body.splice(room, b'{"io.agentfabric/loss":' + entries + b"}")
    return body.splice(room, inner.splice("io.agentfabric/loss", entries))


cdef list told_in(bytes raw):
    told = msgspec.json.decode(raw) if raw is not None else []
    return told if type(told) is list else []


cdef dict native_rooms(Envelope envelope, Told* told, frozenset rooms):
    """The native entries by room: `{"_meta": [(name, raw JSON), ...]}`; those of other protocols, and what is no JSON, under "".
    Of two of one name the first counts, and none repeats a mark."""
    cdef bytes written
    found = {"": []}
    if told.native.text == NULL:
        return found
    written = plain_natives(told)
    if written is not None:
        return {"": [written]}
    seen = set()
    for name, value in envelope.native:
        room, slash, member = name.partition("/")
        if not slash or room not in rooms or value is None or not is_json(value):
            found[""].append((name, value))
        elif name not in seen and not is_told(told, member):
            seen.add(name)
            found.setdefault(room, []).append((member, value))
    return found


cdef bytes plain_natives(Told* told):
    """What `put_rest` tells of native entries none of which has a room, written straight from where they are packed. None for
    others, and for entries that are packed in another way than ours."""
    cdef Writer packed, w
    cdef Entries entries
    cdef Entry entry
    writer_init(&packed)
    writer_init(&w)
    try:
        if not put_unbase64(&packed, told.native.text, told.native.size):
            return None
        put_u8(&w, c"[")
        entries_of(&entries, packed.data, packed.size)
        while next_entry(&entries, &entry):
            if utf8_fault(entry.name, entry.name_size) >= 0 or (entry.name_size and memchr(entry.name, c"/", entry.name_size) != NULL):
                return None
            put(&w, b",[" if w.size > 1 else b"[", 2 if w.size > 1 else 1)
            put_native_entry(&w, &entry)
        if entries.left != 0:
            return None
        put_u8(&w, c"]")
        return writer_bytes(&w)
    finally:
        writer_free(&packed)
        writer_free(&w)


cdef int put_native_entry(Writer* w, const Entry* entry) except -1:
    put_string(w, entry.name, entry.name_size)
    if entry.value == NULL:
        return put(w, b",null]", 6)
    put_u8(w, c",")
    if utf8_fault(entry.value, entry.size) < 0:
        put_string(w, entry.value, entry.size)
        return put_u8(w, c"]")
    put_u8(w, c'"')
    put_base64(w, entry.value, entry.size)
    return put(w, b'","base64"]', 11)


cdef bint is_json(bytes value):
    try:
        check(value)
    except CodecError:
        return False
    return True


cdef bint is_told(Told* told, str member):
    cdef bytes name
    cdef int which
    if not member.startswith("io.agentfabric/"):
        return False
    name = member[PREFIX_BYTES:].encode()
    which = attribute_of(<const unsigned char*>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
    return is_reserved(<const unsigned char*>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name)) or (which >= 0 and told.known[which].text != NULL)


cdef int put_members(Writer* w, list members) except -1:
    """`,"name":value` for each."""
    cdef bytes raw
    for name, value in members or ():
        raw = b"," + quote(name) + b":" + value
        put(w, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
    return 0


cdef int put_rest(Writer* w, list entries) except -1:
    """`,"io.agentfabric/native":[...]` for entries of other protocols; nothing when there are none."""
    cdef bytes raw
    if not entries:
        return 0
    if type(entries[0]) is bytes:  # `plain_natives`
        raw = entries[0]
    else:
        raw = msgspec.json.encode([native_entry(name, value) for name, value in entries])
    put(w, b',"io.agentfabric/native":', 25)
    return put(w, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))


cdef list native_entry(str name, bytes value):
    if value is None:
        return [name, None]
    try:
        return [name, value.decode()]
    except UnicodeDecodeError:
        return [name, b64encode(value).decode(), "base64"]
