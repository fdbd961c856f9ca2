"""hunt: feeds a reader examples for a number of seconds, or a number of examples, and keeps what went wrong."""

from __future__ import annotations

import faulthandler
import logging
import math
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.growth import CANCELLED_CALL_BYTES, Growth, resident
from tests.fuzz.making import BATCH, batches

_FINDINGS = 20
_FRAMES = 8
_SHOWN = 1000
# Memory is read when so many seconds are over, at the least.
_READ_SECONDS = 2.0
# Beyond an example's own deadline: then the process is ended, and says where it was.
_HARD_SECONDS = 60.0
# What these say above a warning is that something of ours raised where nobody caught it.
_LIBRARIES = ("asyncio", "grpc")


class Finding(AssertionError):
    """What must not be: the text says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A reader that is ready. `check` raises for what must not be."""

    check: Callable[[Any], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something that reads what others wrote. `open` makes it ready in a folder.

    `material` returns what its examples are taken from; a short run has so many `examples`. An example has `deadline`
    seconds. `is_quick`: it only reads, without any call; findings are made small.
    """

    name: str
    about: str
    material: Callable[[], st.SearchStrategy[Any]]
    open: Callable[[Path], AbstractContextManager[Trial]]
    examples: int = 100
    deadline: float = 120.0
    is_quick: bool = False


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of it. `cpu` is this process's seconds, without those of making the examples."""

    target: str
    seed: int | None
    examples: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    growth: Growth = field(default_factory=Growth)
    # The first of each kind.
    findings: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        memory = self.growth
        return (
            f"{self.target}: seed {self.seed}, {self.examples} examples in {self.seconds:.0f} s, {self.cpu:.0f} s CPU, "
            f"{memory.first:.1f} MiB at the begin and {memory.last:.1f} at the end, slope {memory.each:.0f} "
            f"bytes/example, {len(self.findings)} findings\n  memory, examples: MiB: {memory.course}"
        )

    def add(self, error: Exception) -> bool:
        """Keep what went wrong. Return whether it is the first of its kind."""
        place = _place(error)
        is_new = place not in self.findings
        if is_new:
            self.findings[place] = _told(error)
        return is_new


class Watch(logging.Handler):
    """Keeps what log records tell of exceptions that nobody expected."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take one."""
        loud = record.levelno >= logging.ERROR and record.name.startswith(_LIBRARIES)
        # gRPC's own for the loop of a ctl before, which is closed: there is one loop in a process but for this one.
        if loud and "PollerCompletionQueue" in record.getMessage() and "is closed" in str(record.exc_info):
            return
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
    """Feed it for `seconds`, with examples from the seed `start` on; without, a short run that is always the same.

    Only a long run reads the memory, and makes a finding of its growth: in a short one it is hypothesis' that grows.
    """
    outcome = Outcome(target=target.name, seed=start)
    if not target.is_quick:
        outcome.growth.allowed_each = CANCELLED_CALL_BYTES
    with _watched() as watch, target.open(folder) as trial:
        began, used = time.monotonic(), time.process_time()

        # A short run is a test's, which has its own end.
        bound = _bounded if seconds else nullcontext

        def attempt(example: object) -> None:
            outcome.examples += 1
            with bound(target.deadline):
                trial.check(example)
            watch.raise_any()

        if start is None or not seconds:
            _short(target, attempt, outcome)
        else:
            _long(target, attempt, outcome, seconds=seconds, start=start)
        outcome.seconds, outcome.cpu = time.monotonic() - began, time.process_time() - used
    return outcome


def _short(target: Target, attempt: Callable[[object], None], outcome: Outcome, *, start: int | None = None) -> None:
    """Have hypothesis itself feed it; what it finds in a quick target, it makes small."""
    phases = (Phase.explicit, Phase.generate, Phase.shrink) if target.is_quick else (Phase.explicit, Phase.generate)
    configured = settings(
        max_examples=target.examples if start is None else BATCH,
        deadline=None,
        database=None,
        derandomize=start is None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    test = configured(given(target.material())(attempt))
    try:
        (test if start is None else seed(start)(test))()
    except Exception as error:
        for each in error.exceptions if isinstance(error, ExceptionGroup) else [error]:
            outcome.add(each)


def _long(target: Target, attempt: Callable[[object], None], outcome: Outcome, *, seconds: float, start: int) -> None:
    """Feed it what another process makes, for `seconds` from the first of it on, and look at the memory."""
    read_at, end = 0.0, math.inf
    with batches(target.name, start=start) as made:
        for number, batch in made:
            end = min(end, time.monotonic() + seconds)
            for example in batch:
                if time.monotonic() > end:
                    break
                try:
                    attempt(example)
                except Exception as error:
                    error.add_note(f"example (seed {number}): {example!r}")
                    if outcome.add(error) and target.is_quick:
                        _short(target, attempt, outcome, start=number)
                if time.monotonic() >= read_at:
                    outcome.growth.readings.append((outcome.examples, resident()))
                    read_at = time.monotonic() + _READ_SECONDS
            if time.monotonic() > end or len(outcome.findings) >= _FINDINGS:
                break
    outcome.growth.readings.append((outcome.examples, resident()))
    problem = outcome.growth.problem()
    if problem:
        outcome.findings["memory"] = f"{problem}\n"


@contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """Make a Finding of a block that takes longer; end the process, with all stacks, when not even that ends it."""
    over = False

    def expired(_number: int, frame: object) -> None:
        nonlocal over
        over = True
        raise Finding(f"no end within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(seconds + _HARD_SECONDS, exit=True, file=sys.__stderr__ or sys.stderr)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    if over:
        # Somebody took the exception for one of his own.
        raise Finding(f"no end within {seconds:g} s")


def _place(error: BaseException) -> str:
    """Return what tells one flaw from another: the kind of the exception, and where it was raised."""
    error = _inmost(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    detail = str(error)[:_SHOWN] if isinstance(error, Finding) else ""
    return f"{type(error).__name__} {last.filename}:{last.lineno} {detail}"


def _inmost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _told(error: BaseException) -> str:
    """Return where it was raised, and the example, both cut to what can be read."""
    notes = [note[:_SHOWN] for note in getattr(error, "__notes__", ())]
    error = _inmost(error)
    frames = traceback.format_tb(error.__traceback__)[-_FRAMES:]
    return "".join([*frames, f"{type(error).__name__}: {error}"[: 4 * _SHOWN], "\n", *notes, "\n"])
