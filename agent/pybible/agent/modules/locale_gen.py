"""locale_gen: makes sure that locales are, or are not, generated on Debian and its kin."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.programs import call, must, need
from pybible.agent.modules.rewrite import read_text, write_text
from pybible.wire.values import JsonObject

_GLIBC = Path("/etc/locale.gen")
_UBUNTU = Path("/var/lib/locales/supported.d")
_SUPPORTED = Path("/usr/share/i18n/SUPPORTED")
# "# de_DE.UTF-8 UTF-8", commented out or not.
_LINE = re.compile(r"(?P<out>#?\s*)(?P<name>\S+)[ \t]+(?P<charset>\S+)\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of locale_gen."""

    name: list[str] = arg(doc="the locales, as /etc/locale.gen names them: de_DE.UTF-8")
    state: Literal["absent", "present"] = arg(default="present", doc="whether they are to be there")


def plan(args: Args, context: Context) -> Plan:
    """Compare what is generated with what is asked."""
    ubuntu = not _GLIBC.exists()
    if ubuntu and not _UBUNTU.exists():
        raise ModuleError(f'{_GLIBC} and {_UBUNTU}/local are missing. Is the package "locales" installed?')
    said: JsonObject = {
        "name": list(args.name), "ubuntu_mode": ubuntu, "mechanism": "ubuntu_legacy" if ubuntu else "glibc",
    }  # fmt: skip
    known = available(read_text(str(_SUPPORTED)) + read_text(str(_GLIBC)))
    missing = [name for name in args.name if name not in known]
    if missing:
        msg = f"The following locales you have entered are not available on your system: {', '.join(missing)}"
        raise ModuleError(msg, output=dict(said), vars=dict(said), **said)
    listed = call([need("locale", context), "-a"], context).stdout.split()
    there = {_normal(name) for name in listed}
    wrong = [name for name in args.name if (_normal(name) in there) != (args.state == "present")]
    values = {**said, "failed": False}
    if not wrong:
        return Unchanged(values=values)
    apply = partial(_generate_ubuntu if ubuntu else _generate, args, context, known)
    return Change(values=values, apply=apply)


def available(text: str) -> dict[str, str]:
    """Return locale -> charset of the lines of SUPPORTED, or of locale.gen."""
    found = (_LINE.fullmatch(line) for line in text.splitlines())
    return {match["name"]: match["charset"] for match in found if match}


def _normal(name: str) -> str:
    """Return a locale's name as `locale -a` spells it: de_DE.utf8."""
    language, dot, charset = name.partition(".")
    return f"{language}{dot}{charset.lower().replace('-', '')}"


def edit(text: str, names: list[str], charsets: dict[str, str], *, present: bool) -> str:
    """Return locale.gen with the locales put in, or commented out. Text in, text out."""
    seen = set()
    lines = []
    for line in text.removesuffix("\n").split("\n"):
        match = _LINE.fullmatch(line)
        if match and match["name"] in names:
            seen.add(match["name"])
            entry = f"{match['name']} {match['charset']}"
            if present:
                line = entry
            elif not match["out"].startswith("#"):
                line = f"# {entry}"
        lines.append(line)
    if present:
        lines += [f"{name} {charsets[name]}" for name in dict.fromkeys(names) if name not in seen]
    return "".join(f"{line}\n" for line in lines)


def _generate(args: Args, context: Context, charsets: dict[str, str]) -> None:
    text = edit(read_text(str(_GLIBC)), args.name, charsets, present=args.state == "present")
    write_text(str(_GLIBC), text)
    must([need("locale-gen", context)], context)


def _generate_ubuntu(args: Args, context: Context, _charsets: dict[str, str]) -> None:
    program = need("locale-gen", context)
    if args.state == "present":
        must([program, *args.name], context)
        return
    for path in _UBUNTU.iterdir():
        lines = read_text(str(path)).splitlines()
        kept = [line for line in lines if line.partition(" ")[0] not in args.name]
        if kept != lines:
            write_text(str(path), "".join(f"{line}\n" for line in kept))
    must([program, "--purge"], context)


MODULE = Module(name="locale_gen", args=Args, plan=plan)
