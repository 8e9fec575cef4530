"""Trees of calls that spend from one budget, thousands of them: handlers call in parallel and one after the
other, name sums or not, give up, and lose answers. Together they never spend more than was granted, nobody
waits for ever, and when every answer comes, what was spent and what is left is what was granted.

The reference is a single account, written by every tool that runs. A failure prints the line that replays it.
"""

import os
import random
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from fabric.rules.calls.budget import Budget, Purse

CALLS_MAX = 400  # of one tree: a budget without a limit on calls would never end by itself


@dataclass
class Branch:
    """A nested call that a handler wants to make."""

    wanted: Budget | None
    price: Budget
    ticket: int = 0
    child: "Handler | None" = None


@dataclass
class Handler:
    """A running tool: what it still wants to call, what it asked for, what runs."""

    purse: Purse
    plan: list[Branch]
    parent: "Handler | None"
    branch: Branch | None
    asking: dict[int, Branch] = field(default_factory=dict)
    running: dict[int, Branch] = field(default_factory=dict)


class Tree:
    """One budget, and everything that it sets off."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        chance = self.chance
        self.lossy = chance.random() < 0.5
        calls = None if chance.random() < 0.1 else chance.randrange(1, 60)
        cost = None if chance.random() < 0.3 else chance.randrange(0, 20_000) / 1000
        self.granted = Budget(calls, cost)
        self.spent_calls = 0
        self.spent_thousandths = 0
        self.lost = 0
        self.refused = 0
        self.left: Budget | None = None
        self.active: list[Handler] = []
        self.begin(self.granted, self.price(), None, None)

    def price(self) -> Budget:
        return Budget.price(self.chance.choice((0.0, 0.0, 0.001, 0.3, 2.0)))

    def begin(self, granted: Budget, price: Budget, parent: Handler | None, branch: Branch | None) -> None:
        if not granted.covers(price) or self.spent_calls >= CALLS_MAX:
            self.answer(parent, branch, granted)
            return
        self.spent_calls += 1
        self.spent_thousandths += price.thousandths or 0
        plan = [Branch(self.wish(), self.price()) for _ in range(self.chance.choice((0, 0, 1, 1, 2, 3, 8)))]
        self.active.append(Handler(Purse(granted - price), plan, parent, branch))

    def wish(self) -> Budget | None:
        if self.chance.random() < 0.7:
            return None
        return Budget(self.chance.choice((None, 1, 2, 5)), self.chance.choice((None, 0.0, 0.3, 3.0)))

    def answer(self, parent: Handler | None, branch: Branch | None, left: Budget) -> None:
        if parent is None or branch is None:
            self.left = left
            return
        if parent.running.pop(branch.ticket, None) is None:
            return  # the caller gave it up
        if self.lossy and self.chance.random() < 0.1:
            self.lost += 1
            parent.purse.back(branch.ticket, None)
        else:
            parent.purse.back(branch.ticket, left)

    def run(self) -> None:
        for _ in range(20_000):
            if not self.active:
                return
            self.step(self.chance.choice(self.active))
        pytest.fail("somebody waits for ever")

    def step(self, handler: Handler) -> None:
        act = self.chance.random()
        if act < 0.5 and handler.plan:
            for _ in range(self.chance.randrange(1, len(handler.plan) + 1)):  # together, as `gather` does
                branch = handler.plan.pop()
                branch.ticket = handler.purse.ask(branch.wanted)
                handler.asking[branch.ticket] = branch
        elif act < 0.55 and self.lossy and handler.running:
            ticket = self.chance.choice(sorted(handler.running))  # it gives a call up, which goes on
            del handler.running[ticket]
            self.lost += 1
            handler.purse.back(ticket, None)
        elif act < 0.6 and handler.asking:
            ticket = self.chance.choice(sorted(handler.asking))
            del handler.asking[ticket]
            handler.purse.forget(ticket)
        self.decide(handler)
        early = self.lossy and self.chance.random() < 0.02
        if early or not (handler.plan or handler.asking or handler.running):
            self.end(handler)

    def decide(self, handler: Handler) -> None:
        for ticket, grant in handler.purse.share():
            branch = handler.asking.pop(ticket)
            if grant is None:
                self.refused += 1
                continue
            handler.running[ticket] = branch
            self.begin(grant, branch.price, handler, branch)

    def end(self, handler: Handler) -> None:
        self.lost += len(handler.running)
        self.active.remove(handler)
        left = handler.purse.close()
        assert all(grant is None for _, grant in handler.purse.share())
        handler.running.clear()
        self.answer(handler.parent, handler.branch, left)

    def check(self) -> None:
        assert self.left is not None, "the first call never ended"
        for granted, spent, left in (
            (self.granted.calls, self.spent_calls, self.left.calls),
            (self.granted.thousandths, self.spent_thousandths, self.left.thousandths),
        ):
            if granted is None:
                assert left is None, "a limit came from nowhere"
                continue
            assert left is not None, "a limit was lost"
            assert left >= 0
            assert spent <= granted, f"{spent} spent of {granted}"
            assert spent + left <= granted, f"{spent} spent and {left} left of {granted}"
            if not self.lost:
                assert spent + left == granted, f"{granted - spent - left} of {granted} leaked"


def simulate(seeds: Iterable[int]) -> tuple[int, int]:
    refused = spent = 0
    for seed in seeds:
        tree = Tree(seed)
        try:
            tree.run()
            tree.check()
        except BaseException as error:
            error.add_note(f"replay: SEED={seed} pytest tests/rules/test_budget_simulated.py")
            raise
        refused, spent = refused + tree.refused, spent + tree.spent_calls
    return refused, spent


def test_no_tree_of_calls_spends_more_than_it_was_granted_and_nothing_leaks() -> None:
    chosen = os.environ.get("SEED")
    refused, spent = simulate(range(5000) if chosen is None else [int(chosen)])
    assert chosen is not None or (refused > 1000 and spent > 10_000), "the trees try nothing"


def test_the_simulation_notices_a_purse_that_grants_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Budget, "__sub__", lambda self, _: self)
    with pytest.raises(AssertionError, match="spent"):
        simulate(range(200))


def test_the_simulation_notices_leftovers_that_get_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Purse, "back", lambda self, ticket, _: self._out.pop(ticket, None))
    with pytest.raises(AssertionError, match="leaked"):
        simulate(range(200))
