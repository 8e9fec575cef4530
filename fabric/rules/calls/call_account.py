"""The account of an agent's calls: each that it takes ends once, or runs.

| input | count |
|---|---|
| a request is admitted | taken |
| its tool ended, or there was none: an answer, whatever it says | answered |
| its deadline passed, before or while it ran | expired |
| its caller left, or the agent did | cancelled |
| a request is not admitted | refused, and never taken |

So at any time: taken = answered + expired + cancelled + running. Calls are live: nothing stores the request,
so an agent that dies takes its account along, and its callers are told that the outcome is unknown; what must
outlive it is a kept call, whose record is its account. Above: `client.reception`. Below: nothing.
"""

import msgspec

__all__ = ["CallAccount"]


class CallAccount(msgspec.Struct):
    """Counts since the agent's process began, over its lives in it. Add to the fields."""

    taken: int = 0
    answered: int = 0
    expired: int = 0
    cancelled: int = 0
    refused: int = 0

    @property
    def running(self) -> int:
        """Calls without an end."""
        return self.taken - self.answered - self.expired - self.cancelled
