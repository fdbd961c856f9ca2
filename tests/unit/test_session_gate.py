"""test_session_gate: a fleet that comes at once is let in at the rate, and hardly anybody has to come twice."""

from __future__ import annotations

import heapq
import random
from collections import Counter

import pytest

from pybible.server.controller.sessions.gate import Gate, Turn
from pybible.server.controller.sessions.settings import SessionSettings

NOW = Turn(0.0, True)
SETTINGS = SessionSettings()


def test_so_many_may_come_at_once_and_the_next_wait_for_their_turn() -> None:
    gate = Gate(rate=10, burst=3, patience=1, now=0.0)
    assert [gate.admit(0.0) for _ in range(3)] == [NOW] * 3
    turns = [gate.admit(0.0) for _ in range(3)]
    assert [turn.wait for turn in turns] == pytest.approx([0.1, 0.2, 0.3])
    assert all(turn.admitted for turn in turns)


def test_places_come_back_with_time_and_are_never_more_than_the_burst() -> None:
    gate = Gate(rate=10, burst=3, patience=0, now=0.0)
    assert [gate.admit(100.0).admitted for _ in range(4)] == [True, True, True, False]
    assert gate.admit(100.2) == NOW


def test_who_would_wait_too_long_is_sent_away_and_takes_no_place() -> None:
    gate = Gate(rate=10, burst=1, patience=0.25, now=0.0)
    assert [gate.admit(0.0).admitted for _ in range(10)] == [True] * 3 + [False] * 7
    assert gate.admit(0.2).admitted


def test_those_who_are_sent_away_come_back_one_after_the_other() -> None:
    gate = Gate(rate=10, burst=1, patience=0, now=0.0)
    gate.admit(0.0)
    waits = [gate.admit(0.0).wait for _ in range(20)]
    assert waits[4:] == pytest.approx([(number + 1) / 10 for number in range(4, 20)])


def test_nobody_is_sent_away_for_longer_than_a_minute() -> None:
    gate = Gate(rate=1, burst=1, patience=0, now=0.0)
    assert max(gate.admit(0.0).wait for _ in range(1000)) == 60.0


@pytest.mark.parametrize(("agents", "twice"), [(1_000, 0), (3_333, 0), (8_000, 0), (10_000, 1_600), (30_000, 22_000)])
def test_a_fleet_that_comes_at_once_is_in_soon(agents: int, twice: int) -> None:
    rate = SETTINGS.handshakes
    draw = random.Random(1)
    gate = Gate(rate=rate, burst=SETTINGS.handshake_burst, patience=SETTINGS.handshake_patience, now=0.0)
    coming = [(draw.uniform(0, 1), agent) for agent in range(agents)]
    heapq.heapify(coming)
    tries: Counter[int] = Counter()
    last = 0.0
    begun = []
    while coming:
        now, agent = heapq.heappop(coming)
        tries[agent] += 1
        turn = gate.admit(now)
        if turn.admitted:
            last = max(last, now + turn.wait)
            begun.append(now + turn.wait)
        else:
            # An agent waits a little longer than it is told, up to a second.
            heapq.heappush(coming, (now + turn.wait + draw.uniform(0, 1), agent))
    assert last <= max(1.0, 1.2 * agents / rate)
    assert tries.total() - agents <= twice
    # In no second do more begin than the burst and the rate allow.
    assert max(Counter(map(int, begun)).values()) <= rate + SETTINGS.handshake_burst + 1
