"""alternatives: installs, selects and removes alternatives, with the host's update-alternatives."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import (
    Change,
    Context,
    Module,
    ModuleError,
    PathText,
    Plan,
    Unchanged,
    arg,
    suboptions,
)
from pybible.agent.modules.programs import call, locate, must, need
from pybible.wire.values import JsonObject

_MODE = re.compile(r"^\S.* - (?:status is )?(auto|manual)\b")
_LINK = re.compile(r"^\s+link (?!currently |best )(\S+) is (.+)$")
_CURRENT = re.compile(r"^\s+link currently points to (.+)$")
_SUB_LINK = re.compile(r"^\s+(?:slave|follower) (\S+) is (.+)$")
_PATH = re.compile(r"^(/.*) - (?:family (\S+) )?priority (-?\d+)$")
_SUB_PATH = re.compile(r"^\s+(?:slave|follower) (\S+): (.+)$")
_NOTHING = "(null)"
_DEFAULT_PRIORITY = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Subcommand:
    """A further link that goes with an alternative."""

    name: str = arg(doc="its name")
    path: PathText = arg(doc="the program")
    link: PathText = arg(doc="the link that leads to it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of alternatives."""

    name: str = arg(doc="name of the group")
    path: PathText | None = arg(default=None, doc="the program")
    family: str | None = arg(default=None, doc="family of programs; Red Hat and its kin only")
    link: PathText | None = arg(default=None, doc="the link that leads to the chosen program")
    priority: int | None = arg(default=None, doc="priority, 50 for a new one")
    state: Literal["present", "selected", "absent", "auto"] = arg(
        default="selected", doc="installed, chosen too, gone, or chosen by priority"
    )
    subcommands: list[dict[str, str]] | None = arg(
        default=None, aliases=("slaves",), suboptions=suboptions(Subcommand), doc="further links that go with it"
    )


@dataclass(slots=True)
class Alternative:
    """One program of a group: its priority, its family, and the programs of the further links."""

    priority: int
    family: str | None
    paths: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Group:
    """What update-alternatives knows of a group."""

    mode: str | None = None
    link: str | None = None
    current: str | None = None
    links: dict[str, str] = field(default_factory=dict)
    alternatives: dict[str, Alternative] = field(default_factory=dict)

    def subcommands(self, path: str) -> list[JsonObject]:
        """Return the further links of one program."""
        found = self.alternatives[path].paths.items()
        return [{"name": name, "path": program, "link": self.links.get(name)} for name, program in found]


def parse(text: str) -> Group:
    """Read what `update-alternatives --display` prints, in Debian's words or in Red Hat's."""
    group = Group()
    last: Alternative | None = None
    for line in text.splitlines():
        if found := _PATH.match(line):
            last = group.alternatives[found[1]] = Alternative(int(found[3]), found[2])
        elif found := _SUB_PATH.match(line):
            if last is not None and found[2] != _NOTHING:
                last.paths[found[1]] = found[2]
        elif found := _CURRENT.match(line):
            group.current = found[1]
        elif found := _SUB_LINK.match(line):
            group.links[found[1]] = found[2]
        elif found := _LINK.match(line):
            group.link = found[2]
        elif group.mode is None and (found := _MODE.match(line)):
            group.mode = found[1]
    return group


def plan(args: Args, context: Context) -> Plan:
    """Compare the group with what is asked."""
    program = locate("update-alternatives", context) or need("alternatives", context)
    shown = call([program, "--display", args.name], context, also={"LC_ALL": "C"})
    group = parse(shown.stdout) if shown.rc == 0 else Group()
    before = {} if shown.rc else _before(args, group)
    after: JsonObject = {}
    commands: list[list[str]] = []
    said: list[str] = []
    if args.state == "absent":
        if args.path in group.alternatives:
            commands.append(["--remove", args.name, str(args.path)])
            said.append(f"Remove alternative '{args.path}' from '{args.name}'.")
            after = {"state": "absent"}
    else:
        if args.path is not None and _differs(args, args.path, group):
            commands.append(_install(args, args.path, group, after))
            said.append(f"Install alternative '{args.path}' for '{args.name}'.")
        _choose(args, group, after, commands, said)
    values: JsonObject = {"msg": " ".join(said), "diff": {"before": {}, "after": {}}}
    if context.diff:
        values["diff"] = {"before": before, "after": after}
    if not commands:
        return Unchanged(values=values)
    return Change(values=values, apply=partial(_apply, program, commands, context))


def _before(args: Args, group: Group) -> JsonObject:
    if args.path not in group.alternatives:
        return {"state": "absent"}
    path = str(args.path)
    # As the stock module has it: a program that is not the chosen one is "selected" in a group without automatic.
    state = "selected" if group.mode == "manual" and group.current != path else "present"
    found: JsonObject = {"state": state, "path": path, "priority": group.alternatives[path].priority}
    found["link"] = group.link
    if subcommands := group.subcommands(path):
        found["subcommands"] = subcommands
    return found


def _differs(args: Args, path: str, group: Group) -> bool:
    found = group.alternatives.get(path)
    if found is None:
        return True
    return (
        (args.priority is not None and args.priority != found.priority)
        or (args.link is not None and group.link is not None and args.link != group.link)
        or (args.subcommands is not None and args.subcommands != group.subcommands(path))
    )


def _install(args: Args, path: str, group: Group, after: JsonObject) -> list[str]:
    if not Path(path).exists():
        raise ModuleError(f"Specified path {path} does not exist")
    link = args.link or group.link
    if not link:
        raise ModuleError("Needed to install the alternative, but unable to do so as we are missing the link")
    found = group.alternatives.get(path)
    priority = args.priority
    if priority is None:
        priority = _DEFAULT_PRIORITY if found is None else found.priority
    subcommands = args.subcommands
    if subcommands is None and found is not None:
        subcommands = [{key: str(value) for key, value in item.items()} for item in group.subcommands(path)]
    after |= {"state": "present", "path": path, "family": args.family, "priority": priority, "link": link}
    words = ["--install", link, args.name, path, str(priority)]
    if args.family is not None:
        words += ["--family", args.family]
    if subcommands:
        after["subcommands"] = list(subcommands)
        for item in subcommands:
            words += ["--slave", item["link"], item["name"], item["path"]]
    return words


def _choose(args: Args, group: Group, after: JsonObject, commands: list[list[str]], said: list[str]) -> None:
    if args.state == "auto" and group.mode != "auto":
        commands.append(["--auto", args.name])
        said.append(f"Set alternative to auto for '{args.name}'.")
        after["state"] = "present"
    elif args.state == "selected" and not _is_chosen(args, group):
        chosen = args.path or str(args.family)
        commands.append(["--set", args.name, chosen])
        said.append(f"Set alternative '{chosen}' for '{args.name}'.")
        after["state"] = "selected"


def _is_chosen(args: Args, group: Group) -> bool:
    if group.current is None:
        return False
    found = group.alternatives.get(group.current)
    of_family = args.family is not None and found is not None and found.family == args.family
    return group.current == args.path or of_family


def _apply(program: str, commands: list[list[str]], context: Context) -> None:
    for words in commands:
        must([program, *words], context, also={"LC_ALL": "C"})


MODULE = Module(name="community.general.alternatives", args=Args, plan=plan, required_one_of=(("path", "family"),))
