"""git_config: makes sure that git's configuration has, or has not, a setting."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, Unchanged, arg
from pybible.agent.modules.programs import call, need
from pybible.wire.values import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of git_config."""

    name: str = arg(doc="the setting, as section.key")
    repo: PathText | None = arg(default=None, doc="the repository whose settings are meant")
    file: PathText | None = arg(default=None, doc="the file whose settings are meant")
    add_mode: Literal["add", "replace-all"] = arg(default="replace-all", doc="whether other values stay")
    scope: Literal["file", "local", "global", "system"] | None = arg(
        default=None, doc="whose settings; those of the system when it is not said"
    )
    state: Literal["present", "absent"] = arg(default="present", doc="whether the setting is to be there")
    value: str | None = arg(default=None, doc="its value")

    @property
    def words(self) -> list[str]:
        """What follows `git` in every call."""
        words = ["config", "--includes"]
        if self.scope == "file":
            return [*words, "-f", str(self.file)]
        return [*words, f"--{self.scope or 'system'}"]


def plan(args: Args, context: Context) -> Plan:
    """Compare the setting with what is asked."""
    if args.state == "present" and not args.value:
        raise ModuleError(
            "If state=present, a value must be specified. Use the community.general.git_config_info module to read a "
            "config value."
        )
    git = need("git", context)
    old = _values(args, context, git)
    if args.state == "absent":
        if not old:
            return Unchanged(values={"msg": "no setting to unset"})
        words, new = ["--unset-all", args.name], []
    else:
        value = args.value or ""
        if value in old if args.add_mode == "add" else old == [value]:
            return Unchanged(values={"msg": ""})
        words = [f"--{args.add_mode}", args.name, value]
        new = [*old, value] if args.add_mode == "add" else [value]
    command = [git, *args.words, *words]
    header = " ".join(command)
    diff: JsonValue = {
        "before_header": header, "before": _shown(old), "after_header": header, "after": _shown(new),
    }  # fmt: skip
    return Change(msg="setting changed", values={"diff": diff}, apply=partial(_set, args, context, command))


def _shown(values: list[str]) -> JsonValue:
    return list(values) if len(values) > 1 else f"{''.join(values)}\n"


def _directory(args: Args) -> str:
    return args.repo if args.repo is not None and Path(args.repo).is_dir() else "/"


def _values(args: Args, context: Context, git: str) -> list[str]:
    words = [git, *args.words, "--get-all", args.name]
    done = call([*words[:-1], "-z", words[-1]], context, directory=_directory(args))
    if done.rc > 1:
        raise ModuleError(done.stderr, rc=done.rc, cmd=" ".join(words))
    return parse(done.stdout)


def parse(text: str) -> list[str]:
    """Return the values that `git config -z --get-all` printed."""
    return text.split("\0")[:-1]


def _set(args: Args, context: Context, command: list[str]) -> None:
    done = call(command, context, directory=_directory(args))
    if done.rc:
        raise ModuleError(done.stderr, rc=done.rc, cmd=list(command))


MODULE = Module(
    name="git_config",
    args=Args,
    plan=plan,
    required_if=(
        ("scope", "local", ("repo",)),
        ("scope", "file", ("file",)),
        ("state", "present", ("value",)),
    ),
)
