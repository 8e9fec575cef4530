"""The causal tree as text: who caused what, through which protocol, when, and what was lost in
translation."""

from collections.abc import Iterator

from fabric.client import Crossing, Message, tree_of

__all__ = ["draw"]

WIDTH = 64


def draw(story: list[Crossing]) -> Iterator[str]:
    """Line by line. Times are milliseconds since the story began; `took` is since the step before."""
    roots = tree_of(story)
    if not roots:
        return
    begin = roots[0].time_us
    yield f"{'who caused what':<{WIDTH}} {'at ms':>8} {'took':>7}  lost in translation"
    for root in roots:
        yield from _message(root, "", "", begin, begin)


def _message(message: Message, lead: str, indent: str, since: int, begin: int) -> Iterator[str]:
    before = since
    for number, crossing in enumerate(message.crossings):
        what = (
            lead + _what(crossing)
            if number == 0
            else f"{indent}{'│' if message.caused else ' '} {_where(crossing)}"
        )
        at_ms, took_ms = (crossing.time_us - begin) / 1000, (crossing.time_us - before) / 1000
        yield f"{what:<{WIDTH}} {at_ms:>8.1f} {took_ms:>7.1f}  {', '.join(crossing.losses)}".rstrip()
        before = crossing.time_us
    for number, caused in enumerate(message.caused, 1):
        last = number == len(message.caused)
        branch, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        yield from _message(caused, indent + branch, indent + below, message.time_us, begin)


def _what(crossing: Crossing) -> str:
    envelope = crossing.envelope
    return f"{envelope.kind} {envelope.subject or ''} · {_where(crossing)}".replace("  ", " ")


def _where(crossing: Crossing) -> str:
    protocol, _, direction = crossing.hop.partition(".")
    match direction:
        case "in":
            return f"from {crossing.peer} over {protocol.upper()}"
        case "out":
            return f"to {crossing.peer} over {protocol.upper()}"
    return f"{'reached' if crossing.hop == 'call' else 'back from'} {crossing.peer}"
