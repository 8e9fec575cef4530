"""The check behind every figure: a run that lost, doubled or shuffled a message says so."""

import pytest

from fabric_bench.check import PAYLOAD_BYTES, Checked, check, numbers_of, payloads


def test_payloads_have_the_stated_size_and_are_all_different() -> None:
    made = payloads(1000)
    assert {len(payload) for payload in made} == {PAYLOAD_BYTES}
    assert len(set(made)) == 1000


def test_a_payload_tells_its_number() -> None:
    assert numbers_of(payloads(300)) == list(range(300))


@pytest.mark.parametrize(
    ("arrived", "found"),
    [
        ([0, 1, 2, 3], Checked(0, 0, 0)),
        ([0, 1, 2], Checked(1, 0, 0)),
        ([], Checked(4, 0, 0)),
        ([1, 2, 3], Checked(1, 0, 0)),
        ([0, 1, 1, 2, 3], Checked(0, 1, 0)),
        ([0, 1, 2, 3, 3, 3], Checked(0, 2, 0)),
        ([0, 2, 1, 3], Checked(0, 0, 1)),
        ([3, 2, 1, 0], Checked(0, 0, 3)),
        ([0, 1, 2, 3, 9], Checked(0, 1, 0)),
        ([0, 2, 1, 1], Checked(1, 1, 1)),
    ],
)
def test_what_went_wrong_is_counted_by_kind(arrived: list[int], found: Checked) -> None:
    assert check(arrived, range(4)) == found
