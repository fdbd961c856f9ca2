"""command: runs a command. `shell` is the same with a shell between."""

from __future__ import annotations

import errno
import os
import shlex
import stat
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, Unchanged, arg
from pybible.agent.modules.process import environment_for, expand, run_process
from pybible.wire.values import JsonObject

_SHELL = "/bin/sh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of command and shell."""

    _raw_params: str | None = arg(default=None, doc="the command as it was written after the module's name")
    _uses_shell: bool = arg(default=False)
    cmd: str | None = arg(default=None, doc="the command")
    argv: list[str] | None = arg(default=None, doc="the command as a list")
    chdir: PathText | None = arg(default=None, doc="folder in which to run")
    creates: PathText | None = arg(default=None, doc="path or glob: when it is there, nothing is run")
    removes: PathText | None = arg(default=None, doc="path or glob: when it is not there, nothing is run")
    executable: PathText | None = arg(default=None, doc="the shell to use")
    stdin: str | None = arg(default=None, doc="what the command reads")
    stdin_add_newline: bool = arg(default=True, doc="end stdin with a newline")
    strip_empty_ends: bool = arg(default=True, doc="take empty lines off the end of what it wrote")
    expand_argument_vars: bool = arg(default=True, doc="replace $VARIABLES and ~ in the words of a command")

    @property
    def text(self) -> str | None:
        """The command as text, whichever way it was given."""
        return self._raw_params or self.cmd

    @property
    def uses_shell(self) -> bool:
        """Whether a shell reads the command."""
        return self._uses_shell


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """A command ready to be started: `shown` as the result repeats it, `words` as the system gets them."""

    shown: str | list[str] | None
    words: list[str]
    args: Args
    context: Context

    @property
    def stdin(self) -> bytes | None:
        """What the command reads."""
        text = self.args.stdin
        if not text:
            return None
        ended = text + "\n" if self.args.stdin_add_newline else text
        return ended.encode("utf-8", "surrogateescape")


def plan(args: Args, context: Context) -> Plan:
    """Decide whether the command has to run."""
    warnings: list[str] = []
    invocation = _invocation(args, context, warnings)
    values: JsonObject = {"cmd": invocation.shown, "stdout": "", "stderr": "", "rc": 0, "msg": ""}
    values.update(start=None, end=None, delta=None)
    if warnings:
        values["warnings"] = warnings
    if args.chdir is not None:
        _check_directory(args.chdir, values)
    verb = "Would not" if context.check else "Did not"
    for pattern, skip_when, reason in ((args.creates, True, "exists"), (args.removes, False, "does not exist")):
        if pattern is not None and _exists(pattern, args.chdir) is skip_when:
            values["stdout"] = f"skipped, since {pattern} {reason}"
            return Unchanged(values={**values, "msg": f"{verb} run command since '{pattern}' {reason}"})
    if context.check:
        values["msg"] = "Command would have run if not in check mode"
        guarded = bool(args.creates or args.removes)
        if not guarded:
            return Unchanged(values={**values, "skipped": True})
    return Change(values=values, apply=partial(_execute, invocation))


def _invocation(args: Args, context: Context, warnings: list[str]) -> Invocation:
    text = args.text
    if args.uses_shell:
        command = text if text is not None else shlex.join(args.argv or ())
        words = [args.executable or _SHELL, "-c", command]
        shown_command = command if args.argv is None else args.argv
        return Invocation(shown=shown_command, words=words, args=args, context=context)
    if args.executable is not None:
        warnings.append(
            "As of Ansible 2.4, the parameter 'executable' is no longer supported with the 'command' module. "
            f"Not using '{args.executable}'."
        )
    shown = shlex.split(text) if text else args.argv
    words = shown or []
    if args.expand_argument_vars:
        environment = environment_for(context.environment)
        words = [expand(word, environment) for word in words]
    return Invocation(shown=shown, words=words, args=args, context=context)


def _exists(pattern: str, directory: str | None) -> bool:
    if not any(letter in pattern for letter in "*?["):
        return os.path.lexists(os.path.join(directory or "", pattern))  # noqa: PTH118
    import glob

    # The folder is no part of the pattern: it may hold brackets.
    return bool(glob.glob(pattern, root_dir=directory))  # noqa: PTH207


def _check_directory(directory: str, values: JsonObject) -> None:
    try:
        mode = Path(directory).stat().st_mode
        code = 0 if os.access(directory, os.X_OK) else errno.EACCES
        if not stat.S_ISDIR(mode):
            code = errno.ENOTDIR
    except OSError as error:
        code = error.errno or errno.ENOENT
    if code:
        cause = f"[Errno {code}] {os.strerror(code)}: {os.fsencode(directory)!r}"
        failure = {name: value for name, value in values.items() if name not in ("msg", "rc")}
        raise ModuleError("Unable to change directory before execution.", cause=cause, rc=None, **failure)


def _execute(invocation: Invocation) -> JsonObject:
    args, context = invocation.args, invocation.context
    begun = datetime.now()
    if invocation.shown is None:
        raise ModuleError("Argument 'args' to run_command must be list or string", rc=257, cmd=None)
    if not invocation.words:
        raise _failure(invocation, rc=257, cause="list index out of range")
    try:
        finished = run_process(
            invocation.words,
            environment=environment_for(context.environment, args.chdir),
            directory=args.chdir,
            stdin=invocation.stdin,
            emit=context.emit,
        )
    except OSError as error:
        raise _failure(invocation, rc=error.errno or 257, cause=str(error)) from error
    except ValueError as error:
        raise _failure(invocation, rc=257, cause=str(error)) from error
    ended = datetime.now()
    result: JsonObject = {
        "stdout": _text(finished.stdout, args),
        "stderr": _text(finished.stderr, args),
        "rc": finished.rc,
        "start": str(begun),
        "end": str(ended),
        "delta": str(ended - begun),
    }
    if finished.rc:
        result.update(msg="non-zero return code", failed=True)
    return result


def _failure(invocation: Invocation, *, rc: int, cause: str) -> ModuleError:
    shown = shlex.join(invocation.words)
    return ModuleError("Error executing command.", cause=cause, rc=rc, cmd=shown, stdout="", stderr="")


def _text(data: bytes, args: Args) -> str:
    return (data.rstrip(b"\r\n") if args.strip_empty_ends else data).decode("utf-8", "surrogateescape")


MODULE = Module(
    name="ansible.legacy.command",
    args=Args,
    plan=plan,
    mutually_exclusive=(("_raw_params", "cmd", "argv"),),
    required_one_of=(("_raw_params", "cmd", "argv"),),
)
