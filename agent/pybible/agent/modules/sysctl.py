"""sysctl: sets a parameter of the kernel, in a file for the next boot, and at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, arg
from pybible.agent.modules.coerce import to_bool
from pybible.agent.modules.programs import call, need
from pybible.agent.modules.rewrite import lines_of, read_text, write_text

# What sysctl says and yet ends with 0.
_REFUSED = re.compile(r'^sysctl: setting key "[^"]+": (Invalid argument|Read-only file system)$', re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of sysctl."""

    name: str = arg(aliases=("key",), doc="the parameter, with dots")
    value: str | None = arg(default=None, aliases=("val",), doc="what it is to be")
    state: Literal["present", "absent"] = arg(default="present", doc="whether the file is to set it")
    reload: bool = arg(default=True, doc="have the kernel take over what the file says when something changed")
    sysctl_set: bool = arg(default=False, doc="compare with what the kernel has too, and set it")
    ignoreerrors: bool = arg(default=False, doc="a parameter that the kernel does not know is no error")
    sysctl_file: PathText = arg(default="/etc/sysctl.conf", doc="the file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What differs: the new text of the file (None: it stays), and whether the kernel is told at once."""

    name: str
    value: str
    text: str | None
    set_now: bool


def plan(args: Args, context: Context) -> Plan:
    """Compare the file, and the kernel where that counts, with what is asked."""
    if not args.name:
        raise ModuleError("name cannot be blank")
    if args.state == "present" and args.value == "":
        raise ModuleError("value cannot be blank")
    name = args.name.strip()
    value = spelled(args.value or "")
    program = need("sysctl", context)
    before = read_text(args.sysctl_file)
    present = args.state == "present"
    current = values_of(before).get(name)
    differs = current != (value if present else None)
    fresh = _in_kernel(program, name, value, context) if present and (args.reload or args.sysctl_set) else True
    wanted = Wanted(
        name=name,
        value=value,
        text=edit(before, name, value if present else None) if differs else None,
        set_now=args.sysctl_set and not fresh,
    )
    if not differs and fresh:
        return None
    return Change(apply=partial(_apply, args, context, program, wanted))


def spelled(value: str) -> str:
    """Return a value as it is written: truth words are 1 and 0."""
    try:
        return "1" if to_bool(value) else "0"
    except ValueError:
        return value.strip()


def _pair(line: str) -> tuple[str, str] | None:
    text = line.strip()
    if not text or text.startswith(("#", ";")) or "=" not in text:
        return None
    name, _, value = text.partition("=")
    return name.strip(), value.strip()


def values_of(text: str) -> dict[str, str]:
    """Return what a file of sysctl's sets. The last line of a parameter counts."""
    return dict(pair for line in lines_of(text) if (pair := _pair(line)))


def edit(text: str, name: str, value: str | None) -> str:
    """Return the text with the parameter's value, without it for None; each parameter once. Text in, text out."""
    lines: list[str] = []
    seen: set[str] = set()
    for line in lines_of(text):
        pair = _pair(line)
        if pair is None:
            lines.append(line)
        elif pair[0] not in seen:
            seen.add(pair[0])
            if pair[0] != name:
                lines.append("=".join(pair))
            elif value is not None:
                lines.append(f"{name}={value}")
    if name not in seen and value is not None:
        lines.append(f"{name}={value}")
    return "".join(f"{line}\n" for line in lines)


def _in_kernel(program: str, name: str, value: str, context: Context) -> bool:
    done = call([program, "-e", "-n", name], context, also={"LC_ALL": "C"})
    return done.rc == 0 and done.stdout.split() == value.split()


def _apply(args: Args, context: Context, program: str, wanted: Wanted) -> None:
    quietly = ["-e"] if args.ignoreerrors else []
    if wanted.set_now:
        _tell([program, *quietly, "-w", f"{wanted.name}={wanted.value}"], context, f"setting {wanted.name} failed")
    if wanted.text is not None:
        write_text(args.sysctl_file, wanted.text)
    if args.reload:
        _tell([program, *quietly, "-p", args.sysctl_file], context, "Failed to reload sysctl")


def _tell(words: list[str], context: Context, failure: str) -> None:
    done = call(words, context, also={"LC_ALL": "C"})
    if done.rc or _REFUSED.search(done.stderr):
        raise ModuleError(f"{failure}: {done.stdout}{done.stderr}")


MODULE = Module(name="ansible.posix.sysctl", args=Args, plan=plan, required_if=(("state", "present", ("value",)),))
