from typing import Literal, TypeAlias

from fabric_codecs.errors import CodecError
from fabric_codecs.losses import Loss, Translation
from fabric_codecs.translate.lift import Protocol

Policy: TypeAlias = Literal["strict", "report"]

class LossRefused(CodecError):
    """A translation that would lose something, where the policy is `strict`. `losses` say what; nothing was
    delivered."""

    source: str
    target: str
    losses: tuple[Loss, ...]
    def __init__(self, source: str, target: str, losses: tuple[Loss, ...]) -> None: ...
    @property
    def codes(self) -> str:
        """The loss codes, comma-separated, as `fabloss` has them."""

def translate(
    message: bytes,
    source: Protocol,
    target: Protocol,
    policy: Policy = "report",
    *,
    origin: str,
    now_us: int,
    fresh_id: str | None = None,
    topic: str | None = None,
    partition: int | None = None,
    to: str | None = None,
    trusted: bool = False,
    structured: bool = False,
    traceparent: str | None = None,
    waited_s: int = 0,
) -> Translation[bytes]:
    """`message` of protocol `source` as a message of `target`, in the forms that `lift` names.

    `origin`, `now_us`, `fresh_id`, `topic`, `partition` and `trusted` are what `lift` asks for, `to` is the
    channel that it goes to (the message's own subject by default). `structured` writes and reads MQTT 3.1.1
    payloads as CloudEvents in JSON. `traceparent` and `waited_s` are the hop's, for `pass_on`. Raises
    CodecError for a message that cannot be translated, LossRefused for one that would lose something under
    `strict`, ValueError for a protocol or a policy that is none.
    """
