"""worker: the process in which modules run, one at a time. It reads frames from its agent and never imports grpc.

agent -> worker   {"type": "content", "sha256": ...}  content for the next task, in parts
                  {"type": "run", ...TaskSpec}        body: the arguments
                  {"type": "stop", "grace": seconds}  end now; the only thing that may come while a module runs
worker -> agent   {"type": "ready"}                   once
                  {"type": "output", "stream", "offset", "dropped"}   body: bytes
                  {"type": "given", "sha256", "size"} body: a part of a file that goes to the engine; empty: its end
                  {"type": "result", "reason"}        body: a JSON object

When the agent is gone, whatever way, the worker ends, and the task in it too: the kernel says so by SIGIO, in the
middle of a module.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import select
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from pybible.agent import processes
from pybible.agent.become import WRITE_OPTION
from pybible.agent.content import Contents
from pybible.agent.drop import DropError, drop_to
from pybible.agent.failures import failure
from pybible.wire import faults
from pybible.wire.frames import FrameBuffer, encode
from pybible.wire.limits import RESULT_BYTES
from pybible.wire.outcomes import Reason
from pybible.wire.tasks import TaskSpec, spec_from_header
from pybible.wire.values import JsonObject, dumps, loads_object

_LOST_GRACE = 2.0
_READ_BYTES = 256 * 1024


class Stopped(BaseException):
    """The task is to end here and now. Not an Exception: no module's own handling may swallow it."""


class Pipe:
    """The private ends of the frames, out of reach of anything that prints."""

    def __init__(self) -> None:
        self._in = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
        self._out = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 3)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        # What a module prints is no frame: it goes where the errors go, and the agent keeps the end of it.
        os.dup2(2, 1)
        self._flags = fcntl.fcntl(self._in, fcntl.F_GETFL)
        self._poll = select.poll()
        self._poll.register(self._in, select.POLLIN)
        fcntl.fcntl(self._in, fcntl.F_SETOWN, os.getpid())

    def read(self) -> bytes:
        """Wait for bytes; none: the agent is gone."""
        return os.read(self._in, _READ_BYTES)

    def write(self, data: bytes) -> None:
        """Send all of `data`. When the agent is gone there is nobody left to tell."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._out, view) :]

    def pending(self) -> bool:
        """Tell whether there is something to read, the end included."""
        return bool(self._poll.poll(0))

    def watch(self, on: bool) -> None:
        """Ask for SIGIO when something comes."""
        fcntl.fcntl(self._in, fcntl.F_SETFL, self._flags | os.O_ASYNC if on else self._flags)


class LiveOutput:
    """What a running module prints, sent on up to the task's limit."""

    def __init__(self, pipe: Pipe, limit: int) -> None:
        self._pipe = pipe
        self._wanted = limit > 0
        self._left = limit
        self._offsets = {"stdout": 0, "stderr": 0}
        self._dropped = {"stdout": 0, "stderr": 0}

    def emit(self, stream: str, data: bytes) -> None:
        """Send a part."""
        if not self._wanted:
            return
        sent = data[: self._left]
        self._left -= len(sent)
        if sent:
            self._pipe.write(encode({"type": "output", "stream": stream, "offset": self._offsets[stream]}, sent))
        self._offsets[stream] += len(data)
        self._dropped[stream] += len(data) - len(sent)

    def close(self) -> None:
        """Say what was left out."""
        for stream, dropped in self._dropped.items():
            if dropped:
                header: JsonObject = {"type": "output", "stream": stream, "offset": self._offsets[stream]}
                self._pipe.write(encode({**header, "dropped": dropped}))


