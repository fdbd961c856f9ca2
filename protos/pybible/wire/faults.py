"""faults: lets a process die, wait or fail at a point of the protocol, for tests of what becomes of its work then.

PYBIBLE_FAULT="POINT:WHAT[@N],...": at the N-th time (the first, if it is not said) that the process comes to that
point, once: `kill9` kills it, `raise` raises FaultRaised, `delay=SECONDS` blocks it. Without it, `at` does nothing.
PYBIBLE_FAULT_RECORD=FILE: each fault that comes about adds a line to it, its point.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

POINTS: Mapping[str, str] = MappingProxyType(
    {
        # agent
        "before_journal": "agent: a dispatch came",
        "after_journal": "agent: it is in the journal as accepted",
        "after_accept": "agent: Accepted is on its way",
        "before_start": "agent: a worker is ready for it",
        "after_start": "agent: the worker has it",
        "before_result": "agent: the worker has answered",
        "after_result": "agent: the result is in the journal",
        "after_result_sent": "agent: the result was sent",
        "before_acknowledge": "agent: an Ack came",
        "after_acknowledge": "agent: the Ack is in the journal",
        # worker
        "worker_before_run": "worker: a task came",
        "worker_after_run": "worker: its module has ended",
        # controller
        "before_dispatch": "controller: an attempt has a slot",
        "after_dispatch_sent": "controller: its Dispatch was sent",
        "after_accepted": "controller: Accepted came",
        "before_verdict": "controller: a result came",
        "after_verdict": "controller: its run has it",
        "before_store": "controller: a batch is to be written",
        "after_store": "controller: the batch is durable, and not acknowledged",
        "after_ack_sent": "controller: an Ack was sent",
        "after_finished_sent": "controller: a ctl was told how its run ended",
        # ctl
        "ctl_before_send": "ctl: attempts or events are to be sent",
        "ctl_after_send": "ctl: they were sent",
        "ctl_before_result": "ctl: the end of an attempt came",
    }
)
_KINDS = ("kill9", "raise", "delay")


class FaultRaised(Exception):
    """What `raise` raises."""


class Faults:
    """What is to happen in one process. ValueError for a text that says nothing sensible."""

    def __init__(self, text: str, *, record: str = "") -> None:
        self._record = record
        # Point -> (what, seconds, how many times it is still passed by).
        self._due: dict[str, tuple[str, float, int]] = {}
        for entry in filter(None, text.split(",")):
            point, _, rest = entry.strip().partition(":")
            rest, _, count = rest.partition("@")
            kind, _, seconds = rest.partition("=")
            if point not in POINTS or kind not in _KINDS:
                raise ValueError(f"{entry!r} is no fault: POINT:WHAT[@N]; points are {', '.join(POINTS)}")
            self._due[point] = (kind, float(seconds or 0), int(count or 1) - 1)

    def at(self, point: str) -> None:
        """The process is at a point."""
        found = self._due.get(point)
        if found is None:
            return
        kind, seconds, left = found
        if left > 0:
            self._due[point] = (kind, seconds, left - 1)
            return
        del self._due[point]
        if self._record:
            # At once and whole: what comes next may be the end.
            with open(self._record, "ab", buffering=0) as file:  # noqa: PTH123  agents do without pathlib as long as they can
                file.write(f"{point}\n".encode())
        if kind == "kill9":
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == "delay":
            time.sleep(seconds)
        else:
            raise FaultRaised(f"PYBIBLE_FAULT at {point}")


def _nothing(_point: str) -> None:
    """Let nothing happen."""


# Whether anything may happen in this process: for places that would have to find out first which point they are at.
ARMED = bool(os.environ.get("PYBIBLE_FAULT"))
at: Callable[[str], None] = (
    Faults(os.environ["PYBIBLE_FAULT"], record=os.environ.get("PYBIBLE_FAULT_RECORD", "")).at if ARMED else _nothing
)
