# cython: wraparound=True
"""Names: channel levels, MQTT topics and Kafka topics, mapped to NATS tokens and back without collision.

A level becomes one NATS token by percent-encoding: `.` `*` `>` `/` `%`, space, controls, DEL and every byte that is not
ASCII, as `%XX` in upper case; the empty level is a lone `%`. The canonical name of a channel *is* its encoded levels
joined by `.`, so two names are one channel exactly when their canonical spellings are equal.
"""

from fabric_codecs.bounds import CHANNEL_BYTES_MAX, CHANNEL_LEVELS_MAX, KAFKA_TOPIC_CHARS_MAX, TOKEN_BYTES_MAX
from fabric_codecs.errors import CodecError

import re
import zlib

cdef str HEX = "0123456789ABCDEF"
cdef object PLAIN = re.compile(r"[!-$&-)+,\-0-9:;<=?-~]+").fullmatch  # printable ASCII but . * > / % and space
cdef object ESCAPED = re.compile(r"(?:[!-$&-)+,\-0-9:;<=?-~]|%[0-9A-F]{2})+").fullmatch
cdef object TOPIC_LEVEL = re.compile(r"[^/+#\0]*").fullmatch  # MQTT 5, 4.7.1 and 4.7.3
cdef object KAFKA_TOPIC = re.compile(r"[a-zA-Z0-9._-]+").fullmatch


cdef enum:
    SHOWN_CHARS = 80  # of a name in an error: it goes into logs and answers, and it may be a mebibyte

# Who says what a name may hold: NATS for our own, beside the limits of `bounds`.
cdef str SUBJECTS = "Client Protocol, Protocol conventions"
cdef str TOPICS = "MQTT 5.0, 4.7.3"
cdef str FILTERS = "MQTT 5.0, 4.7.1"
cdef str KAFKA = "Kafka, Topic.validate"
cdef Py_ssize_t TOKEN_MAX = TOKEN_BYTES_MAX
cdef Py_ssize_t CHANNEL_MAX = CHANNEL_BYTES_MAX


cdef object wrong(str what, str name, str problem, str clause=SUBJECTS):
    shown = name if len(name) <= SHOWN_CHARS else name[:SHOWN_CHARS] + "..."
    return CodecError(f"{what} {shown!r}: {problem}", protocol="names", clause=clause)


cdef int bounded(str what, str name, Py_ssize_t most) except -1:
    # Encoding never shortens a name: one that is too long already is refused before anybody splits it.
    if len(name) > most:
        bound = "TOKEN_BYTES_MAX" if most == TOKEN_MAX else "CHANNEL_BYTES_MAX"
        raise wrong(what, name, f"{len(name)} bytes or more encoded, allowed are {most}", bound)
    return 0


cpdef str encode_level(str level):
    """One level in its own spelling -> one NATS token. Raises CodecError over 256 bytes."""
    cdef str token
    bounded("level", level, TOKEN_MAX)
    if PLAIN(level):
        token = level
    elif not level:
        return "%"
    else:
        try:
            encoded = level.encode()
        except UnicodeEncodeError:
            raise wrong("level", level, "holds a lone surrogate, which UTF-8 cannot carry") from None
        token = "".join([
            chr(byte) if PLAIN(chr(byte)) else "%" + HEX[byte >> 4] + HEX[byte & 15]
            for byte in encoded
        ])
    if len(token) > TOKEN_BYTES_MAX:
        raise wrong("level", level, f"{len(token)} bytes encoded, allowed are {TOKEN_BYTES_MAX}", "TOKEN_BYTES_MAX")
    return token


cpdef str decode_level(str token):
    """One NATS token -> the level in its own spelling. Raises CodecError for a token that `encode_level` never makes."""
    bounded("token", token, TOKEN_MAX)
    if "%" not in token:
        if PLAIN(token):
            return token
        raise wrong("token", token, "is not percent-encoded")
    if token == "%":
        return ""
    if not ESCAPED(token):
        raise wrong("token", token, "has an escape that is not % and two upper-case hex digits")
    parts = token.split("%")
    raw = bytearray(parts[0].encode())
    for part in parts[1:]:
        raw.append(int(part[:2], 16))
        raw += part[2:].encode()
    try:
        level = raw.decode()
    except UnicodeDecodeError:
        raise wrong("token", token, "does not decode to UTF-8") from None
    if encode_level(level) != token:
        raise wrong("token", token, "escapes what needs no escape")
    return level


cdef str canonical_level(str text, str name):
    # A level as a person writes it in a dotted name: escapes stand for themselves, everything else is encoded.
    if PLAIN(text):
        return encode_level(text)
    if text == "%":
        return text
    if not text:
        raise wrong("channel", name, "has an empty level (write % for one that MQTT left empty)")
    if "%" in text:
        return encode_level(decode_level("".join(
            [part if at & 1 else encode_level(part) for at, part in enumerate(re.split(r"(%[0-9A-F]{2})", text)) if part]
        )))
    return encode_level(text)


cdef str checked(list tokens, str name):
    cdef str canonical
    if len(tokens) > CHANNEL_LEVELS_MAX:
        raise wrong("channel", name, f"{len(tokens)} levels, allowed are {CHANNEL_LEVELS_MAX}", "CHANNEL_LEVELS_MAX")
    canonical = ".".join(tokens)
    if len(canonical) > CHANNEL_BYTES_MAX:
        raise wrong("channel", name, f"{len(canonical)} bytes encoded, allowed are {CHANNEL_BYTES_MAX}", "CHANNEL_BYTES_MAX")
    return canonical


