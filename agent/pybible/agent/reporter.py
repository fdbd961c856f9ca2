"""reporter: tells the controller the host's facts, whenever a session begins or they may have changed.

They are gathered in a process of its own, which is gone afterwards: an agent stays small.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from pybible.agent.attempts import Attempts, Outlet, Report, boot_clock
from pybible.agent.worker_process import environment
from pybible.wire.errors import ProtocolError
from pybible.wire.frames import FrameBuffer
from pybible.wire.logs import fields
from pybible.wire.tasks import TaskSpec
from pybible.wire.values import dumps

_COMMAND = (sys.executable, "-P", "-m", "pybible.agent.facts.report")
_GATHER_SECONDS = 60.0
# As much as a controller takes.
_LARGEST = 1024 * 1024
# How often a look is taken at what tells of changes by others than tasks.
_LOOK_SECONDS = 15.0
# So long nothing must have changed the host before its facts are gathered, and so long they are not gathered again.
_QUIET_SECONDS = 2.0
_PAUSE_SECONDS = 5.0
_FILES = (
    "/etc/hostname", "/etc/hosts", "/etc/localtime", "/etc/machine-id", "/etc/os-release", "/etc/passwd",
    "/etc/resolv.conf", "/etc/ssh", "/etc/selinux/config", "/boot", "/etc/ansible/facts.d",
)  # fmt: skip
_TEXTS = ("/proc/mounts", "/proc/net/fib_trie", "/proc/net/if_inet6", "/proc/net/route", "/proc/swaps", "/proc/cmdline")
_log = logging.getLogger(__name__)


class Reporter:
    """Runs as long as the agent. Facts are gathered anew after `interval` seconds at the latest; 0: never."""

    def __init__(self, attempts: Attempts, *, interval: float) -> None:
        self._attempts = attempts
        self._interval = interval
        self._gathered_at: float | None = None
        # What was so when they were gathered: how many tasks had come, and the signs.
        self._changes = 0
        self._signs = 0
        # What was told, and to which session.
        self._told = b""
        self._session: Outlet | None = None

    async def run(self) -> None:
        """Report until cancelled."""
        while self._interval > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._attempts.changed.wait()
            self._attempts.changed.clear()
            if self._is_due():
                await asyncio.sleep(self._pause())
                if self._is_due():
                    await self._report()

    def _is_due(self) -> bool:
        attempts = self._attempts
        if attempts.outlet is None or attempts.is_changing or not self._allowed():
            return False
        if self._gathered_at is None or boot_clock() - self._gathered_at >= self._interval:
            return True
        return attempts.outlet is not self._session or attempts.changes != self._changes or signs() != self._signs

    def _pause(self) -> float:
        if self._gathered_at is None:
            return 0.0
        return max(_QUIET_SECONDS, self._gathered_at + _PAUSE_SECONDS - boot_clock())

    async def _report(self) -> None:
        changes, self._signs = self._attempts.changes, signs()
        report = await self._gather()
        self._gathered_at = boot_clock()
        outlet = self._attempts.outlet
        if report is None or outlet is None or changes != self._attempts.changes:
            # Something was run meanwhile: what is known now may not be true any more.
            return
        outlet.facts(report, known=outlet is self._session and report.digest == self._told)
        self._session, self._told, self._changes = outlet, report.digest, changes

    def _allowed(self) -> bool:
        return not self._attempts.policy.refusal(TaskSpec(module="setup", args=b"{}"))

    async def _gather(self) -> Report | None:
        began = boot_clock()
        try:
            process = await asyncio.create_subprocess_exec(
                *_COMMAND,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=environment(),
                start_new_session=True,
            )
        except OSError as error:
            _log.warning("facts can't be gathered", extra=fields(error=str(error)))
            return None
        try:
            async with asyncio.timeout(_GATHER_SECONDS):
                output, _ = await process.communicate()
            return _report(output, began)
        except (TimeoutError, ProtocolError, ValueError, LookupError) as error:
            _log.warning("facts can't be gathered", extra=fields(error=str(error) or "they take too long"))
            return None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


def _report(output: bytes, began: float) -> Report:
    """Read what the gathering process printed. ValueError, LookupError, ProtocolError when that is no report."""
    [frame] = FrameBuffer().feed(output)
    header, moving = frame.header, dumps(frame.header["moving"])
    if len(frame.body) + len(moving) > _LARGEST:
        raise ValueError(f"they are too large to be told: {len(frame.body) + len(moving)} bytes")
    return Report(
        digest=bytes.fromhex(header["digest"]), facts=frame.body, moving=moving, user=str(header["user"]), at=began
    )


def signs() -> int:
    """Return a number that is another one when something changed that facts tell of. It takes a millisecond."""
    found: list[object] = [os.uname(), os.cpu_count()]
    for path in _FILES:
        with suppress(OSError):
            found.append(os.stat(path).st_mtime_ns)  # noqa: PTH116  one call, and no more
    for path in _TEXTS:
        with suppress(OSError):
            found.append(Path(path).read_bytes())
    return hash(tuple(found))
