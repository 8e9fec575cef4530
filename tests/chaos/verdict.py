"""What became of every id: the diaries of the senders against those of the receivers.

| an id that was        | must be |
|-----------------------|---------|
| accepted              | had, dead or expired: else it is lost |
| unknown               | anything: nobody promised |
| refused, never offered | not had: else it came from nowhere |
| had more often than once | counted: none where the promise is `once` |

Above: run. Below: diaries.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from chaos.diary import ids

__all__ = ["Verdict", "judge"]


@dataclass
class Verdict:
    """Of one flow in one round."""

    flow: str
    accepted: int = 0
    lost: list[str] = field(default_factory=list)
    from_nowhere: list[str] = field(default_factory=list)
    duplicated: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether every promise was kept, duplicates apart."""
        return not self.lost and not self.from_nowhere


def judge(flow: str, sender: Path, *ends: Counter[str]) -> Verdict:
    """Compare; `ends` count per id what receivers had, what is dead, what has expired."""
    accepted, offered = ids(sender, "accepted"), ids(sender, "offered")
    refused = ids(sender, "refused")
    ended = sum(ends, Counter[str]())
    return Verdict(
        flow,
        accepted=len(accepted),
        lost=sorted(accepted.keys() - ended.keys()),
        from_nowhere=sorted(
            identity for identity in ended if identity not in offered or identity in refused - accepted
        ),
        duplicated=sum(times - 1 for times in ended.values()),
    )
