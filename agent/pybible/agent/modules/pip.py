"""pip: installs and removes Python packages, in a virtual environment or for all."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, Unchanged, arg
from pybible.agent.modules.programs import Answer, call, locate, need
from pybible.wire.values import JsonObject

_STATES = {
    "present": ["install"],
    "absent": ["uninstall", "-y"],
    "latest": ["install", "-U"],
    "forcereinstall": ["install", "-U", "--force-reinstall"],
}
_SPEC = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(.*)$")
_EXACT = re.compile(r"^={2,3}\s*([^,;\s*]+)$")
_ADDRESS = re.compile(r"(svn|git|hg|bzr)\+|://")
_INSTALLED = re.compile(r"Successfully (installed|uninstalled)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of pip."""

    state: Literal["present", "absent", "latest", "forcereinstall"] = arg(default="present", doc="what is wanted")
    name: list[str] | None = arg(default=None, doc="packages, with or without versions")
    version: str | None = arg(default=None, doc="version of the one package")
    requirements: str | None = arg(default=None, doc="file of requirements on the host")
    virtualenv: PathText | None = arg(default=None, doc="virtual environment, made when there is none")
    virtualenv_site_packages: bool = arg(default=False, doc="let it see the system's packages")
    virtualenv_command: PathText = arg(default="virtualenv", doc="what makes it")
    virtualenv_python: str | None = arg(default=None, doc="its Python")
    extra_args: str | None = arg(default=None, doc="more arguments for pip")
    editable: bool = arg(default=False, doc="install so that changes of the source show")
    chdir: PathText | None = arg(default=None, doc="folder in which to run")
    executable: PathText | None = arg(default=None, doc="the pip program")
    umask: str | None = arg(default=None, doc="umask of what is written")
    break_system_packages: bool = arg(default=False, doc="install beside the distribution's packages")


@dataclass(frozen=True, slots=True)
class _Wanted:
    text: str
    name: str
    version: str


def plan(args: Args, context: Context) -> Plan:
    """Compare what is installed with what is asked."""
    if args.umask is not None and not re.fullmatch(r"[0-7]+", args.umask):
        raise ModuleError("umask must be an octal integer", details=f"invalid literal: {args.umask!r}")
    if args.version is not None and args.name and len(args.name) > 1:
        raise ModuleError(
            "'version' argument is ambiguous when installing multiple package distributions. "
            "Please specify version restrictions next to each package in 'name' argument."
        )
    if args.state == "latest" and args.version is not None:
        raise ModuleError("version is incompatible with state=latest")
    new = args.virtualenv is not None and not (Path(args.virtualenv) / "bin/activate").exists()
    if new and context.check:
        return Change(apply=_nothing)
    if new:
        return Change(apply=partial(_work, args, context))
    wanted = _wanted(args)
    program = _program(args, context)
    if context.check and (args.requirements is not None or args.extra_args or args.state == "latest"):
        # Only pip itself could tell.
        return Change(apply=_nothing)
    if args.requirements is None and wanted and all(item.name for item in wanted):
        listed = call([*program, "list", "--format=freeze"], context, directory=args.chdir, also=_environment(args))
        installed = parse_freeze(listed.stdout)
        there = [_satisfied(item, installed) for item in wanted]
        settled = all(there) if args.state == "present" else not any(item.name in installed for item in wanted)
        if context.check:
            command = " ".join([*program, "list", "--format=freeze"])
            values: JsonObject = {"cmd": command, "stdout": listed.stdout, "stderr": listed.stderr}
            if settled and args.state in ("present", "absent"):
                return Unchanged(values=values)
            return Change(values=values, apply=_nothing)
    if context.check:
        return Change(values={**_shown(args), "cmd": [*program, *_arguments(args, wanted)]}, apply=_nothing)
    return Change(changed=False, apply=partial(_work, args, context))


def _nothing() -> None:
    return None


def _shown(args: Args) -> JsonObject:
    return {
        "name": args.name, "version": args.version, "state": args.state, "requirements": args.requirements,
        "virtualenv": args.virtualenv,
    }  # fmt: skip


def _wanted(args: Args) -> list[_Wanted]:
    found = []
    for text in _joined(args.name or []):
        matched = _SPEC.match(text)
        if matched is None or _ADDRESS.search(text) or "/" in text:
            found.append(_Wanted(text, "", ""))
            continue
        version = matched[2]
        if args.version is not None:
            version = args.version if args.version[0] in "=<>!~" else f"=={args.version}"
            text = f"{text}{version}"
        found.append(_Wanted(text, normalized(matched[1]), version))
    return found


def _joined(names: list[str]) -> list[str]:
    """Put together what a list of text has torn apart at the commas of a version: `a>1,<2`."""
    joined: list[str] = []
    for name in names:
        if joined and name.strip()[:1] in "<>=!~":
            joined[-1] += f",{name.strip()}"
        else:
            joined.append(name.strip())
    return [name for name in joined if name]


