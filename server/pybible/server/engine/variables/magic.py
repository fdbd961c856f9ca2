"""magic: the variables that the engine itself provides."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pybible.server.engine.inventory.groups import LOCALHOST
from pybible.server.engine.inventory.inventory import Inventory
from pybible.server.engine.model.play import Play, Role, Task
from pybible.server.engine.model.text import Trusted

# The ansible-core whose language this engine speaks: many roles compare it.
LANGUAGE = (2, 19, 14)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMagic:
    """What the command line says, as variables show it."""

    forks: int = 5
    limit: str | None = None
    run_tags: tuple[str, ...] = ("all",)
    skip_tags: tuple[str, ...] = ()
    check: bool = False
    diff: bool = False
    verbosity: int = 0
    config_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlayHosts:
    """The hosts of a play at one moment: all that it began with, those still in it, and those of this batch.

    `current` and `failed` are of this batch, too, and know nothing of earlier plays.
    """

    all: tuple[str, ...] = ()
    live: tuple[str, ...] = ()
    batch: tuple[str, ...] = ()
    current: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


NO_HOSTS = PlayHosts()


def run_variables(magic: RunMagic, inventory: Inventory) -> dict[str, object]:
    """Return what holds for the whole run."""
    version = ".".join(str(part) for part in LANGUAGE)
    variables: dict[str, object] = {
        "ansible_version": {
            "string": version,
            "full": version,
            "major": LANGUAGE[0],
            "minor": LANGUAGE[1],
            "revision": LANGUAGE[2],
        },
        "ansible_playbook_python": sys.executable,
        "ansible_config_file": magic.config_file or None,
        "ansible_check_mode": magic.check,
        "ansible_diff_mode": magic.diff,
        "ansible_forks": magic.forks,
        "ansible_inventory_sources": [_absolute(source) for source in inventory.sources],
        "ansible_run_tags": list(magic.run_tags),
        "ansible_skip_tags": list(magic.skip_tags),
        "ansible_verbosity": magic.verbosity,
    }
    if magic.limit is not None:
        variables["ansible_limit"] = magic.limit
    return variables


def _absolute(source: str) -> str:
    return source if "," in source or not Path(source).exists() else str(Path(source).absolute())


def reach_variables(host: str, connection: str | None) -> dict[str, object]:
    """Return how a host is reached, where nothing else says it: roles ask for `ansible_host` without setting it."""
    return {
        "ansible_host": host,
        "ansible_ssh_host": Trusted("{{ ansible_host }}"),
        "ansible_connection": connection or ("local" if host in LOCALHOST else "ssh"),
        "ansible_shell_executable": "/bin/sh",
        "ansible_timeout": 10,
        "ansible_pipelining": False,
    }


def reach_keywords(task: Task) -> dict[str, object]:
    """Return what a task's keywords say of how its host is reached."""
    words = {"ansible_connection": task.keywords.get("connection"), "ansible_user": task.keywords.get("remote_user")}
    return {name: value for name, value in words.items() if value is not None}


def hosts_variables(hosts: PlayHosts) -> dict[str, object]:
    """Return what holds while the play's hosts are these."""
    return {
        "ansible_play_hosts_all": list(hosts.all),
        "ansible_play_hosts": list(hosts.live),
        "ansible_play_batch": list(hosts.batch),
        "play_hosts": list(hosts.batch),
        "ansible_current_hosts": list(hosts.current),
        "ansible_failed_hosts": list(hosts.failed),
    }


def play_variables(play: Play, roles: Sequence[Role], included: Sequence[Role] = ()) -> dict[str, object]:
    """Return what holds for a play with these roles, dependencies included, and those that includes brought so far."""
    own = [role.name for role in (*play.roles, *included)]
    dependent = list(dict.fromkeys(each.name for role in roles for each in role.dependencies))
    return {
        "ansible_play_name": play.name or _pattern_text(play.hosts),
        "ansible_play_role_names": own,
        "ansible_dependent_role_names": dependent,
        "ansible_role_names": list(dict.fromkeys([*own, *dependent])),
        "role_names": own,
    }


def _pattern_text(hosts: object) -> str:
    return ",".join(str(part) for part in hosts) if isinstance(hosts, list | tuple) else str(hosts)


def role_variables(role: Role) -> dict[str, object]:
    """Return what holds for the tasks of a role."""
    variables: dict[str, object] = {
        "role_name": role.name.rpartition(".")[2],
        "role_path": str(role.path),
        "ansible_role_name": role.name,
        "ansible_collection_name": role.collection or None,
    }
    # A dependency has no parents in this sense: only include_role and import_role make some.
    if role.parents and role not in role.parents[-1].dependencies:
        variables["ansible_parent_role_names"] = [parent.name for parent in reversed(role.parents)]
        variables["ansible_parent_role_paths"] = [str(parent.path) for parent in reversed(role.parents)]
    return variables


def task_variables(task: Task, playbook_directory: Path) -> dict[str, object]:
    """Return what holds for a task."""
    folders = [str(path) for path in task.search_path] or [str(playbook_directory)]
    return {"ansible_search_path": folders, "environment": list(task.keywords.environment)}


def host_variables(name: str, inventory: Inventory) -> Mapping[str, object]:
    """Return what holds for a host."""
    return inventory.host_magic(name)
