"""How long a chain of messages may become, and what is told of the chain when it is too long.

A message that begins something carries no count and may have `HOPS_MAX` messages in its chain, itself
included. Each message caused by another carries `fabhops`, one less than its cause.

| carried | as | what happens |
|---|---|---|
| nothing | 32 | handled; what it causes carries 31 |
| n > 1 | n, 32 at most | handled; what it causes carries n - 1 |
| 1 | 1 | handled; what it would cause is refused by the client: it would carry 0 |
| 0 or less, or no number | 0 | refused by whoever receives it |

The chain itself travels as `fabchain`: the subjects of the messages so far, joined by `>`, the first four
and the last four of them, between them `+n` for what is left out. It is told, never trusted.
Above: `fabric.client` carries and enforces. Below: nothing. Cost: two header lines, where there is a cause.
"""

__all__ = ["HOPS_MAX", "hops_of", "lengthened", "steps"]

HOPS_MAX = 32  # deeper than any chain of agents that means it; a loop of 1 ms steps ends within 50 ms
HEAD, TAIL = 4, 4  # where it began, and what goes round
STEP_CHARS_MAX = 64
CHAIN_CHARS_MAX = (HEAD + TAIL + 1) * (STEP_CHARS_MAX + 1)


def hops_of(carried: str | None) -> int:
    """How many messages the chain may still have, the carrier included; 0: it must be refused."""
    if carried is None:
        return HOPS_MAX
    if not carried.isascii() or not carried.isdecimal() or len(carried) > 9:
        return 0
    return min(int(carried), HOPS_MAX)


def lengthened(chain: str | None, step: str) -> str:
    """The chain with one more step; bounded whatever came."""
    known = steps(chain)
    told = step.replace(">", "%3E")[:STEP_CHARS_MAX] or "?"
    if told.startswith("+"):
        told = "%2B" + told[1:]
    known = (*known, told)
    if len(known) <= HEAD + TAIL:
        return ">".join(known)
    between, left_out = known[HEAD:-TAIL], 0
    for one in between:
        left_out += _number_of(one)
    return ">".join((*known[:HEAD], f"+{left_out}", *known[-TAIL:]))


def steps(chain: str | None) -> tuple[str, ...]:
    """The chain for people, oldest first; `+n` stands for n steps that are not told."""
    return tuple(one[:STEP_CHARS_MAX] for one in chain[:CHAIN_CHARS_MAX].split(">")) if chain else ()


def _number_of(step: str) -> int:
    count = step[1:10]
    return int(count) if step.startswith("+") and count.isascii() and count.isdecimal() else 1