def normalized(name: str) -> str:
    """Return a package's name as all its spellings are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_freeze(text: str) -> dict[str, str]:
    """Return name -> version of `pip list --format=freeze`."""
    pairs = (line.partition("==") for line in text.splitlines() if "==" in line)
    return {normalized(name): version for name, _, version in pairs}


def _satisfied(wanted: _Wanted, installed: dict[str, str]) -> bool:
    if wanted.name not in installed:
        return False
    if not wanted.version:
        return True
    exact = _EXACT.match(wanted.version)
    # Other conditions are pip's to judge.
    return exact is not None and exact[1] == installed[wanted.name]


def _environment(args: Args) -> dict[str, str]:
    environment = {"LC_ALL": "C.UTF-8", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    if args.break_system_packages:
        environment["PIP_BREAK_SYSTEM_PACKAGES"] = "1"
    if args.virtualenv is not None:
        environment["PATH"] = f"{args.virtualenv}/bin:{os.environ.get('PATH', os.defpath)}"
    return environment


def _program(args: Args, context: Context) -> list[str]:
    if args.executable is not None:
        if "/" in args.executable:
            return [args.executable]
        return [need(args.executable, context)]
    if args.virtualenv is not None:
        for name in ("pip3", "pip"):
            if (Path(args.virtualenv) / "bin" / name).exists():
                return [f"{args.virtualenv}/bin/{name}"]
        raise ModuleError(
            f"Unable to find pip in the virtualenv, {args.virtualenv}, under any of these names: pip3, pip."
        )
    for name in ("pip3", "pip"):
        found = locate(name, context)
        if found is not None:
            return [found]
    raise ModuleError("Unable to find any of pip3, pip to use.  pip needs to be installed.")


def _arguments(args: Args, wanted: list[_Wanted]) -> list[str]:
    words = list(_STATES[args.state])
    if args.extra_args:
        words += shlex.split(args.extra_args)
    if args.requirements is not None:
        return [*words, "-r", args.requirements]
    for item in wanted:
        words += ["-e", item.text] if args.editable else [item.text]
    return words


def _work(args: Args, context: Context) -> JsonObject:
    old = os.umask(int(args.umask, 8)) if args.umask is not None else None
    try:
        return _carry_out(args, context)
    finally:
        if old is not None:
            os.umask(old)


def _carry_out(args: Args, context: Context) -> JsonObject:
    made = _make_environment(args, context)
    shown = _shown(args)
    if args.name is None and args.requirements is None:
        words = made.cmd if made else []
        out = {"stdout": made.answer.stdout, "stderr": made.answer.stderr} if made else {"stdout": "", "stderr": ""}
        return {**shown, **out, "changed": made is not None, "cmd": words}
    program = _program(args, context)
    wanted = _wanted(args)
    freeze = [*program, "list", "--format=freeze"]
    before = call(freeze, context, directory=args.chdir, also=_environment(args)).stdout
    words = [*program, *_arguments(args, wanted)]
    done = call(words, context, directory=args.chdir, also=_environment(args), live=True)
    if done.rc and not (args.state == "absent" and "not installed" in done.stderr + done.stdout):
        raise ModuleError(failure(done), cmd=words)
    after = call(freeze, context, directory=args.chdir, also=_environment(args)).stdout
    changed = before != after or made is not None
    if args.state == "forcereinstall" or any(not item.name for item in wanted):
        changed = changed or _INSTALLED.search(done.stdout) is not None
    output = (made.answer.stdout if made else "") + done.stdout
    errors = (made.answer.stderr if made else "") + done.stderr
    return {**shown, "changed": changed, "cmd": words, "stdout": output, "stderr": errors}


def failure(done: Answer) -> str:
    """Return what is said of a command that failed."""
    if not done.stderr:
        return f"stdout: {done.stdout}\n"
    return f"stdout: {done.stdout}\n:stderr: {done.stderr}" if done.stdout else f"\n:stderr: {done.stderr}"


@dataclass(frozen=True, slots=True)
class _Made:
    cmd: list[str]
    answer: Answer


def _make_environment(args: Args, context: Context) -> _Made | None:
    if args.virtualenv is None or (Path(args.virtualenv) / "bin/activate").exists():
        return None
    words = shlex.split(args.virtualenv_command)
    words[0] = need(words[0], context)
    if args.virtualenv_site_packages:
        words.append("--system-site-packages")
    if args.virtualenv_python:
        words.append(f"-p{args.virtualenv_python}")
    words.append(args.virtualenv)
    done = call(words, context, directory=args.chdir)
    if done.rc:
        raise ModuleError(failure(done), cmd=words)
    return _Made(words, done)


MODULE = Module(
    name="pip",
    args=Args,
    plan=plan,
    mutually_exclusive=(("name", "requirements"), ("executable", "virtualenv")),
    required_one_of=(("name", "requirements"),),
)