cpdef str channel_name(str text):
    """A dotted name as a person writes it -> its canonical spelling. Raises CodecError for wildcards, empty levels, bad
    escapes, and over 16 levels or 1,024 bytes. Canonical names come back unchanged."""
    bounded("channel", text, CHANNEL_MAX)
    levels = text.split(".")
    for level in levels:
        if level == "*" or level == ">":
            raise wrong("channel", text, f"{level!r} is a wildcard; a channel to publish to has none (literal: %2A, %3E)")
    return checked([canonical_level(level, text) for level in levels], text)


cpdef str pattern_name(str text):
    """As `channel_name`, where a level may be `*` (any one level) and the last one `>` (this channel and all below it)."""
    bounded("pattern", text, CHANNEL_MAX)
    levels = text.split(".")
    if ">" in levels[:-1]:
        raise wrong("pattern", text, "'>' stands only at the end")
    return checked([level if level in ("*", ">") else canonical_level(level, text) for level in levels], text)


cpdef bint is_pattern(str name):
    """Whether a canonical name has a wildcard level."""
    return name.endswith(">") and (len(name) == 1 or name.endswith(".>")) or "*" in name


cpdef bint pattern_matches(str pattern, str channel):
    """Whether the canonical channel is one of the canonical pattern's. As in MQTT (4.7.1, 4.7.2) `>` matches the channel above
    it too, and a wildcard in the first place no channel that begins with `$`."""
    cdef list wanted = pattern.split("."), levels = channel.split(".")
    cdef Py_ssize_t at
    if channel.startswith("$") and wanted[0] in ("*", ">"):
        return False
    for at in range(len(wanted)):
        if wanted[at] == ">":
            return True
        if at >= len(levels) or (wanted[at] != "*" and wanted[at] != levels[at]):
            return False
    return len(wanted) == len(levels)


cpdef int shard_of(str channel, int shards):
    """The shard that keeps a canonical channel: CRC-32 of its name, modulo the number of shards. Fixed for a deployment's life."""
    return zlib.crc32(channel.encode("ascii")) % <unsigned int>shards


cpdef str topic_to_channel(str topic):
    """An MQTT topic name -> the canonical channel; `/` separates levels, empty ones are kept. Raises CodecError for a topic with
    wildcards or U+0000, an empty one, and over the limits of a channel."""
    bounded("topic", topic, CHANNEL_MAX)
    levels = topic.split("/")
    if not topic:
        raise wrong("topic", topic, "has no character", TOPICS)
    for level in levels:
        if not TOPIC_LEVEL(level):
            raise wrong("topic", topic, f"level {level!r} has a character that an MQTT topic cannot carry", TOPICS)
    return checked([encode_level(level) for level in levels], topic)


cpdef str channel_to_topic(str channel):
    """A canonical channel -> the MQTT topic name. Raises CodecError when a level holds `/`, `+`, `#` or U+0000, which a topic cannot."""
    bounded("channel", channel, CHANNEL_MAX)
    levels = [decode_level(token) for token in channel.split(".")]
    for level in levels:
        if not TOPIC_LEVEL(level):
            raise wrong("channel", channel, f"level {level!r} has a character that an MQTT topic cannot carry", TOPICS)
    if levels == [""]:
        raise wrong("channel", channel, "an MQTT topic has at least one character", TOPICS)
    return "/".join(levels)


cpdef str filter_to_pattern(str topic_filter):
    """An MQTT topic filter -> a canonical pattern: `+` -> `*`, a final `#` -> `>`. A literal `*` or `>` level is escaped."""
    bounded("filter", topic_filter, CHANNEL_MAX)
    levels = topic_filter.split("/")
    if not topic_filter:
        raise wrong("filter", topic_filter, "has no character", TOPICS)
    if "#" in levels[:-1]:
        raise wrong("filter", topic_filter, "'#' stands only at the end", FILTERS)
    tokens = []
    for level in levels:
        if level == "+":
            tokens.append("*")
        elif level == "#":
            tokens.append(">")
        elif "+" in level or "#" in level:
            raise wrong("filter", topic_filter, f"a wildcard fills its whole level, unlike in {level!r}", FILTERS)
        elif not TOPIC_LEVEL(level):
            raise wrong("filter", topic_filter, f"level {level!r} has a character that an MQTT topic cannot carry", TOPICS)
        else:
            tokens.append(encode_level(level))
    return checked(tokens, topic_filter)


cpdef str channel_to_kafka_topic(str channel):
    """A canonical channel -> the Kafka topic of that name. Raises CodecError when Kafka's alphabet or its 249 characters do not hold it."""
    if not KAFKA_TOPIC(channel):
        raise wrong("channel", channel, "a Kafka topic has only letters, digits, '.', '_' and '-'", KAFKA)
    if len(channel) > KAFKA_TOPIC_CHARS_MAX:
        raise wrong("channel", channel, f"{len(channel)} characters, a Kafka topic has at most {KAFKA_TOPIC_CHARS_MAX}", KAFKA)
    if channel in (".", ".."):
        raise wrong("channel", channel, "is no name of a Kafka topic", KAFKA)
    if "" in channel.split("."):
        raise wrong("channel", channel, "has an empty level")
    return channel


cpdef str kafka_topic_to_channel(str topic):
    """A Kafka topic -> the canonical channel of that name. Raises CodecError for a topic that is no channel name."""
    return channel_name(channel_to_kafka_topic(topic))