class Worker:
    """Reads tasks and answers them until its agent is gone. `problem`: why it can't run any, to be its one answer."""

    def __init__(self, pipe: Pipe, *, problem: tuple[Reason, str] | None = None) -> None:
        self._pipe = pipe
        self._problem = problem
        self._buffer = FrameBuffer()
        self._contents = Contents()
        self._home = os.environ.get("HOME") or "/"
        self._umask = os.umask(0o022)
        os.umask(self._umask)
        self._running = False
        self._stopping = False

    def serve(self) -> None:
        """Work until the pipe ends or a stop comes."""
        signal.signal(signal.SIGIO, self._on_io)
        signal.signal(signal.SIGTERM, self._on_terminate)
        signal.signal(signal.SIGALRM, self._on_alarm)
        try:
            self._pipe.write(encode({"type": "ready"}))
            while data := self._pipe.read():
                for frame in self._buffer.feed(data):
                    if frame.type == "stop":
                        return
                    if frame.type == "content":
                        self._contents.add(str(frame.header["sha256"]), frame.body)
                    elif frame.type == "run":
                        self._answer(frame.header, frame.body)
                        if self._problem:
                            return
        except Stopped:
            processes.send(processes.children(os.getpid()), signal.SIGKILL)
        except BrokenPipeError:
            return
        finally:
            self._contents.close()

    def _answer(self, header: JsonObject, args: bytes) -> None:
        self._running = True
        self._pipe.watch(True)
        if self._buffer.partial or self._pipe.pending():
            self._stop()
        faults.at("worker_before_run")
        reason, body = self._outcome(header, args)
        faults.at("worker_after_run")
        if self._stopping:
            raise Stopped
        # Before the result goes out: what comes after it is the next task.
        self._running = False
        self._pipe.watch(False)
        self._pipe.write(encode({"type": "result", "reason": reason}, body))
        self._contents.clear()

    def _outcome(self, header: JsonObject, args: bytes) -> tuple[str, bytes]:
        if self._problem:
            reason, text = self._problem
            return reason, failure(reason, text)
        try:
            return self._run(spec_from_header(header, args))
        except Stopped:
            raise
        except BaseException as error:
            # SystemExit and KeyboardInterrupt as well: a module must not end its worker by calling exit().
            text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            return Reason.INTERNAL_ERROR, failure(Reason.INTERNAL_ERROR, text, exception=traceback.format_exc())

    def _run(self, spec: TaskSpec) -> tuple[str, bytes]:
        from pybible.agent.modules import registry, runner
        from pybible.agent.modules.api import Context

        module = registry.find(spec.module)
        if module is None:
            text = f"this agent has no module {spec.module!r}"
            return Reason.UNKNOWN_MODULE, failure(Reason.UNKNOWN_MODULE, text)
        output = LiveOutput(self._pipe, spec.output_limit)
        self._contents.expect(spec.attachments)
        context = Context(
            check=spec.check,
            diff=spec.diff,
            verbosity=spec.verbosity,
            environment=spec.environment,
            content=self._contents.path,
            emit=output.emit,
            give=self._give,
            no_log=spec.no_log,
        )
        before = {name: os.environ.get(name) for name in spec.environment}
        os.umask(self._umask)
        self._enter(spec.directory)
        try:
            os.environ.update(spec.environment)
            result = runner.run(module, loads_object(spec.args), context)
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            sys.stdout.flush()
        output.close()
        return _encoded(result)

    def _give(self, sha256: str, size: int, file: BinaryIO) -> None:
        header: JsonObject = {"type": "given", "sha256": sha256, "size": size}
        left = size
        while left and (part := file.read(min(_READ_BYTES, left))):
            left -= len(part)
            self._pipe.write(encode(header, part))
        self._pipe.write(encode(header))

    def _enter(self, directory: str) -> None:
        for path in (directory, self._home, "/"):
            if path:
                try:
                    os.chdir(path)
                except OSError:
                    continue
                return

    def _on_io(self, number: int, frame: FrameType | None) -> None:
        if self._running and self._pipe.pending():
            self._stop()

    def _on_terminate(self, number: int, frame: FrameType | None) -> None:
        self._end_task(_LOST_GRACE)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        processes.send(processes.children(os.getpid()), signal.SIGKILL)
        os._exit(1)

    def _stop(self) -> None:
        # It may lie in the buffer already, behind the task.
        data = self._pipe.read() if self._pipe.pending() else b""
        grace = _LOST_GRACE
        for frame in self._buffer.feed(data):
            grace = float(frame.header.get("grace", _LOST_GRACE))
        self._end_task(grace)

    def _end_task(self, grace: float) -> None:
        """Ask the task's commands to end, and see to it that all is over after `grace`.

        The module goes on until its command has ended; one that waits for nothing but itself is left at once.
        """
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self._stopping = True
        commands = processes.children(os.getpid())
        processes.send(commands, signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, max(grace, 0.001))
        if not commands:
            raise Stopped


def _encoded(result: object) -> tuple[str, bytes]:
    """Return the reason and the bytes of what a module returned."""
    if not isinstance(result, dict):
        text = f"the module returned {type(result).__name__}, not a dictionary"
        return Reason.BAD_RESULT, failure(Reason.BAD_RESULT, text)
    try:
        body = dumps(result)
    except (TypeError, ValueError, RecursionError) as error:
        text = f"the module returned a result that is not JSON: {error}"
        return Reason.BAD_RESULT, failure(Reason.BAD_RESULT, text)
    if len(body) > RESULT_BYTES:
        text = f"the module's result is {len(body)} bytes long; at most {RESULT_BYTES} can be returned"
        return Reason.RESULT_TOO_LARGE, failure(Reason.RESULT_TOO_LARGE, text)
    reason = result.get("reason")
    return (Reason.INTERNAL_ERROR if reason == Reason.INTERNAL_ERROR and "exception" in result else ""), body


def _be_expendable() -> None:
    """Give up what the service manager gave to the agent alone: a task's memory is not to be spared before others'."""
    with suppress(OSError, ValueError):
        path = Path("/proc/self/oom_score_adj")
        if int(path.read_text()) < 0:
            path.write_text("0")


def _confine(writable: list[str]) -> None:
    # Few hosts ask for it, and every worker's start counts.
    from pybible.agent.confine import confine_writes

    confine_writes(writable)


def main(arguments: list[str]) -> int:
    """Serve on standard input and output. Arguments: the user to become first; `--write` and where it may write."""
    pipe = Pipe()
    faulthandler.enable()
    _be_expendable()
    problem = None
    user, writable = arguments, None
    if WRITE_OPTION in arguments:
        index = arguments.index(WRITE_OPTION)
        user, writable = arguments[:index], arguments[index + 1 :]
    try:
        if user:
            drop_to(user[0])
        if writable is not None:
            _confine(writable)
    except DropError as error:
        problem = Reason.BECOME_FAILED, str(error)
    except OSError as error:
        problem = Reason.POLICY_DENIED, f"this host's policy restricts where tasks write, and that fails: {error}"
    Worker(pipe, problem=problem).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
