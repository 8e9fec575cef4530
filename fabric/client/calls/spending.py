"""A handler's budget while it runs: nested calls ask here for their part of it.

In: what the call was granted. Out: grants for nested calls, and what goes back with the answer.
`rules/calls/budget` decides; this module waits. Those who ask within one turn of the loop (`gather`, a task
group) are served together. Above: `call`, `reception`. Cost: nothing for calls without a budget, else one
turn of the loop.
"""

import asyncio

from fabric.errors import DeadlineExceeded, Refused
from fabric.rules.calls.budget import Budget, Purse
from fabric_codecs.envelope import Envelope

__all__ = ["Grant", "Spending", "budget_of", "over_budget"]


def budget_of(envelope: Envelope) -> Budget | None:
    """What a request was granted, or what an answer brings back; None when it says nothing."""
    carried = envelope.get("fabbudget")
    return None if carried is None else Budget.parse(carried)


def over_budget(what: str, chain: tuple[str, ...]) -> Refused:
    """The refusal of a call that is not covered."""
    return Refused("budget", chain=chain, detail=what)


class Grant:
    """What one nested call may spend. `settle` it in any case."""

    __slots__ = ("_spending", "_ticket", "amount")

    def __init__(self, spending: "Spending | None", ticket: int, amount: Budget) -> None:
        self._spending, self._ticket, self.amount = spending, ticket, amount

    def settle(self, left: Budget | None) -> None:
        """The call has ended with that much left; None when its answer never came. Safe to call twice."""
        if self._spending is not None:
            self._spending.back(self._ticket, left)


class Spending:
    """The purse of one running handler."""

    def __init__(self, granted: Budget, chain: tuple[str, ...]) -> None:
        self.chain = chain
        self._purse = Purse(granted)
        self._asking: dict[int, asyncio.Future[Budget]] = {}
        self._due = False

    async def ask(self, target: str, wanted: Budget | None, deadline_s: float) -> Grant:
        """A grant for one call of `target`, waiting for other calls' leftovers if it must. Raises
        Refused("budget"), DeadlineExceeded."""
        ticket = self._purse.ask(wanted)
        future: asyncio.Future[Budget] = asyncio.get_running_loop().create_future()
        self._asking[ticket] = future
        self._decide_soon()
        try:
            async with asyncio.timeout(deadline_s):
                return Grant(self, ticket, await future)
        except TimeoutError:
            self._forget(ticket)
            raise DeadlineExceeded(f"the budget for {target}", deadline_s) from None
        except asyncio.CancelledError:
            self._forget(ticket)
            raise
        except Refused as refused:
            raise over_budget(f"nothing is left to call {target} with", self.chain) from refused
        finally:
            self._asking.pop(ticket, None)

    def back(self, ticket: int, left: Budget | None) -> None:
        """See `Grant.settle`."""
        self._purse.back(ticket, left)
        self._decide_soon()

    def close(self) -> Budget:
        """What goes back with the handler's answer."""
        left = self._purse.close()
        self._decide()
        return left

    def _forget(self, ticket: int) -> None:
        self._purse.forget(ticket)
        self._decide_soon()

    def _decide_soon(self) -> None:
        if not self._due and self._purse.waiting:
            self._due = True
            asyncio.get_running_loop().call_soon(self._decide)

    def _decide(self) -> None:
        self._due = False
        for ticket, grant in self._purse.share():
            future = self._asking.pop(ticket)
            if future.done():
                self._purse.forget(ticket)  # it was cancelled in this very turn
            elif grant is None:
                future.set_exception(Refused("budget"))
            else:
                future.set_result(grant)
