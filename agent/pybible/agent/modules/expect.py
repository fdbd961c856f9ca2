"""expect: runs a command on a terminal of its own, and answers what it asks."""

from __future__ import annotations

import datetime
import fcntl
import os
import pty
import re
import select
import shlex
import subprocess
import termios
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, Unchanged, arg
from pybible.agent.modules.coerce import to_int
from pybible.agent.modules.process import environment_for
from pybible.wire.values import JsonObject, JsonValue

_CHUNK = 65536
# As pexpect, by which the stock module does it: only so much of the end is searched for a question.
_WINDOW = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of expect."""

    command: str = arg(doc="the command; no shell reads it")
    chdir: PathText | None = arg(default=None, doc="the folder in which it runs")
    creates: PathText | None = arg(default=None, doc="path: when it is there, nothing is done")
    removes: PathText | None = arg(default=None, doc="path: when it is not there, nothing is done")
    responses: Mapping[str, JsonValue] = arg(
        doc="pattern of a question -> the answer, or a list of answers for one time each"
    )
    timeout: JsonValue = arg(default=30, raw=True, doc="longest time to wait for a question, in seconds; null: no end")
    echo: bool = arg(default=False, doc="whether the terminal shows the answers")


@dataclass(slots=True)
class Question:
    """A pattern, and what is answered; `once` answers are used up one by one."""

    text: str
    pattern: re.Pattern[bytes]
    answer: bytes = b""
    once: list[bytes] | None = None

    def next_answer(self, said: bytes) -> bytes:
        """Return the answer that is due. ModuleError when there is none left."""
        if self.once is None:
            return self.answer
        if not self.once:
            raise ModuleError(f"No remaining responses for '{self.text}', output was '{said!r}'")
        return self.once.pop(0)


@dataclass(slots=True)
class Dialogue:
    """What the command says, searched for questions: text in, answers out."""

    questions: list[Question]
    pending: bytes = b""
    said: list[bytes] = field(default_factory=list)

    def hear(self, data: bytes) -> list[bytes]:
        """Take what was said; return the answers that are due."""
        self.pending += data
        answers = []
        while self.pending and (found := self._question()) is not None:
            question, end = found
            text, self.pending = self.pending[:end], self.pending[end:]
            answers.append(question.next_answer(text))
            self.said.append(text)
        return answers

    def _question(self) -> tuple[Question, int] | None:
        """Return the question that comes first, and where it ends."""
        start = max(0, len(self.pending) - _WINDOW)
        found = [
            (match, question) for question in self.questions if (match := question.pattern.search(self.pending, start))
        ]
        if not found:
            return None
        match, question = min(found, key=lambda pair: pair[0].start())
        return (question, match.end()) if match.end() else None

    @property
    def output(self) -> bytes:
        """All that was said."""
        return b"".join(self.said) + self.pending


def plan(args: Args, context: Context) -> Plan:
    """Find out whether the command is to run."""
    if context.check:
        return Unchanged(values={"skipped": True, "msg": "remote module (expect) does not support check mode"})
    timeout = _timeout(args.timeout)
    questions = [_question(text, answer) for text, answer in args.responses.items()]
    if not args.command.strip():
        raise ModuleError("no command given", rc=256)
    for path, there, text in ((args.creates, True, "exists"), (args.removes, False, "does not exist")):
        if path is not None and Path(path).exists() == there:
            values: JsonObject = {"cmd": args.command, "stdout": f"skipped, since {path} {text}", "rc": 0}
            return Unchanged(values=values)
    return Change(apply=partial(_run, args, context, questions, timeout))


def _timeout(value: JsonValue) -> float | None:
    if value is None:
        return None
    try:
        return float(to_int(value))
    except (TypeError, ValueError) as error:
        message = f"argument 'timeout' is of type {type(value)} and we were unable to convert to int: {error}"
        raise ModuleError(message) from error


def _question(text: str, answer: JsonValue) -> Question:
    try:
        pattern = re.compile(text.encode("utf-8", "surrogateescape"), re.DOTALL)
    except re.error as error:
        raise ModuleError(f"responses: '{text}' is no pattern: {error}") from error
    if isinstance(answer, list):
        return Question(text, pattern, once=[_line(item) for item in answer])
    return Question(text, pattern, _line(answer))


def _line(answer: JsonValue) -> bytes:
    return str(answer).rstrip("\n").encode("utf-8", "surrogateescape") + b"\n"


def _run(args: Args, context: Context, questions: list[Question], timeout: float | None) -> JsonObject:
    started = datetime.datetime.now()
    dialogue = Dialogue(questions)
    rc = _converse(args, context, dialogue, timeout)
    ended = datetime.datetime.now()
    result: JsonObject = {
        "cmd": args.command, "rc": rc, "start": str(started), "end": str(ended), "delta": str(ended - started),
        "stdout": dialogue.output.decode("utf-8", "surrogateescape").rstrip("\r\n"), "changed": True,
    }  # fmt: skip
    if rc is None:
        raise ModuleError("command exceeded timeout", **result)
    if rc:
        raise ModuleError("non-zero return code", **result)
    return result


def _converse(args: Args, context: Context, dialogue: Dialogue, timeout: float | None) -> int | None:
    """Run the command to its end; return its exit status, None when it was silent for too long."""
    master, slave = pty.openpty()
    # The other side stays open here: a program may have it closed for a moment before it opens /dev/tty.
    with os.fdopen(master, "r+b", buffering=0) as terminal, os.fdopen(slave, "r+b", buffering=0):
        _set_echo(slave, wanted=args.echo)
        process = _start(args, context, slave)
        end = os.pidfd_open(process.pid)
        try:
            return process.wait() if _listen(terminal.fileno(), end, context, dialogue, timeout) else None
        finally:
            os.close(end)
            process.kill()
            process.wait()


def _set_echo(terminal: int, *, wanted: bool) -> None:
    modes = termios.tcgetattr(terminal)
    modes[3] = modes[3] | termios.ECHO if wanted else modes[3] & ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSANOW, modes)


def _start(args: Args, context: Context, terminal: int) -> subprocess.Popen[bytes]:
    def take_terminal() -> None:
        # Programs that ask for a password open /dev/tty: it has to be this one.
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    if args.chdir is not None and not Path(args.chdir).is_dir():
        raise ModuleError(f"Unable to change directory before execution: {args.chdir} is not a directory")
    try:
        return subprocess.Popen(
            shlex.split(args.command), stdin=terminal, stdout=terminal, stderr=terminal, cwd=args.chdir,
            env=environment_for(context.environment, args.chdir), start_new_session=True, preexec_fn=take_terminal,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        program = args.command.split()[0]
        raise ModuleError(f"The command was not found or was not executable: {program}.", cause=str(error)) from error


def _listen(terminal: int, end: int, context: Context, dialogue: Dialogue, timeout: float | None) -> bool:
    """Take part in the dialogue until the command is over; return False when no question came in time."""
    deadline = _deadline(timeout)
    while True:
        left = None if deadline is None else deadline - time.monotonic()
        ready = select.select([terminal, end], [], [], left)[0] if left is None or left > 0 else []
        if not ready:
            return False
        if terminal not in ready:
            return True
        data = os.read(terminal, _CHUNK)
        context.emit("stdout", data)
        for answer in dialogue.hear(data):
            os.write(terminal, answer)
            deadline = _deadline(timeout)


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


MODULE = Module(name="expect", args=Args, plan=plan)
