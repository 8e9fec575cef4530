"""Which partition a job goes into."""

import pytest

from fabric.rules.queues.partitions import PARTITIONS, partition_of
from fabric.subjects import QUEUE_PARTITIONS


@pytest.mark.parametrize(
    ("priority", "first"), [(0, "l"), (2, "l"), (3, "n"), (4, "n"), (6, "n"), (7, "h"), (9, "h")]
)
def test_a_priority_has_its_class(priority: int, first: str) -> None:
    assert partition_of("planner", priority)[0] == first


def test_a_key_has_one_place_whatever_the_source_and_priority() -> None:
    places = {partition_of(source, priority, "customer-7") for source in "abcd" for priority in range(10)}
    assert len(places) == 1
    assert places.pop()[0] == "k"


def test_every_partition_is_reached_and_credentials_spell_them_all() -> None:
    sources, keys = [f"source-{number}" for number in range(50)], [f"key-{number}" for number in range(100)]
    reached = {partition_of(source, priority) for source in sources for priority in range(10)}
    reached |= {partition_of("a", 4, key) for key in keys}
    assert reached == {partition.token for partition in PARTITIONS} == set(QUEUE_PARTITIONS)
