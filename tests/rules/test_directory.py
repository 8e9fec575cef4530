"""Who is live: every row of the table, and that each change is told once."""

import random
from dataclasses import dataclass

from fabric.rules.agents.directory import Change, Directory


@dataclass(frozen=True)
class Card:
    name: str
    holder: str
    version: int = 1
    epoch: int = 1
    keys: tuple[str, ...] = ()


KEYS = ("heat", "climate")
Told = list[tuple[str, str]]


def told(changes: list[Change[Card]]) -> Told:
    return [(change.kind, change.card.name) for change in changes]


def directory(*cards: Card, held: tuple[str, ...] = ("p",)) -> Directory[Card]:
    made: Directory[Card] = Directory()
    for holder in held:
        made.lease(holder, True, 0.0)
    for card in cards:
        made.record(card.name, card)
    return made


A, B = Card("a", "p"), Card("b", "p")


def test_a_record_with_a_lease_is_a_join() -> None:
    assert told(directory().record("a", A)) == [("join", "a")]


def test_a_record_without_a_lease_waits_for_it() -> None:
    agents = directory(A, B, held=())
    assert agents.live == {}
    assert told(agents.lease("p", True, 0.0)) == [("join", "a"), ("join", "b")]


def test_a_refreshed_lease_or_the_same_card_again_is_no_change() -> None:
    agents = directory(A)
    assert agents.lease("p", True, 0.0) == []
    assert agents.record("a", A) == []


def test_another_card_is_a_change() -> None:
    agents = directory(A)
    assert told(agents.record("a", Card("a", "p", 2))) == [("change", "a")]
    assert agents.live["a"].version == 2


def test_a_later_life_is_a_leave_and_a_join() -> None:
    agents = directory(A)
    assert told(agents.record("a", Card("a", "p", epoch=2))) == [("leave", "a"), ("join", "a")]


def test_live_agents_are_found_by_each_of_their_keys() -> None:
    agents = directory(Card("a", "p", keys=("heat", "climate")), Card("b", "q", keys=("climate",)))
    assert [card.name for card in agents.found("climate")] == ["a"]  # b has no lease
    agents.lease("q", True, 0.0)
    assert [card.name for card in agents.found("climate")] == ["a", "b"]
    agents.record("a", Card("a", "p", 2, keys=("heat", "heat")))
    assert [card.name for card in agents.found("climate")] == ["b"]
    agents.lease("p", False, 0.0)
    assert agents.found("heat") == []


def test_a_leave_is_told_at_once_and_once() -> None:
    agents = directory(A)
    assert told(agents.record("a", None)) == [("leave", "a")]
    assert agents.record("a", None) == []


def test_an_ended_lease_takes_all_its_agents_along() -> None:
    agents = directory(A, B, Card("c", "q"), held=("p", "q"))
    assert told(agents.lease("p", False, 0.0)) == [("leave", "a"), ("leave", "b")]
    assert list(agents.live) == ["c"]
    assert agents.lease("p", False, 0.0) == []


def test_an_agent_taken_over_by_a_live_process_changes_and_does_not_leave() -> None:
    agents = directory(A, held=("p", "q"))
    assert told(agents.record("a", Card("a", "q"))) == [("change", "a")]
    assert agents.lease("p", False, 0.0) == []
    assert told(agents.lease("q", False, 0.0)) == [("leave", "a")]


def test_during_grace_an_ended_lease_keeps_its_agents() -> None:
    agents = directory(A)
    agents.recovering(10.0)
    assert agents.lease("p", False, 5.0) == []
    assert list(agents.live) == ["a"]
    assert agents.tick(9.9) == []
    assert told(agents.tick(10.0)) == [("leave", "a")]
    assert agents.tick(11.0) == []


def test_a_lease_refreshed_during_grace_never_ended() -> None:
    agents = directory(A)
    agents.recovering(10.0)
    agents.lease("p", False, 5.0)
    assert agents.lease("p", True, 6.0) == []
    assert agents.tick(20.0) == []
    assert list(agents.live) == ["a"]


def test_a_clean_leave_during_grace_is_told_at_once() -> None:
    agents = directory(A)
    agents.recovering(10.0)
    assert told(agents.record("a", None)) == [("leave", "a")]


def test_after_grace_an_end_counts_at_once() -> None:
    agents = directory(A)
    agents.recovering(10.0)
    assert told(agents.lease("p", False, 10.0)) == [("leave", "a")]


def test_a_snapshot_tells_only_what_differs() -> None:
    agents = directory(A, B, Card("c", "q"), held=("p", "q"))
    changes = agents.snapshot({"a": Card("a", "p", 2), "d": Card("d", "r")}, {"p", "r"}, 0.0)
    assert sorted(told(changes)) == [("change", "a"), ("join", "d"), ("leave", "b"), ("leave", "c")]
    assert agents.snapshot({"a": Card("a", "p", 2), "d": Card("d", "r")}, {"p", "r"}, 0.0) == []


def test_a_snapshot_during_grace_lets_ended_leases_wait() -> None:
    agents = directory(A)
    agents.recovering(10.0)
    assert agents.snapshot({"a": A}, set(), 1.0) == []
    assert agents.lease("p", True, 2.0) == []
    assert agents.tick(10.0) == []


def test_joins_and_leaves_alternate_whatever_happens() -> None:
    for seed in range(500):
        chance = random.Random(seed)
        agents: Directory[Card] = Directory()
        present: set[str] = set()
        now = 0.0
        for _ in range(60):
            now += chance.random() * 3
            for change in _one_step(agents, chance, now):
                name = change.card.name
                assert (name in present) == (change.kind != "join"), f"seed {seed}"
                present = present - {name} if change.kind == "leave" else present | {name}
            assert present == set(agents.live), f"seed {seed}"
            for key in KEYS:
                expected = {card.name for card in agents.live.values() if key in card.keys}
                assert {card.name for card in agents.found(key)} == expected, f"seed {seed}"


def _one_step(agents: Directory[Card], chance: random.Random, now: float) -> list[Change[Card]]:
    name, holder = chance.choice("abc"), chance.choice("pq")
    keys = tuple(key for key in KEYS if chance.random() < 0.5)
    card = Card(name, holder, chance.randrange(3), chance.randrange(2), keys)
    match chance.randrange(6):
        case 0:
            return agents.record(name, card)
        case 1:
            return agents.record(name, None)
        case 2:
            return agents.lease(holder, chance.random() < 0.5, now)
        case 3:
            agents.recovering(now + 5)
        case 4:
            return agents.tick(now)
        case 5:
            return agents.snapshot({name: card} if chance.random() < 0.7 else {}, {holder}, now)
    return []
