"""The gate: what a node lets its edges' clients publish and call, counted per principal, channel, agent and
for the whole tenant.

In: who wants to do what. Out: nothing, or Refused with when to come back, which each edge says in its
protocol's words. All edges speak through `Fabric.on_behalf_of`, which carries the gate: none has code of its
own for it. `rules/admission.py` decides. Above: `session`, `channel`, `call`. Below: `config`. Cost without
limits: one comparison a message.
"""

from collections import Counter

from fabric.clock import monotonic
from fabric.config import LimitsSettings
from fabric.errors import Refused
from fabric.rules.admission import Admission, Ceiling, Denied, Rate, Seats

__all__ = ["Gate"]

WHOLE = ""  # the one key of the tenant's scope


class Gate:
    """One node's, or one client's own. `refused` counts by scope and reason."""

    def __init__(self, limits: LimitsSettings) -> None:
        self.refused: Counter[tuple[str, str]] = Counter()
        self.calls_running = 0
        rates = {
            "principal": Rate(limits.principal_per_s, limits.principal_burst),
            "channel": Rate(limits.channel_per_s, limits.channel_burst),
            "agent": Rate(limits.agent_per_s, limits.agent_burst),
            "tenant": Rate(limits.tenant_per_s, limits.tenant_burst),
        }
        # Seats are the tenant's and are shared out among principals: fairly, without a number for each.
        ceilings = {
            "principal": Ceiling(limits.principal_calls_max),
            "agent": Ceiling(limits.agent_calls_max),
            "seats": Seats(limits.tenant_calls_max),
        }
        self._admission = Admission(rates, ceilings)

    def message(self, principal: str, channel: str) -> None:
        """One message to a channel, an inbox or a queue. Raises Refused("rate")."""
        denied = self._admission.offer(
            {"principal": principal, "channel": channel, "tenant": WHOLE}, monotonic()
        )
        if denied is not None:
            self._refuse(denied, principal if denied.scope == "principal" else channel)

    def enter(self, principal: str, agent: str) -> dict[str, str]:
        """One call begins: what to `leave` with when it has ended. Raises Refused("rate"), ("full")."""
        keys = {"principal": principal, "agent": agent, "tenant": WHOLE, "seats": principal}
        denied = self._admission.enter(keys, monotonic())
        if denied is not None:
            self._refuse(denied, principal if denied.scope == "principal" else agent)
        self.calls_running += 1
        return keys

    def leave(self, keys: dict[str, str]) -> None:
        """A call has ended."""
        self.calls_running -= 1
        self._admission.leave(keys)

    def _refuse(self, denied: Denied, name: str) -> None:
        self.refused[denied.scope, denied.reason] += 1
        whose = "the tenant" if denied.scope in ("tenant", "seats") else f"{denied.scope} {name!r}"
        what = "is over its rate" if denied.reason == "rate" else f"has {denied.depth} calls running"
        raise Refused(
            denied.reason,
            retry_after_ms=denied.retry_after_ms,
            depth=denied.depth,
            share=denied.share,
            detail=f"{whose} {what}; see [limits]",
        )
