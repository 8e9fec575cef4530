"""Admission: rates and ceilings against a plain reference, and a fair share of seats."""

import os
import random
from collections.abc import Iterable

import pytest

from fabric.rules.admission import KEYS_MAX, SHARE, Admission, Ceiling, Rate, Rates, Seats


def test_a_burst_passes_at_once_and_then_the_rate_holds() -> None:
    admission = Admission({"caller": Rate(10, burst=3)}, {})
    who = {"caller": "a"}
    assert [admission.offer(who, 0.0) for _ in range(3)] == [None] * 3
    denied = admission.offer(who, 0.0)
    assert denied is not None
    assert (denied.scope, denied.reason, denied.retry_after_ms) == ("caller", "rate", 100)
    assert admission.offer(who, 0.1) is None
    assert admission.offer({"caller": "b"}, 0.1) is None


def test_a_rate_below_one_a_second_still_lets_one_in() -> None:
    admission = Admission({"caller": Rate(0.1)}, {})
    assert admission.offer({"caller": "a"}, 0.0) is None
    denied = admission.offer({"caller": "a"}, 0.0)
    assert denied is not None
    assert denied.retry_after_ms == 10_000


def test_who_is_refused_by_one_scope_is_charged_in_none() -> None:
    admission = Admission({"caller": Rate(1), "agent": Rate(1, burst=100)}, {})
    assert admission.offer({"caller": "a", "agent": "x"}, 0.0) is None
    for _ in range(99):
        assert admission.offer({"caller": "a", "agent": "x"}, 0.0) is not None
    for number in range(99):
        assert admission.offer({"caller": f"b{number}", "agent": "x"}, 0.0) is None


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    rates = Rates(Rate(10, burst=5))
    rates.take("a", 100.0)
    assert rates.wait_ms("a", 50.0) == 0


def test_forgetting_keys_bounds_the_memory() -> None:
    rates = Rates(Rate(1), keys_max=10)
    for number in range(1000):
        rates.take(f"k{number}", 0.0)
    assert len(rates._buckets) == 10
    assert KEYS_MAX >= 1000


def test_a_ceiling_holds_and_lets_in_again_when_somebody_leaves() -> None:
    admission = Admission({}, {"agent": Ceiling(2)})
    keys = {"agent": "x"}
    assert [admission.enter(keys, 0.0) for _ in range(2)] == [None, None]
    denied = admission.enter(keys, 0.0)
    assert denied is not None
    assert (denied.reason, denied.depth, denied.share) == ("full", 2, 1.0)
    admission.leave(keys)
    assert admission.enter(keys, 0.0) is None


def test_who_asks_for_all_seats_leaves_a_fifth_to_the_others() -> None:
    seats, admitted = Seats(100), 0
    while seats.has_room("stormer"):
        seats.enter("stormer")
        admitted += 1
    assert admitted == 80
    others = 0
    while seats.has_room(f"other{others}"):
        seats.enter(f"other{others}")
        others += 1
    assert others == 20


@pytest.mark.parametrize("at_once", [1, 2, 3, 4])
def test_few_seats_are_not_kept_empty(at_once: int) -> None:
    seats = Seats(at_once)
    for _ in range(at_once):
        assert seats.has_room("alone")
        seats.enter("alone")
    assert not seats.has_room("another")


def test_equal_stormers_end_with_equal_shares() -> None:
    seats, chance = Seats(1000), random.Random(7)
    for _ in range(20_000):
        key = str(chance.randrange(20))
        if seats.has_room(key):
            seats.enter(key)
        elif seats.running(key) and chance.random() < 0.2:
            seats.leave(key)
    shares = [seats.running(str(number)) for number in range(20)]
    assert sum(shares) ** 2 / (20 * sum(share * share for share in shares)) > 0.95  # Jain


class Reference:
    """What is admitted, kept as plain lists."""

    def __init__(self, rate: Rate, at_once: int) -> None:
        self.rate, self.at_once = rate, at_once
        self.admitted: dict[str, list[float]] = {}
        self.running: list[str] = []

    def allows(self, key: str, now: float) -> bool:
        # Over every interval that ends now, no more than the burst and what the rate adds.
        times = [*self.admitted.get(key, []), now]
        for first, start in enumerate(times):
            if len(times) - first > self.rate.depth + (now - start) * self.rate.per_s + 1e-6:
                return False
        free = self.at_once - len(self.running)
        return free > 0 and self.running.count(key) < SHARE * free


def simulate(seed: int) -> None:
    chance = random.Random(seed)
    rate = Rate(chance.choice((0.5, 1.0, 7.0, 100.0)), chance.choice((0, 1, 3, 20)))
    reference = Reference(rate, chance.randrange(1, 30))
    admission = Admission({"caller": rate}, {"caller": Seats(reference.at_once)})
    now = 0.0
    for _ in range(chance.randrange(150)):
        now += chance.choice((0.0, 0.0, 0.001, 0.1, 1.0, 3.0))
        key = chance.choice("abc")
        if chance.random() < 0.3 and reference.running:
            gone = chance.choice(reference.running)
            reference.running.remove(gone)
            admission.leave({"caller": gone})
            continue
        denied = admission.enter({"caller": key}, now)
        assert (denied is None) == reference.allows(key, now), f"{denied} for {key} at {now}"
        if denied is None:
            reference.admitted.setdefault(key, []).append(now)
            reference.running.append(key)
        elif denied.reason == "rate":
            later = now + denied.retry_after_ms / 1000
            [(_, rates)] = admission._rates
            assert not rates.wait_ms(key, later + 1e-6), "it came back when told to, too soon"


def simulate_all(seeds: Iterable[int]) -> None:
    for seed in seeds:
        try:
            simulate(seed)
        except BaseException as error:
            error.add_note(f"replay: SEED={seed} pytest tests/rules/test_admission.py")
            raise


def test_what_is_admitted_is_what_the_rate_and_the_seats_allow() -> None:
    chosen = os.environ.get("SEED")
    simulate_all(range(3000) if chosen is None else [int(chosen)])


def test_the_simulation_notices_a_bucket_that_is_never_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rates, "take", lambda *_: None)
    with pytest.raises(AssertionError):
        simulate_all(range(200))
