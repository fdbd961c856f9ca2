"""test_recent_runs: the list of runs that is kept in memory, and when it is not enough."""

from __future__ import annotations

from pybible.server.controller.runs.recent import RecentRuns
from pybible.server.controller.store.runs import RunRecord, RunState


def _record(number: int, state: RunState = RunState.FINISHED) -> RunRecord:
    return RunRecord(
        run_id=f"{number:04}", name="site.yml", operator="ada", forks=5, check_mode=False, state=state, started=number
    )


def _ids(recent: RecentRuns, limit: int, before: str = "") -> list[str] | None:
    found = recent.newest(limit, before=before)
    return None if found is None else [run.record.run_id for run in found]


def test_the_newest_come_first() -> None:
    recent = RecentRuns([_record(2), _record(1)])
    recent.put(_record(3), 7)
    assert _ids(recent, 2) == ["0003", "0002"]
    assert _ids(recent, 9, before="0003") == ["0002", "0001"]


def test_a_run_that_ends_stays_where_it_is() -> None:
    recent = RecentRuns()
    recent.put(_record(1, RunState.RUNNING), 0)
    recent.put(_record(2, RunState.RUNNING), 0)
    recent.put(_record(1), 5)
    [second, first] = recent.newest(9) or []
    assert (first.record.run_id, first.record.state, first.hosts) == ("0001", RunState.FINISHED, 5)
    assert second.record.state is RunState.RUNNING


def test_the_store_is_asked_for_what_is_older_than_all_that_is_kept() -> None:
    recent = RecentRuns([_record(number) for number in range(3)], kept=3)
    assert _ids(recent, 9) == ["0002", "0001", "0000"]
    recent.put(_record(3), 1)
    assert _ids(recent, 3) == ["0003", "0002", "0001"]
    assert _ids(recent, 4) is None
    assert _ids(recent, 1, before="0001") is None


def test_runs_of_an_earlier_controller_are_counted_once() -> None:
    recent = RecentRuns([_record(1)])
    assert [run.hosts for run in recent.newest(1) or []] == [None]
    recent.count({"0001": 4, "0000": 9})
    assert [run.hosts for run in recent.newest(1) or []] == [4]
