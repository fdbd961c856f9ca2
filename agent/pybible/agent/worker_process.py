"""worker_process: one worker as the agent sees it: a child, a socket for frames, and the end of what it printed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable

from pybible.agent import processes
from pybible.agent.become import WorkerIdentity
from pybible.agent.giving import Giving
from pybible.wire.errors import ProtocolError
from pybible.wire.frames import Frame, FrameBuffer, encode
from pybible.wire.values import JsonObject

_TAIL_BYTES = 4096
# What systemd gives to the agent alone.
_PRIVATE = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID")


def environment() -> dict[str, str]:
    """Return what the agent's own environment is for those that it starts."""
    return {name: value for name, value in os.environ.items() if name not in _PRIVATE}


class _Printed(asyncio.Protocol):
    """Keeps the end of what a worker wrote to its standard error and output."""

    def __init__(self) -> None:
        self.tail = b""

    def data_received(self, data: bytes) -> None:
        """Take more."""
        self.tail = (self.tail + data)[-_TAIL_BYTES:]

    def take(self) -> str:
        """Return it and begin again."""
        tail, self.tail = self.tail, b""
        return tail.decode("utf-8", "replace").strip()


class WorkerProcess(asyncio.Protocol):
    """A started worker. One task at a time: `begin`, then await its answer."""

    def __init__(self, identity: WorkerIdentity) -> None:
        self.identity = identity
        self.ready = False
        self.alive = True
        self.gone = asyncio.Event()
        self.printed = _Printed()
        # Where what the task hands over goes.
        self.giving: Giving | None = None
        self._buffer = FrameBuffer()
        self._answer: asyncio.Future[Frame | None] | None = None
        self._on_output: Callable[[Frame], None] | None = None
        self._began = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self._process: asyncio.subprocess.Process
        self._transport: asyncio.Transport
        self._errors: asyncio.ReadTransport
        self._kill_timer: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, identity: WorkerIdentity) -> WorkerProcess:
        """Start one. OSError when its program can't be run at all."""
        loop = asyncio.get_running_loop()
        worker = cls(identity)
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        try:
            worker._process = await asyncio.create_subprocess_exec(
                *identity.command,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=writing,
                cwd="/",
                env=environment(),
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            os.close(reading)
            raise
        finally:
            theirs.close()
            os.close(writing)
        ours.setblocking(False)
        worker._errors, _ = await loop.connect_read_pipe(lambda: worker.printed, os.fdopen(reading, "rb", 0))
        worker._transport, _ = await loop.create_connection(lambda: worker, sock=ours)
        return worker

    @property
    def pid(self) -> int:
        """The process that was started: the leader of the session of all that it starts."""
        return self._process.pid

    def begin(
        self, header: JsonObject, body: bytes, on_output: Callable[[Frame], None]
    ) -> asyncio.Future[Frame | None]:
        """Send a task. The future holds its result's frame, or None when the worker ended without one."""
        self._answer = asyncio.get_running_loop().create_future()
        self._on_output = on_output
        self._began = processes.boot_ticks()
        if self.alive:
            self._transport.write(encode(header, body))
        else:
            self._answer.set_result(None)
        return self._answer

    async def send(self, header: JsonObject, body: bytes) -> None:
        """Send a frame and wait until there is room for the next one."""
        if self.alive:
            self._transport.write(encode(header, body))
        await self._writable.wait()

    def hold(self, on: bool) -> None:
        """Read nothing more from the worker for now, or go on."""
        if not self.alive or self._transport.is_closing():
            return
        if on:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def stop(self, grace: float) -> None:
        """End the task that runs, and the worker: asked at first, killed a moment after `grace` seconds."""
        if not self.alive or self._kill_timer is not None:
            return
        self._transport.write(encode({"type": "stop", "grace": grace}))
        self._kill_timer = asyncio.get_running_loop().call_later(grace + 0.5, self.kill)

    def kill(self) -> None:
        """End the worker and what its task started, now."""
        if self.alive:
            self._kill(since=self._began, itself=True)

    async def close(self) -> int:
        """Let the worker end, and see to it; what its finished tasks left running is let be.

        Return its exit status, negative for a signal.
        """
        if self.alive:
            self._transport.close()
        try:
            async with asyncio.timeout(2):
                status = await self._process.wait()
        except TimeoutError:
            self._kill(since=processes.boot_ticks(), itself=True)
            status = await self._process.wait()
        finally:
            self._transport.close()
            self._errors.close()
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        return status

    def sweep(self) -> None:
        """Kill what a task left running when its worker ended in the middle of it."""
        self._kill(since=self._began, itself=False)

    def _kill(self, *, since: int, itself: bool) -> None:
        doomed = processes.of_task(self.pid, since=since)
        refused = [process.pid for process in processes.send(doomed, signal.SIGKILL)]
        if itself and self._process.returncode is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except PermissionError:
                refused.append(self.pid)
            except ProcessLookupError:
                pass
        if refused and self.identity.kill:
            self._kill_by_command(refused)

    def _kill_by_command(self, pids: list[int]) -> None:
        """Kill what belongs to another user, as that user. Blocks for a moment: it is the last resort."""
        import subprocess

        command = [*self.identity.kill, *map(str, pids)]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=5, check=False)

    def data_received(self, data: bytes) -> None:
        """Take what the worker sent (asyncio.Protocol)."""
        try:
            for frame in self._buffer.feed(data):
                self._take(frame)
        except (ProtocolError, LookupError, TypeError, ValueError, OverflowError):
            # Whatever it is that speaks there, it is no worker of ours.
            self._transport.abort()

    def _take(self, frame: Frame) -> None:
        if frame.type == "output":
            if self._on_output is not None:
                self._on_output(frame)
        elif frame.type == "given":
            if self.giving is not None:
                self.giving.feed(frame)
        elif frame.type == "result":
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(frame)
        elif frame.type == "ready":
            self.ready = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the worker's end (asyncio.Protocol)."""
        self.alive = False
        self.gone.set()
        self._writable.set()
        if self.giving is not None:
            self.giving.cancel()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    def pause_writing(self) -> None:
        """Wait with the next part (asyncio.Protocol)."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on (asyncio.Protocol)."""
        self._writable.set()
