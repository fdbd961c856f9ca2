"""bridge: runs a module that is not native: one that came with the task, in Python or in any language."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pybible.agent.modules import bridge_entry
from pybible.agent.modules.api import Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.bridge_package import Package, load_package
from pybible.agent.modules.bridge_result import read_result
from pybible.agent.modules.forked import run_forked
from pybible.agent.modules.process import Finished, environment_for, run_process
from pybible.wire.values import JsonObject, dumps

_JSON_ARGUMENTS = b"<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>"
_PYTHON = re.compile(r"python[0-9.]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of the bridge itself. `package` is the sha256 of the content, `arguments` are the module's."""

    package: str = arg(internal=True)
    style: str = arg(internal=True)
    entry: str = arg(default="", internal=True)
    name: str = arg(default="", internal=True)
    # The words behind the module's `#!`, and what the operator wants in their place.
    interpreter: list[str] = arg(default_factory=list, raw=True, internal=True)
    chosen: str = arg(default="", internal=True)
    arguments: JsonObject = arg(default_factory=dict, raw=True, internal=True)


def plan(args: Args, context: Context) -> Plan:
    """Run it, in check mode too: that is the module's own affair."""
    folder = Path(tempfile.mkdtemp(prefix="ansible-tmp-"))
    try:
        arguments = _told(args, context, folder)
        if args.style == "python":
            finished = _python(args, context, arguments)
        else:
            finished = _program(args, context, arguments, folder)
    except (OSError, zipfile.BadZipFile) as error:
        raise ModuleError(f"module '{args.name}' can't be run here: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Unchanged(values=read_result(finished), described=False)


def _told(args: Args, context: Context, folder: Path) -> JsonObject:
    """Return the module's arguments with what every module is told besides."""
    return {
        **args.arguments,
        "_ansible_check_mode": context.check,
        "_ansible_no_log": context.no_log,
        "_ansible_diff": context.diff,
        "_ansible_verbosity": context.verbosity,
        "_ansible_tmpdir": f"{folder}/",
    }


def _python(args: Args, context: Context, arguments: JsonObject) -> Finished:
    path = context.content(args.package)
    payload = dumps({"ANSIBLE_MODULE_ARGS": arguments})
    python = _other_python(args.chosen)
    if python:
        program = Path(bridge_entry.__file__).read_text("utf-8")
        return run_process(
            [*python, "-c", program, str(path), args.entry],
            environment=environment_for(context.environment),
            stdin=payload,
        )
    package = load_package(args.package, path)
    return run_forked(partial(_enter, package, args.entry, payload))


def _enter(package: Package, entry: str, payload: bytes) -> None:
    """Be the module's process, in a fresh child."""
    package.enter()
    sys.path[:] = [package.path, *(path for path in sys.path if path not in ("", os.curdir))]
    sys.argv[:] = [package.get_filename(entry)]
    bridge_entry.run(entry, payload, package.path)


def _other_python(chosen: str) -> list[str]:
    """Return the words of a Python that is not this one, none when this one will do."""
    words = shlex.split(chosen)
    if not words or words[0].startswith("auto"):
        return []
    found = shutil.which(words[0]) or words[0]
    same = len(words) == 1 and os.path.abspath(found) == os.path.abspath(sys.executable)  # noqa: PTH100  links matter
    return [] if same else words


def _program(args: Args, context: Context, arguments: JsonObject, folder: Path) -> Finished:
    """Run a module that takes its arguments as a program does."""
    content = context.content(args.package).read_bytes()
    if args.style == "json_args":
        content = content.replace(_JSON_ARGUMENTS, dumps(arguments))
    program = folder / f"AnsiballZ_{args.name.rpartition('.')[2]}"
    program.write_bytes(content)
    program.chmod(0o700)
    command = [*_interpreter(args), str(program)]
    if args.style != "json_args":
        given = folder / "args"
        given.touch(0o600)
        given.write_bytes(_pairs(arguments) if args.style == "old" else dumps(arguments))
        command.append(str(given))
    return run_process(command, environment=environment_for(context.environment))


def _interpreter(args: Args) -> Sequence[str]:
    if args.style == "binary" or not args.interpreter:
        return ()
    if args.chosen and not args.chosen.startswith("auto"):
        return [*shlex.split(args.chosen), *args.interpreter[1:]]
    first = args.interpreter[0]
    if _PYTHON.fullmatch(first.rpartition("/")[2]):
        return [sys.executable, *args.interpreter[1:]]
    return args.interpreter


def _pairs(arguments: JsonObject) -> bytes:
    text = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in arguments.items())
    return text.encode("utf-8", "surrogateescape")


MODULE = Module(name="bridge", args=Args, plan=plan, whole=True)
