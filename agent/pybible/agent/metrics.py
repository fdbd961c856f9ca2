"""metrics: what an agent tells a monitoring system, in a file for node_exporter's textfile collector.

No port is opened on the host, and no package comes with it: the text format is lines of a name and a number.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

from pybible.agent.dial import Dialer
from pybible.agent.outbox import FULL
from pybible.agent.stream import Session
from pybible.wire.logs import fields
from pybible.wire.protocol import VERSION

Kind: TypeAlias = Literal["counter", "gauge"]
# Name -> type, meaning and, where there is a label, its name. No label ever has a value that a task chose.
CATALOG: Mapping[str, tuple[Kind, str, str]] = MappingProxyType(
    {
        "pybible_agent_build_info": ("gauge", "Always 1.", "version"),
        "pybible_agent_attached": ("gauge", "1 while the agent has a session with the controller, else 0.", ""),
        "pybible_agent_dials_total": ("counter", "How often the controller was dialled.", ""),
        "pybible_agent_sessions_total": ("counter", "How often a session was agreed.", ""),
        "pybible_agent_slots": ("gauge", "How many tasks may run at once.", ""),
        "pybible_agent_running_tasks": ("gauge", "Tasks that run.", ""),
        "pybible_agent_waiting_tasks": ("gauge", "Tasks that wait for a worker.", ""),
        "pybible_agent_attempts_total": (
            "counter",
            "Tasks that have ended; the reason is empty for the module's own result, whatever that says.",
            "reason",
        ),
        "pybible_agent_refused_attempts_total": ("counter", "Tasks that were not taken.", "reason"),
        "pybible_agent_unacknowledged_attempts": (
            "gauge",
            "Attempts in the journal that the controller has not acknowledged: running ones, and results on their way.",
            "",
        ),
        "pybible_agent_queued_messages": ("gauge", "Messages that wait to be sent to the controller.", ""),
        "pybible_agent_queue_limit_messages": (
            "gauge",
            "With so many of them nothing more is read from the controller.",
            "",
        ),
        "pybible_agent_certificate_expiry_timestamp_seconds": (
            "gauge",
            "When the agent's certificate ends, as Unix time.",
            "",
        ),
        "pybible_agent_process_cpu_seconds_total": ("counter", "CPU time of the agent, without its workers.", ""),
        "pybible_agent_process_resident_memory_bytes": ("gauge", "Memory of the agent, without its workers.", ""),
        "pybible_agent_process_start_time_seconds": ("gauge", "When the agent started, as Unix time.", ""),
        "pybible_agent_written_timestamp_seconds": ("gauge", "When this was written, as Unix time.", ""),
    }
)
_log = logging.getLogger(__name__)


class MetricsFile:
    """Writes `path` as long as the agent runs. `dials`: how often the controller was dialled."""

    def __init__(
        self,
        path: Path,
        *,
        session: Session,
        dialer: Dialer,
        dials: Callable[[], int],
        interval: float,
    ) -> None:
        self._path = path
        self._session = session
        self._dialer = dialer
        self._dials = dials
        self._interval = interval
        self._began = time.time()
        self._failed = False

    async def run(self) -> None:
        """Write now and then until cancelled; then take the file away: what it says is not true any more."""
        try:
            while True:
                self.write()
                await asyncio.sleep(self._interval)
        finally:
            with suppress(OSError):
                self._path.unlink()

    def write(self) -> None:
        """Write the file: whoever reads it sees the old one or the new one. A failure is told once."""
        # The folder may be another user's: what lies there under our name is not opened, but replaced.
        fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            fresh.unlink(missing_ok=True)
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(self.text())
            fresh.replace(self._path)
        except OSError as error:
            if not self._failed:
                _log.warning("metrics are not written", extra=fields(path=str(self._path), error=error.strerror))
            self._failed = True
        else:
            self._failed = False

    def text(self) -> str:
        """Return all metrics in Prometheus's text format."""
        lines = []
        known = dict(self._values())
        for name, (kind, meaning, label) in CATALOG.items():
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
            for value, number in known[name].items():
                lines.append(f'{name}{{{label}="{value}"}} {number}' if label else f"{name} {number}")
        return "\n".join([*lines, ""])

    def _values(self) -> Iterator[tuple[str, Mapping[str, float]]]:
        session, attempts, pool = self._session, self._session.attempts, self._session.attempts.pool
        yield "pybible_agent_build_info", {VERSION: 1}
        yield "pybible_agent_attached", {"": int(attempts.outlet is not None)}
        yield "pybible_agent_dials_total", {"": self._dials()}
        yield "pybible_agent_sessions_total", {"": session.opened}
        yield "pybible_agent_slots", {"": session.slots}
        yield "pybible_agent_running_tasks", {"": pool.running}
        yield "pybible_agent_waiting_tasks", {"": pool.waiting}
        yield "pybible_agent_attempts_total", {"": 0, **attempts.ended}
        yield "pybible_agent_queued_messages", {"": session.stream.queued if session.stream is not None else 0}
        yield "pybible_agent_queue_limit_messages", {"": FULL}
        refused = {refusal.value.lower(): count for refusal, count in attempts.refused.items()}
        yield "pybible_agent_refused_attempts_total", refused
        yield "pybible_agent_unacknowledged_attempts", {"": attempts.journal.unacknowledged}
        yield "pybible_agent_certificate_expiry_timestamp_seconds", {"": self._dialer.expires}
        yield "pybible_agent_process_cpu_seconds_total", {"": time.process_time()}
        yield "pybible_agent_process_resident_memory_bytes", {"": _resident()}
        yield "pybible_agent_process_start_time_seconds", {"": self._began}
        yield "pybible_agent_written_timestamp_seconds", {"": time.time()}


def _resident() -> int:
    pages = Path("/proc/self/statm").read_bytes().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
