"""What a consumer owes, and when it is asked for more."""

from fabric.rules.log.pulling import SILENT_S, Credit


def test_what_is_owed_is_asked_for_once() -> None:
    credit = Credit()
    assert credit.ask(64, 64, 0.0) == 64
    assert credit.ask(64, 64, 0.0) == 0
    for _ in range(64):
        credit.arrived(1.0)
    assert credit.owed == 0
    assert credit.ask(3, 64, 1.0) == 3


def test_a_small_gap_waits_until_it_is_worth_a_request() -> None:
    credit = Credit()
    credit.ask(64, 64, 0.0)
    for _ in range(7):
        credit.arrived(0.0)
    assert credit.ask(64, 64, 0.0) == 0
    credit.arrived(0.0)
    assert credit.ask(64, 64, 0.0) == 8


def test_a_request_that_ended_short_is_asked_for_again() -> None:
    credit = Credit()
    credit.ask(10, 10, 0.0)
    credit.ended(4)
    assert credit.owed == 6
    credit.ended(None)
    assert credit.ask(10, 10, 0.0) == 10


def test_a_silent_server_has_forgotten_us_and_a_heartbeat_says_it_has_not() -> None:
    credit = Credit()
    assert not credit.is_lost(100.0)
    credit.ask(10, 10, 0.0)
    credit.heard(SILENT_S)
    assert not credit.is_lost(2 * SILENT_S)
    assert credit.is_lost(2 * SILENT_S + 1)
    credit.reset()
    assert credit.ask(10, 10, 100.0) == 10


def test_more_than_was_asked_for_does_not_make_a_debt() -> None:
    credit = Credit()
    credit.arrived(0.0)
    assert credit.owed == 0
    assert credit.ask(1, 1, 0.0) == 1
