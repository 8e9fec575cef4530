"""What a codec raises: one error, with the place and the rule that was broken."""

__all__ = ["CodecError"]


class CodecError(ValueError):
    """Bytes, or a message asked to become bytes, that break a rule of their protocol.

    `protocol` names the codec, `offset` the byte at which the rule was broken (0 when the fault is a
    value, not a byte), `clause` the section of the specification that decides. `reason` is the protocol's
    own code for the fault where it has one (an MQTT reason code, a JSON-RPC or Kafka error code), else
    None.
    """

    def __init__(
        self, what: str, *, protocol: str, offset: int = 0, clause: str = "", reason: int | None = None
    ) -> None:
        self.what = what
        self.protocol = protocol
        self.offset = offset
        self.clause = clause
        self.reason = reason
        where = f" ({clause})" if clause else ""
        super().__init__(f"{protocol}: {what} at byte {offset}{where}")

    def at(self, offset: int) -> "CodecError":
        """The same error at another byte: that of the whole, when a part of it was read by itself."""
        return _rebuild(self.what, self.protocol, offset, self.clause, self.reason)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.what, self.protocol, self.offset, self.clause, self.reason)


def _rebuild(what: str, protocol: str, offset: int, clause: str, reason: int | None) -> CodecError:
    return CodecError(what, protocol=protocol, offset=offset, clause=clause, reason=reason)
