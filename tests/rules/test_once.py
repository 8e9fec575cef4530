"""The name of a message for the log, ids that derive from a cause, and what a durable member remembers."""

import pytest

from fabric.rules.once import OnceLedger, derived_id, key_of, once_line

SUBJECT, SOURCE = b"fab.ch.3.planner.greenhouse.north", "/nats/planner"


def test_the_same_message_has_the_same_name_in_every_process() -> None:
    # a value written down: another key or rule would let a retry across an upgrade be stored twice
    assert once_line(SUBJECT, SOURCE, "7") == b"Nats-Msg-Id: 3089ce7d480a9dba33ee7bb61fd5c163\r\n"


@pytest.mark.parametrize(
    ("subject", "source", "message_id"),
    [
        (b"fab.ch.3.planner.greenhouse.south", SOURCE, "7"),
        (SUBJECT, "/mqtt/planner", "7"),
        (SUBJECT, SOURCE, "8"),
    ],
    ids=["another channel", "another source", "another id"],
)
def test_another_message_has_another_name(subject: bytes, source: str, message_id: str) -> None:
    assert once_line(subject, source, message_id) != once_line(SUBJECT, SOURCE, "7")


def test_a_derived_id_names_holder_cause_and_number_and_fits_an_id() -> None:
    mine = derived_id("auditor", SUBJECT, "7", 1)
    others = {
        derived_id("another", SUBJECT, "7", 1),
        derived_id("auditor", b"fab.ch.3.other.greenhouse.north", "7", 1),
        derived_id("auditor", SUBJECT, "8", 1),
        derived_id("auditor", SUBJECT, "7", 2),
    }
    assert mine == derived_id("auditor", SUBJECT, "7", 1)
    assert mine not in others
    assert len(others) == 4
    assert len(derived_id("a" * 300, SUBJECT, "7" * 64, 10**9)) <= 64


def test_a_ledger_knows_its_messages_and_forgets_the_oldest() -> None:
    ledger = OnceLedger(capacity=3)
    for key in (1, 2, 3, 2, 4):
        ledger.add(key)
    assert [key in ledger for key in (1, 2, 3, 4)] == [False, True, True, True]


def test_a_ledger_survives_its_process() -> None:
    ledger = OnceLedger()
    keys = [key_of(SUBJECT, b"%d" % number) for number in range(5)]
    for key in keys[:3]:
        ledger.add(key)
    revived = OnceLedger(ledger.packed())
    assert [key in revived for key in keys] == [True, True, True, False, False]
    assert revived.packed() == ledger.packed()
    assert OnceLedger(b"").packed() == b""
