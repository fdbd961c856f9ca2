"""modprobe: loads or unloads a module of the kernel, now and at boot."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.programs import Answer, call, need
from pybible.agent.modules.rewrite import lines_of, read_text, write_text
from pybible.wire.values import JsonObject

_LOADED = Path("/proc/modules")
_KERNELS = Path("/lib/modules")
_AT_BOOT = Path("/etc/modules-load.d")
_OPTIONS = Path("/etc/modprobe.d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of modprobe."""

    name: str = arg(doc="the kernel's module")
    state: Literal["absent", "present"] = arg(default="present", doc="whether it is to be loaded")
    params: str = arg(default="", doc="its parameters")
    persistent: Literal["disabled", "present", "absent"] = arg(
        default="disabled", doc="whether it is loaded at boot, with these parameters; disabled: that is left alone"
    )


def plan(args: Args, context: Context) -> Plan:
    """Compare the running kernel, and the files that count at boot, with what is asked."""
    program = need("modprobe", context)
    values: JsonObject = {"name": args.name, "params": args.params, "state": args.state}
    loaded = _is_loaded(args.name, values)
    texts = _at_boot(args)
    action = loaded is not (args.state == "present")
    if action and context.check:
        words = ["-r", args.name, "-n"] if args.state == "absent" else ["-n", args.name, *args.params.split()]
        _succeed(call([program, *words], context), values)
    if not action and not texts:
        return Unchanged(values=values)
    return Change(values=values, apply=partial(_apply, args, program, context, values, texts, action=action))


def _same(name: str, other: str) -> bool:
    return name.replace("-", "_") == other.replace("-", "_")


def _is_loaded(name: str, values: JsonObject) -> bool:
    try:
        if any(_same(name, line.split(" ", 1)[0]) for line in lines_of(_LOADED.read_text(encoding="ascii"))):
            return True
        builtin = (_KERNELS / os.uname().release / "modules.builtin").read_text(encoding="utf-8")
    except OSError as error:
        raise ModuleError(str(error), **values) from error
    return any(_same(name, Path(line).name.removesuffix(".ko")) for line in lines_of(builtin))


def _at_boot(args: Args) -> dict[Path, str]:
    """Return the files that have to change, with their new texts."""
    if args.persistent == "disabled":
        return {}
    texts: dict[Path, str] = {}
    loads, options = _files(_AT_BOOT), _files(_OPTIONS)
    wanted = args.params.split() if args.persistent == "present" else []
    if args.persistent == "present":
        if not any(loads_module(text, args.name) for text in loads.values()):
            own = _AT_BOOT / f"{args.name}.conf"
            # A file of this name is the module's own: what is in it, a line that is a comment now, goes.
            texts[own] = f"{args.name}\n"
    else:
        texts |= {path: without_module(text, args.name) for path, text in loads.items()}
    found = [parameter for text in options.values() for parameter in parameters_of(text, args.name)]
    if sorted(found) != sorted(wanted):
        own = _OPTIONS / f"{args.name}.conf"
        texts |= {path: without_parameters(text, args.name) for path, text in options.items()}
        if wanted:
            texts[own] = "".join(f"options {args.name} {parameter}\n" for parameter in wanted)
    old = loads | options
    return {path: text for path, text in texts.items() if old.get(path) != text}


def _files(folder: Path) -> dict[Path, str]:
    return {path: read_text(str(path)) for path in sorted(folder.glob("*.conf"))}


def _words(line: str) -> list[str]:
    return line.partition("#")[0].split()


def loads_module(text: str, name: str) -> bool:
    """Tell whether a file of modules-load.d names the module."""
    return any(_words(line) == [name] for line in lines_of(text))


def without_module(text: str, name: str) -> str:
    """Return the file with the module's lines as comments."""
    return _commented(text, lambda words: words == [name])


def parameters_of(text: str, name: str) -> list[str]:
    """Return the parameters that a file of modprobe.d gives the module."""
    lines = (_words(line) for line in lines_of(text))
    return [parameter for words in lines if words[:2] == ["options", name] for parameter in words[2:]]


def without_parameters(text: str, name: str) -> str:
    """Return the file with the lines of the module's parameters as comments."""
    return _commented(text, lambda words: words[:2] == ["options", name])


def _commented(text: str, unwanted: Callable[[list[str]], bool]) -> str:
    lines = lines_of(text)
    if not any(unwanted(_words(line)) for line in lines):
        return text
    return "".join(f"#{line}\n" if unwanted(_words(line)) else f"{line}\n" for line in lines)


def _succeed(done: Answer, values: JsonObject) -> None:
    if done.rc:
        failure: JsonObject = {"rc": done.rc, "stdout": done.stdout, "stderr": done.stderr}
        raise ModuleError(done.stderr, **failure, **values)


def _apply(
    args: Args, program: str, context: Context, values: JsonObject, texts: dict[Path, str], *, action: bool
) -> JsonObject:
    changed = bool(texts)
    if action and args.state == "absent":
        _succeed(call([program, "-r", args.name], context), values)
        changed = True
    elif action:
        words = [args.name, *args.params.split()]
        _succeed(call([program, *words], context), values)
        # It refuses to load for the first time what is loaded.
        changed |= call([program, "-n", "--first-time", *words], context).rc != 0
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(str(path), text)
    return {"changed": changed}


MODULE = Module(name="community.general.modprobe", args=Args, plan=plan)
