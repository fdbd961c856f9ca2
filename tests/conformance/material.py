"""material: the roles, task files and playbooks of a package, and how each is given to a playbook command."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROLE = "role"
TASKS = "task file"
PLAYBOOK = "playbook"
KINDS = (ROLE, TASKS, PLAYBOOK)

_COLLECTIONS = "ansible_collections"
# Folders whose YAML files are neither tasks nor plays.
_OTHER = frozenset(
    {
        "changelogs", "defaults", "docs", "files", "group_vars", "host_vars", "inventory", "meta", "plugins",
        "sanity", "templates", "vars", "zuul.d", ".github",
    }
)  # fmt: skip
_IS_PLAYBOOK = re.compile(
    r"^(?:- |  )\s*[\"']?(?:hosts|import_playbook|ansible\.builtin\.import_playbook)[\"']?\s*:", re.MULTILINE
)
_FIRST = re.compile(r"\A(?:\s*(?:#[^\n]*|---[^\n]*)?\n)*(- )")
_GROUP = re.compile(r"^(?:- |  )\s*hosts\s*:\s*(.*)$", re.MULTILINE)
_WORD = re.compile(r"\b[A-Za-z_]\w*(?:-\w+)*\b")
# The folders that plugins of a package's own lie in, and the setting for each.
_PLUGINS = {
    "ANSIBLE_LIBRARY": ("library", "plugins/modules"),
    "ANSIBLE_MODULE_UTILS": ("module_utils", "plugins/module_utils"),
    "ANSIBLE_ACTION_PLUGINS": ("action_plugins", "plugins/action"),
    "ANSIBLE_FILTER_PLUGINS": ("filter_plugins", "plugins/filter"),
    "ANSIBLE_LOOKUP_PLUGINS": ("lookup_plugins", "plugins/lookup"),
    "ANSIBLE_TEST_PLUGINS": ("test_plugins", "plugins/test"),
    "ANSIBLE_ROLES_PATH": ("roles",),
}


@dataclass(frozen=True, slots=True)
class Item:
    """One role, task file or playbook. `text` is a playbook that brings it in; empty: `path` is one itself."""

    kind: str
    path: Path
    text: str = ""

    def playbook(self, work: Path) -> Path:
        """Return the playbook to run, written into `work` when the item is none itself."""
        if not self.text:
            return self.path
        wrapper = work / f"{hashlib.sha256(self.text.encode()).hexdigest()[:16]}.yml"
        wrapper.write_text(self.text)
        return wrapper


@dataclass(slots=True)
class Material:
    """What one package holds."""

    root: Path
    items: list[Item] = field(default_factory=list)
    groups: set[str] = field(default_factory=set)

    def inventory(self) -> str:
        """Return an inventory with two hosts in every group that a playbook names."""
        lines = ["local01 ansible_connection=local", ""]
        for group in sorted(self.groups - {"all", "localhost", "ungrouped"}):
            lines += [f"[{group}]", f"{group}-1", f"{group}-2", ""]
        return "\n".join(lines)

    def environment(self) -> dict[str, str]:
        """Return the settings that name the package's own folders of plugins and roles. Collections need none."""
        if self.root.name == _COLLECTIONS:
            return {}
        found = {
            setting: [str(path) for name in names for path in sorted(self.root.rglob(name)) if path.is_dir()]
            for setting, names in _PLUGINS.items()
        }
        return {setting: ":".join(folders) for setting, folders in found.items() if folders}


def read_material(root: Path) -> Material:
    """Find the items below a package's folder."""
    material = Material(root)
    roles = list(_roles(root))
    material.items += [Item(ROLE, role, _play(f"roles: [{{role: {_name(role, root)}}}]")) for role in roles]
    for path in _files(root, roles):
        text = path.read_text("utf-8", "replace")
        role = next((role for role in roles if role in path.parents), None)
        if role is not None and path.is_relative_to(role / "tasks"):
            wanted = f"import_role: {{name: {_name(role, root)}, tasks_from: {path.relative_to(role / 'tasks')}}}"
            material.items.append(Item(TASKS, path, _play(f"tasks: [{{{wanted}}}]")))
        elif role is not None and path.is_relative_to(role / "handlers"):
            wanted = f"import_role: {{name: {_name(role, root)}, handlers_from: {path.relative_to(role / 'handlers')}}}"
            material.items.append(Item(TASKS, path, _play(f"tasks: [{{{wanted}}}]")))
        elif _FIRST.match(text) is None:
            continue
        elif _IS_PLAYBOOK.search(text):
            material.items.append(Item(PLAYBOOK, path))
            material.groups.update(_groups(text))
        else:
            material.items.append(Item(TASKS, path, _play(f"tasks: [{{import_tasks: {path}}}]")))
    return material


def _roles(root: Path) -> Iterator[Path]:
    for folder in sorted(root.rglob("roles")):
        # A role's own folder of that name holds roles for its tests.
        for role in sorted(folder.iterdir()) if folder.is_dir() else ():
            if any((role / part).is_dir() for part in ("tasks", "meta", "handlers", "defaults")):
                yield role


def _name(role: Path, root: Path) -> str:
    """Return a role's name: in a collection its full one, else its path."""
    inside = role.relative_to(root).parts
    if root.name == _COLLECTIONS and len(inside) == 4 and inside[2] == "roles":
        return ".".join((inside[0], inside[1], inside[3]))
    return str(role)


def _files(root: Path, roles: Iterable[Path]) -> Iterator[Path]:
    known = set(roles)
    for path in sorted(root.rglob("*.y*ml")):
        inside = path.relative_to(root).parts[:-1]
        role = next((parent for parent in path.parents if parent in known), None)
        below = path.relative_to(role).parts[:-1] if role is not None else inside
        if path.is_file() and path.suffix in (".yml", ".yaml") and _OTHER.isdisjoint(below):
            yield path


def _play(part: str) -> str:
    return f"- hosts: all\n  gather_facts: false\n  {part}\n"


def _groups(text: str) -> Iterator[str]:
    for line in _GROUP.findall(text):
        if "{{" not in line:
            yield from _WORD.findall(line.split("#")[0])
