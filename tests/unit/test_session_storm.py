"""test_session_storm: while many come back nobody's grace ends; when nobody comes back all are lost in time."""

from __future__ import annotations

from pybible.server.controller.sessions.instructions import SessionState
from pybible.server.controller.sessions.storm import Storm

READY, SUSPECT, SYNC, LOST = SessionState.READY, SessionState.SUSPECT, SessionState.SYNC, SessionState.LOST


def storm_of(agents: int, *, now: float = 0.0) -> Storm:
    """Return one that has seen so many agents leave."""
    storm = Storm(size=50, pause=5, longest=120)
    for _ in range(agents):
        storm.moved(READY, SUSPECT, now=now)
    return storm


def come_back(storm: Storm, count: int, *, now: float) -> None:
    """Let so many agents come back."""
    for _ in range(count):
        storm.moved(SUSPECT, SYNC, now=now)
        storm.moved(SYNC, READY, now=now)


def test_a_few_that_leave_are_no_storm() -> None:
    storm = storm_of(49)
    come_back(storm, 5, now=1)
    assert storm.until(1) == 0


def test_it_begins_once_with_the_last_of_many() -> None:
    storm = Storm(size=3)
    assert [storm.moved(READY, SUSPECT, now=0) for _ in range(5)] == [False, False, True, False, False]


def test_it_lasts_while_they_keep_coming_back() -> None:
    storm = storm_of(1000)
    for second in range(2, 60, 2):
        come_back(storm, 30, now=second)
        assert storm.until(second) == second + 5


def test_the_last_ones_have_time_too() -> None:
    storm = storm_of(1000)
    come_back(storm, 999, now=3)
    assert storm.until(7.9) == 8


def test_a_partition_is_none_though_some_come_back() -> None:
    storm = storm_of(1000)
    come_back(storm, 5, now=4)
    assert storm.until(14.9) == 0


def test_it_ends_when_all_are_back() -> None:
    storm = storm_of(100)
    come_back(storm, 100, now=3)
    assert storm.until(3) == 0
    assert storm.away == 0


def test_those_that_are_lost_are_not_back() -> None:
    storm = storm_of(100)
    for _ in range(60):
        storm.moved(SUSPECT, LOST, now=4)
    assert storm.until(5) == 0
    assert storm.away == 40


def test_it_has_an_end_whatever_happens() -> None:
    storm = storm_of(1000)
    for second in range(1, 120):
        come_back(storm, 30, now=second)
        for _ in range(30):
            storm.moved(READY, SUSPECT, now=second)
    assert storm.until(119.9) == 120
    assert storm.until(120) == 0
