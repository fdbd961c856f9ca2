"""hunt: feeds a reader examples for a number of seconds, or a number of examples, and keeps what went wrong."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

_ROUND = 200
_FINDINGS = 20
_FRAMES = 8
_SHOWN = 1000
_MEBIBYTE = 1024 * 1024
# What these say above a warning is that something of ours raised where nobody caught it.
_LIBRARIES = ("asyncio", "grpc")


class Finding(AssertionError):
    """What must not be: the text says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A reader that is ready. `check` raises for what must not be. `is_quick`: findings are made small."""

    examples: st.SearchStrategy[Any]
    check: Callable[[Any], object]
    is_quick: bool = True
    # The processes whose memory counts, besides this one.
    processes: Callable[[], list[int]] = list


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something that reads what others wrote. `open` makes it ready in a folder; a short run has so many `examples`."""

    name: str
    about: str
    open: Callable[[Path], AbstractContextManager[Trial]]
    examples: int = 100


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of it. Memory (resident, of all processes concerned) in MiB: after the first round, and at the end."""

    target: str
    seed: int | None
    examples: int = 0
    seconds: float = 0.0
    memory: tuple[float, float] = (0.0, 0.0)
    # The first of each kind.
    findings: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        first, last = self.memory
        return (
            f"{self.target}: seed {self.seed}, {self.examples} examples in {self.seconds:.0f} s, "
            f"{first:.0f} MiB at the begin and {last:.0f} at the end, {len(self.findings)} findings"
        )


class Watch(logging.Handler):
    """Keeps what log records tell of exceptions that nobody expected."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take one."""
        loud = record.levelno >= logging.ERROR and record.name.startswith(_LIBRARIES)
        if loud or record.exc_info:
            shown = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
            self.problems.append(f"{record.name}: {record.getMessage()}\n{shown}")

    def raise_any(self) -> None:
        """Raise what came since it was last asked."""
        problems, self.problems = self.problems, []
        if problems:
            raise Finding("an exception in the log: " + "\n".join(problems))


@contextmanager
def _watched() -> Iterator[Watch]:
    watch = Watch()
    root = logging.getLogger()
    root.addHandler(watch)
    try:
        yield watch
    finally:
        root.removeHandler(watch)


def hunt(target: Target, folder: Path, *, seconds: float = 0.0, start: int | None = None) -> Outcome:
    """Feed it for `seconds`, in rounds from the seed `start` on; without, a short run that is always the same."""
    outcome = Outcome(target=target.name, seed=start)
    began = time.monotonic()
    end = began + seconds if seconds else float("inf")
    with _watched() as watch, target.open(folder) as trial:
        number = 0
        while number == 0 or (time.monotonic() < end and len(outcome.findings) < _FINDINGS):
            _round(target, trial, watch, outcome, end=end, start=None if start is None else start + number)
            memory = _memory(trial)
            outcome.memory = (memory if number == 0 else outcome.memory[0], memory)
            number += 1
            if not seconds:
                break
    outcome.seconds = time.monotonic() - began
    return outcome


def _round(target: Target, trial: Trial, watch: Watch, outcome: Outcome, *, end: float, start: int | None) -> None:
    def attempt(example: object) -> None:
        if time.monotonic() > end:
            return
        outcome.examples += 1
        trial.check(example)
        watch.raise_any()

    phases = (Phase.explicit, Phase.generate, Phase.shrink) if trial.is_quick else (Phase.explicit, Phase.generate)
    configured = settings(
        max_examples=target.examples if start is None else _ROUND,
        deadline=None,
        database=None,
        derandomize=start is None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    test = configured(given(trial.examples)(attempt))
    try:
        (test if start is None else seed(start)(test))()
    except Exception as error:
        for each in error.exceptions if isinstance(error, ExceptionGroup) else [error]:
            outcome.findings.setdefault(_place(each), _told(each))
        watch.problems.clear()


def _place(error: BaseException) -> str:
    """Return what tells one flaw from another: the kind of the exception, and where it was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    detail = str(error)[:_SHOWN] if isinstance(error, Finding) else ""
    return f"{type(error).__name__} {last.filename}:{last.lineno} {detail}"


def _told(error: BaseException) -> str:
    """Return where it was raised, and the example, both cut to what can be read."""
    notes = [note[:_SHOWN] for note in getattr(error, "__notes__", ())]
    frames = traceback.format_tb(error.__traceback__)[-_FRAMES:]
    return "".join([*frames, f"{type(error).__name__}: {error}"[: 4 * _SHOWN], "\n", *notes, "\n"])


def _memory(trial: Trial) -> float:
    total = 0
    for pid in (psutil.Process().pid, *trial.processes()):
        try:
            total += psutil.Process(pid).memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / _MEBIBYTE
