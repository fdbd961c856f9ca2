"""listing: what --list-hosts, --list-tasks, --list-tags and --syntax-check print, to the letter as ansible-playbook."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pybible.server.engine.model.play import Block, Node, Play, Task
from pybible.server.engine.plan.tags import select

# What --list-tags shows when no --tags are given: tasks that run, and those that only run when asked for.
EVERY_TAG: Final = ("never", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What is to be listed. None of the three: the names of the playbooks alone, as --syntax-check."""

    hosts: bool = False
    tasks: bool = False
    tags: bool = False
    only: Collection[str] = ()
    skip: Collection[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPlay:
    """A play with its name and `hosts` rendered (`patterns`), and the hosts that they mean."""

    play: Play
    name: str
    patterns: tuple[str, ...]
    hosts: tuple[str, ...] = ()


def task_name(task: Task) -> str:
    """Return a task's name as a banner shows it: with its role, and with its module where it has no name."""
    if task.action == "include_role":
        return task.name or f"{task.action_written} : {task.args.get('name')}"
    own = task.name or task.action_written
    return f"{task.role.name} : {own}" if task.role is not None else own


def list_playbook(name: str, plays: Iterable[ListedPlay], listing: Listing) -> str:
    """Return the text for one playbook, named as on the command line. It has no newline at its end."""
    lines = [f"\nplaybook: {name}"]
    if listing.hosts or listing.tasks or listing.tags:
        for number, listed in enumerate(plays, 1):
            lines += _list_play(number, listed, listing)
    return "\n".join(lines)


def _list_play(number: int, listed: ListedPlay, listing: Listing) -> Iterator[str]:
    play, patterns = listed.play, list(listed.patterns)
    joined = ",".join(patterns)
    own_tags = list(play.keywords.tags)
    yield f"\n  play #{number} ({joined}): {listed.name}\tTAGS: [{','.join(own_tags)}]"
    if listing.hosts:
        yield f"    pattern: {[str(pattern) for pattern in patterns]!r}"
        yield f"    hosts ({len(listed.hosts)}):"
        yield from (f"      {host}" for host in listed.hosts)
    if not (listing.tasks or listing.tags):
        return
    only = listing.only or (EVERY_TAG if listing.tags else ())
    tasks = list(_tasks(select(play.blocks, only, listing.skip)))
    if listing.tasks:
        yield "    tasks:"
        for task in tasks:
            shown = task_name(task) if task.name else task.action_written
            yield f"      {shown}\tTAGS: [{', '.join(_sorted_tags(own_tags, task))}]"
    if listing.tags:
        yield f"      TASK TAGS: [{', '.join(_sorted_tags(own_tags, *tasks))}]"


def _tasks(nodes: Iterable[Node]) -> Iterator[Task]:
    """Yield the tasks that are listed: not those of rescue and always, not the engine's own."""
    for node in nodes:
        if isinstance(node, Block):
            yield from _tasks(node.block)
        elif not (node.implicit and node.action == "meta"):
            yield node


def _sorted_tags(own: Iterable[str], *tasks: Task) -> list[str]:
    return sorted({*own, *(tag for task in tasks for tag in task.keywords.tags)})
