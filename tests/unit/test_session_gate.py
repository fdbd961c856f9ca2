"""test_session_gate: a fleet that comes at once is let in at the rate, and nobody has to come again and again."""

from __future__ import annotations

import heapq
import random
from collections import Counter

import pytest

from pybible.server.controller.sessions.gate import Gate


def test_so_many_may_come_at_once() -> None:
    gate = Gate(rate=10, burst=3, now=0.0)
    assert [gate.admit(0.0) == 0 for _ in range(5)] == [True, True, True, False, False]


def test_places_come_back_with_time_and_are_never_more_than_the_burst() -> None:
    gate = Gate(rate=10, burst=3, now=0.0)
    assert [gate.admit(100.0) == 0 for _ in range(4)] == [True, True, True, False]
    assert gate.admit(100.2) == 0


def test_nobody_is_sent_away_for_longer_than_a_minute() -> None:
    gate = Gate(rate=1, burst=1, now=0.0)
    assert max(gate.admit(0.0) for _ in range(1000)) == 60.0


@pytest.mark.parametrize("agents", [1_000, 3_000, 10_000])
def test_a_fleet_that_comes_at_once_is_in_soon(agents: int) -> None:
    draw = random.Random(1)
    gate = Gate(rate=500, burst=1000, now=0.0)
    coming = [(draw.uniform(0, 1), agent) for agent in range(agents)]
    heapq.heapify(coming)
    tries: Counter[int] = Counter()
    now = 0.0
    while coming:
        now, agent = heapq.heappop(coming)
        tries[agent] += 1
        wait = gate.admit(now)
        if wait:
            # An agent waits a little longer than it is told, up to a second.
            heapq.heappush(coming, (now + wait + draw.uniform(0, 1), agent))
    assert now <= max(3.0, 1.2 * agents / 500)
    assert tries.total() <= 2.2 * agents
