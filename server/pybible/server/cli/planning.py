"""planning: what `plan` does once its command line is read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import click

from pybible.server.cli.applied import completed, tags_with, terminal_for
from pybible.server.cli.listing import print_json
from pybible.server.cli.options import Asked
from pybible.server.cli.running import (
    Reports,
    build_engine,
    open_session,
    opened,
    places_for,
    playbook_files,
    read_inventory,
    run_options,
)
from pybible.server.cli.settings import load_settings
from pybible.server.engine.executor.run import Engine
from pybible.server.engine.model.play import Play
from pybible.server.engine.plan.preview import PlannedTask, Preview
from pybible.server.engine.variables.magic import PlayHosts
from pybible.server.report.dump import dump_value
from pybible.server.report.messages import Messages
from pybible.server.report.visible import visible, visible_line
from pybible.server.results.events import Message, RunEvent
from pybible.wire.errors import ExitStatus
from pybible.wire.values import JsonObject, JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPlay:
    """A play, and what would run on each of its hosts."""

    name: str
    hosts: dict[str, list[PlannedTask]]


def run(asked: Asked, playbooks: tuple[Path, ...], *, tags: tuple[str, ...], skip_tags: tuple[str, ...]) -> int:
    """Show the plan and return the exit status. Raises PybibleError."""
    return asyncio.run(_run(asked, playbooks, tags, skip_tags))


async def _run(asked: Asked, paths: tuple[Path, ...], tags: tuple[str, ...], skip_tags: tuple[str, ...]) -> int:
    settings = load_settings()
    asked = completed(asked, settings)
    messages = Messages(terminal_for(settings), verbosity=asked.verbose)

    def show(event: RunEvent) -> None:
        if isinstance(event, Message):
            messages.show(event)

    paths = playbook_files(paths, places_for(settings, asked.module_path))
    session = open_session(asked, settings, reports=Reports(event=show, recap=lambda recap: None))
    only, skip = tags_with(tags, settings, "TAGS_RUN"), tags_with(skip_tags, settings, "TAGS_SKIP")
    async with AsyncExitStack() as stack:
        opener = None
        if not (asked.inventory or settings.inventory) and (asked.controller or settings.controller):
            opener = await stack.enter_async_context(opened(session))
        inventory = await read_inventory(session, opener)
    directory = paths[0].absolute().parent
    engine = build_engine(
        session, inventory, directory=directory, options=run_options(session, tags=only, skip_tags=skip)
    )
    # Nobody is asked anything.
    engine = replace(engine, ask=None)
    preview = Preview(
        variables=engine.variables, loader=engine.loader, only=only, skip=skip, gathering=engine.options.gathering
    )
    planned = [(str(path), _planned(path, engine, preview)) for path in paths]
    if asked.as_json:
        print_json({"playbooks": [{"path": path, "plays": list(map(_play_json, plays))} for path, plays in planned]})
    else:
        for path, plays in planned:
            click.echo("\n".join([f"\nplaybook: {path}", *(line for play in plays for line in _play_lines(play))]))
    return ExitStatus.OK


def _planned(path: Path, engine: Engine, preview: Preview) -> list[PlannedPlay]:
    playbook = engine.loader.load_playbook(path)
    engine.variables.enter_playbook(playbook.path.parent)
    return [_planned_play(play, engine, preview) for play in playbook.plays]


def _planned_play(play: Play, engine: Engine, preview: Preview) -> PlannedPlay:
    templar = engine.variables.play_templar(play)
    pattern = templar.render(play.hosts)
    names = tuple(engine.inventory.match(pattern))
    hosts = PlayHosts(all=names, live=names, batch=names)
    shown = ",".join(map(str, pattern)) if isinstance(pattern, list) else str(pattern)
    name = templar.render_text(play.name) if play.name else shown
    return PlannedPlay(name=name, hosts={host: preview.play(play, host, hosts) for host in names})


def _play_lines(play: PlannedPlay) -> Iterator[str]:
    yield f"\n  play: {visible(play.name)}"
    if not play.hosts:
        yield "    no hosts matched"
    for host, tasks in play.hosts.items():
        yield f"\n    {visible_line(host)}: {sum(task.runs is not False for task in tasks)} tasks"
        for task in tasks:
            yield from _task_lines(task)


def _task_lines(task: PlannedTask) -> Iterator[str]:
    pad = "      " + "  " * task.depth
    mark = {True: "+", False: "-", None: "?"}[task.runs]
    item = f" (item={_value(task.item)})" if task.has_item else ""
    module = "" if visible(task.name).endswith(task.module) else f" [{task.module}]"
    yield f"{pad}{mark} {visible(task.name)}{module}{item}"
    for name, value in task.args.items():
        yield f"{pad}    {visible(name)}: {_value(value)}{_waits(task, name)}"
    if task.runs is not True:
        yield f"{pad}    when: {visible(' and '.join(task.when))}{_waits(task, 'when')}"
    if "loop" in task.unknown:
        yield f"{pad}    loop:{_waits(task, 'loop')}"
    if task.fails and task.runs is not False:
        yield f"{pad}    fails: {visible(task.fails)}"
    if task.notify:
        yield f"{pad}    notify: {visible(', '.join(task.notify))}"


def _waits(task: PlannedTask, name: str) -> str:
    return f"  <- not known yet: {visible(', '.join(task.unknown[name]))}" if name in task.unknown else ""


def _value(value: object) -> str:
    if isinstance(value, str) and "\n" not in value:
        return visible(value)
    return dump_value(_json(value))


def _play_json(play: PlannedPlay) -> JsonObject:
    return {
        "name": play.name,
        "hosts": {host: [_task_json(task) for task in tasks] for host, tasks in play.hosts.items()},
    }


def _task_json(task: PlannedTask) -> JsonObject:
    shown: JsonObject = {
        "name": task.name,
        "module": task.module,
        "place": task.place,
        "runs": task.runs,
        "args": _json(task.args),
        "unknown": {name: _listed(names) for name, names in task.unknown.items()},
        "when": _listed(task.when),
        "notify": _listed(task.notify),
        "depth": task.depth,
        "fails": task.fails,
    }
    if task.has_item:
        shown["item"] = _json(task.item)
    return shown


def _listed(names: Sequence[str]) -> JsonValue:
    return [str(name) for name in names]


def _json(value: object) -> JsonValue:
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    return value if isinstance(value, bool | int | float) or value is None else str(value)
