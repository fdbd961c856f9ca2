"""local_worker: the control node's own runner, `python -m pybible.agent.local`, over a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from pybible.server.engine.dispatcher import Outcome
from pybible.wire import frames
from pybible.wire.errors import ProtocolError
from pybible.wire.outcomes import Reason
from pybible.wire.tasks import TaskSpec, spec_to_header
from pybible.wire.values import loads_object

# Called with (stream name, data, bytes dropped before it).
RawOutput = Callable[[str, bytes, int], None]

# What is nested deeper could not be shown, stored or worked with everywhere.
RESULT_DEPTH = 200
_CANCEL_GRACE = 5.0
_QUIT_SECONDS = 10.0
_COMMAND = (sys.executable, "-m", "pybible.agent.local")


class LocalWorker:
    """Runs tasks on this machine. The process starts with the first task and ends with `close`.

    `group` owns the reading of what the process says; `slots` is how many tasks it runs at once.
    """

    def __init__(self, group: asyncio.TaskGroup, *, slots: int = 1, command: tuple[str, ...] = _COMMAND) -> None:
        self._group = group
        self._command = (*command, "--workers", str(max(1, slots)))
        self._process: asyncio.subprocess.Process | None = None
        self._starting = asyncio.Lock()
        self._waiting: dict[str, tuple[asyncio.Future[Outcome], RawOutput | None]] = {}
        self._closed = False
        self._given: Path | None = None

    def given(self, sha256: str) -> Path | None:
        """Return the file that a task handed over, None when none of them did."""
        path = self._given / sha256 if self._given is not None else None
        return path if path is not None and path.exists() else None

    async def run(self, attempt_id: str, spec: TaskSpec, *, output: RawOutput | None = None) -> Outcome:
        """Run one task, once. Cancelling the call cancels the task."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[attempt_id] = (future, output)
        try:
            await self._send({"type": "run", "id": attempt_id, "spec": spec_to_header(spec)}, spec.args)
            return await future
        except asyncio.CancelledError:
            self._cancel(attempt_id)
            raise
        except (OSError, ProtocolError) as error:
            return local_failure(f"the control node can't run it: {error}", Reason.WORKER_DIED)
        finally:
            self._waiting.pop(attempt_id, None)

    async def close(self) -> None:
        """End the process and everything that it runs."""
        self._closed = True
        try:
            await self._end()
        finally:
            if self._given is not None:
                await asyncio.to_thread(shutil.rmtree, self._given, ignore_errors=True)

    async def _end(self) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(ConnectionError, RuntimeError):
            process.stdin.write(frames.encode({"type": "quit"}))
            process.stdin.close()
        try:
            async with asyncio.timeout(_QUIT_SECONDS):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _send(self, header: dict[str, object], body: bytes) -> None:
        async with self._starting:
            process = self._process
            if process is None or process.returncode is not None:
                process = await self._start()
        if process.stdin is None:
            raise BrokenPipeError("no pipe to its runner")
        process.stdin.write(frames.encode(header, body))
        await process.stdin.drain()

    async def _start(self) -> asyncio.subprocess.Process:
        if self._closed:
            raise BrokenPipeError("the run is over")
        if self._given is None:
            self._given = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="pybible-"))
        # A session of its own: ^C on the terminal is for pybible-ctl, which then ends what runs in an orderly way.
        process = await asyncio.create_subprocess_exec(
            *self._command,
            *("--given", str(self._given)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self._process = process
        self._group.create_task(self._read(process), name="local worker")
        return process

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        text = "the control node's own runner ended"
        try:
            while process.stdout is not None and (frame := await frames.read_frame(process.stdout)) is not None:
                self._take(frame)
        except (ProtocolError, OSError) as error:
            text = f"the control node's own runner is out of step: {error}"
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        for future, _output in list(self._waiting.values()):
            if not future.done():
                future.set_result(local_failure(text, Reason.WORKER_DIED))
        await process.wait()

    def _take(self, frame: frames.Frame) -> None:
        future, output = self._waiting.get(str(frame.header.get("id", "")), (None, None))
        if future is None or future.done():
            return
        if frame.type == "output" and output is not None:
            output(str(frame.header.get("stream", "stdout")), frame.body, int(frame.header.get("dropped", 0)))
        elif frame.type == "result":
            future.set_result(decode_outcome(frame.body, reason=str(frame.header.get("reason") or "")))

    def _cancel(self, attempt_id: str) -> None:
        process = self._process
        if process is not None and process.stdin is not None and process.returncode is None:
            with contextlib.suppress(ConnectionError, RuntimeError):
                process.stdin.write(frames.encode({"type": "cancel", "id": attempt_id, "grace": _CANCEL_GRACE}))


def decode_outcome(content: bytes, *, reason: str = "", unreachable: bool = False) -> Outcome:
    """Return the outcome for a result as it travels, JSON in bytes."""
    try:
        return Outcome(result=loads_object(content, depth=RESULT_DEPTH), reason=reason, unreachable=unreachable)
    except ValueError as error:
        return local_failure(f"the host's result is not one: {error}", Reason.BAD_RESULT)


def local_failure(text: str, reason: Reason) -> Outcome:
    """Return the outcome for what went wrong on this side."""
    return Outcome(result={"failed": True, "msg": text, "reason": str(reason)}, reason=str(reason))
