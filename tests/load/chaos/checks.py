"""checks: what must hold after the faults, read from the marks, the agents' journals and the controller's store."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from pybible.agent.journal import EntryState, Journal
from tests.load.chaos.operators import Lead


@dataclass(slots=True)
class Findings:
    """What was found. Nothing in `wrong`: everything holds."""

    attempts: int = 0
    executed: int = 0
    runs: int = 0
    broken: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


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


def check(leads: Sequence[Lead], *, marks: Sequence[Path], store: Path, folders: Sequence[Path]) -> Findings:
    """Look at everything once no fault happens any more and every agent is back."""
    # Without those that no controller has ever answered.
    leads = [lead for lead in leads if lead.run_id]
    found = Findings(attempts=sum(len(lead.asked) for lead in leads), runs=len(leads))
    found.broken = sum(lead.broken for lead in leads)
    executed = Counter(line.split()[0] for path in marks if path.exists() for line in path.read_text().splitlines())
    found.executed = len(executed)
    found.wrong += [f"attempt {name} was executed {count} times" for name, count in executed.items() if count > 1]
    for lead in leads:
        found.reasons += lead.reasons
        found.wrong += _ends(lead)
    found.wrong += [f"the result of {name} was never handed over" for name in waiting_results(folders)]
    with closing(sqlite3.connect(store)) as connection:
        found.wrong += _stored(connection, leads, executed)
    return found


def _ends(lead: Lead) -> list[str]:
    """Check that all that was asked for has one end, as far as its operator was there to see it."""
    wrong = [f"{lead.run_id}: {name} ended {count} times" for name, count in lead.ends.items() if count > 1]
    if lead.stuck:
        wrong.append(f"{lead.run_id} is stuck: {len(lead.asked) - len(lead.ends)} attempts without an end")
    if not (lead.broken or lead.vanished):
        wrong += [f"{lead.run_id}: {name} has no end" for name in lead.asked if not lead.ends[name]]
    return wrong


def _stored(connection: sqlite3.Connection, leads: Sequence[Lead], executed: Counter[str]) -> list[str]:
    """Check what the history says."""
    wrong = [
        f"run {run_id} is still {state}"
        for run_id, state in connection.execute("SELECT run_id, state FROM runs WHERE state = 'running'")
    ]
    rows = {
        attempt_id: (run_id, state, granted, ended)
        for attempt_id, run_id, state, granted, ended in connection.execute(
            "SELECT attempt_id, run_id, state, dispatched, ended FROM attempts"
        )
    }
    wrong += [f"attempt {name} is {row[1]} in the history" for name, row in rows.items() if row[1] != "done"]
    whole = {lead.run_id: lead for lead in leads if not lead.broken}
    # What a controller has not written before it was killed is not in its history; whoever led the run knows that.
    for name in executed.keys() - rows.keys():
        if name.partition(":")[0] in whole:
            wrong.append(f"attempt {name} was executed, and the history has no trace of it")
    for run_id, lead in whole.items():
        spans = [row[2:] for row in rows.values() if row[0] == run_id and row[2] is not None]
        most = _most_at_once(spans)
        if most > lead.forks:
            wrong.append(f"{run_id}: {most} attempts were out, {lead.forks} are allowed")
    return wrong


def _most_at_once(spans: Sequence[tuple[float, float]]) -> int:
    """Return how many of these spans of time overlap at most. One may begin when another ends."""
    moments = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    now = most = 0
    for _, step in moments:
        now += step
        most = max(most, now)
    return most
