"""checks: what must hold after the faults, read from the marks, the agents' journals and the controller's store."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from pybible.agent.journal import EntryState, Journal
from tests.load.chaos.marks import Marks
from tests.load.chaos.operators import Lead

# What the controller gave up still runs for as long as it takes: it is out until the verdict. Clocks of two processes.
_CLOCKS = 0.005


@dataclass(slots=True)
class Findings:
    """What was found. Nothing in `wrong`: everything holds. `stored`: attempts in the history."""

    attempts: int = 0
    ended: int = 0
    executed: int = 0
    stored: int = 0
    late: int = 0
    runs: int = 0
    broken: int = 0
    vanished: int = 0
    # Runs of which as many were out as may be, as agents and as the controller saw it.
    full_by_marks: int = 0
    full_by_history: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Row:
    """An attempt in the history. Moments in seconds since the epoch."""

    attempt_id: str
    run_id: str
    task_id: str
    host: str
    state: str
    late: bool
    dispatched: float | None
    ended: float | None


def waiting_results(folders: Iterable[Path]) -> list[str]:
    """Return the attempts whose results the agents of these folders have, and nobody has acknowledged."""
    found = []
    for folder in folders:
        # The agent may be running: its journal is read from a copy.
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch)
            if (folder / "journal").exists():
                shutil.copy(folder / "journal", copy)
            journal = Journal(copy)
            entries = journal.open_entries()
            journal.close()
        found += [attempt_id for attempt_id, entry in entries if entry.state is EntryState.FINISHED]
    return found


def running_runs(store: Path) -> list[str]:
    """Return the runs that are still `running`."""
    with closing(sqlite3.connect(store)) as connection:
        return [row[0] for row in connection.execute("SELECT run_id FROM runs WHERE state = 'running'")]


def check(
    leads: Sequence[Lead],
    *,
    marks: Marks,
    store: Path,
    folders: Sequence[Path],
    starts: Sequence[tuple[float, float]] = (),
) -> Findings:
    """Look at everything once no fault happens any more and every agent is back.

    `starts`: from when to when controllers were being started.
    """
    marks.follow()
    # Without those that no controller has ever answered.
    leads = [lead for lead in leads if lead.run_id]
    found = Findings(attempts=sum(len(lead.asked) for lead in leads), runs=len(leads), executed=len(marks.begun))
    found.ended = sum(lead.ends.total() for lead in leads)
    found.broken = sum(lead.broken for lead in leads)
    found.vanished = sum(lead.vanished for lead in leads)
    found.wrong += marks.wrong
    found.wrong += [f"the result of {name} was never handed over" for name in waiting_results(folders)]
    found.wrong += [f"run {run_id} is still running" for run_id in running_runs(store)]
    with closing(sqlite3.connect(store)) as connection:
        query = "SELECT attempt_id, run_id, task_id, host, state, late, dispatched, ended FROM attempts"
        rows = [_Row(*row) for row in connection.execute(query)]
    found.stored, found.late = len(rows), sum(row.late for row in rows)
    found.wrong += [f"attempt {row.attempt_id} is {row.state} in the history" for row in rows if row.state != "done"]
    by_run: dict[str, list[_Row]] = {}
    for row in rows:
        by_run.setdefault(row.run_id, []).append(row)
    for lead in leads:
        found.reasons += lead.reasons
        found.wrong += lead.wrong
        found.wrong += _ends(lead, by_run.get(lead.run_id, []))
    whole = {lead.run_id for lead in leads if lead.whole}
    found.wrong += _traces(marks, rows, whole)
    for lead in leads:
        _count_out(lead, by_run.get(lead.run_id, []), marks, found, starts)
    return found


def _ends(lead: Lead, rows: Sequence[_Row]) -> Iterator[str]:
    """Check that all that was asked for has one end, for its operator if he was there, and in the history."""
    stored = Counter((row.task_id, row.host) for row in rows)
    for task, host in lead.asked:
        count = stored[task, host]
        if count > 1:
            yield f"{lead.run_id}: {task} on {host} has {count} results in the history"
        if lead.whole and lead.ends[task, host] != 1:
            yield f"{lead.run_id}: {task} on {host} ended {lead.ends[task, host]} times"
        if lead.whole and not count and (task, host) not in lead.dropped:
            yield f"{lead.run_id}: {task} on {host} is not in the history"
    for task, host in stored.keys() - set(lead.asked):
        yield f"{lead.run_id}: {task} on {host} is in the history, and nobody asked for it"


def _mark(row: _Row, marks: Mapping[str, float]) -> float | None:
    """Return when it was, as an agent of the swarm or a real one names it."""
    found = marks.get(row.attempt_id)
    return marks.get(f"{row.run_id}/{row.task_id}/{row.host}") if found is None else found


def _traces(marks: Marks, rows: Sequence[_Row], whole: set[str]) -> Iterator[str]:
    """Check that what was executed is in the history, if whoever led its run was there to see it."""
    known = {row.attempt_id for row in rows} | {f"{row.run_id}/{row.task_id}/{row.host}" for row in rows}
    for name in marks.begun.keys() - known:
        # A run's id is 36 characters, and what follows depends on who made the name.
        if name[:36] in whole:
            yield f"{name} was executed, and the history has no trace of it"


def _count_out(
    lead: Lead, rows: Sequence[_Row], marks: Marks, found: Findings, starts: Sequence[tuple[float, float]]
) -> None:
    """Check that never more than forks were out, by the agents' marks and by the controller's history."""
    granted = [(row.dispatched, row.ended) for row in rows if row.dispatched is not None and row.ended is not None]
    executed = []
    for row in rows:
        begun, ended = _mark(row, marks.begun), _mark(row, marks.ended)
        if begun is None or row.ended is None:
            continue
        is_rough = any(began <= row.ended <= up for began, up in starts)
        if is_rough and (ended is None or ended > row.ended):
            # Its operator had its end from a controller that was killed before it wrote that down: all that the history
            # has is that it was before the next one was there.
            continue
        end = min(row.ended - _CLOCKS, ended or row.ended)
        if begun < end:
            executed.append((begun, end))
    for who, spans in (("the history", granted), ("the agents", executed)):
        most = most_at_once(spans)
        if most > lead.forks:
            found.wrong.append(f"{lead.run_id}: {most} attempts were out by {who}, {lead.forks} are allowed")
    found.full_by_history += most_at_once(granted) == lead.forks
    found.full_by_marks += most_at_once(executed) == lead.forks


def most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    """Return how many of these spans of time overlap at most. One may begin when another ends."""
    moments = sorted([moment for begin, end in spans for moment in ((begin, 1), (end, -1))])
    now = most = 0
    for _, step in moments:
        now += step
        most = max(most, now)
    return most
