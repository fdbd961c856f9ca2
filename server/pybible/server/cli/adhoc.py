"""adhoc: what `exec` does once its command line is read: a play of one task, run as any other."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import click

from pybible.server.cli.applied import completed, terminal_for
from pybible.server.cli.options import Asked
from pybible.server.cli.running import (
    Session,
    build_engine,
    execute,
    open_session,
    opened,
    places_of,
    read_inventory,
    reports_for,
    run_options,
)
from pybible.server.cli.settings import load_settings
from pybible.server.engine.bridge.finder import Finder
from pybible.server.engine.model.play import Block, Play, Playbook, Task, new_id
from pybible.server.engine.model.text import SourceDict, Trusted
from pybible.server.engine.parsing.actions import NO_MODULES, ModuleFinder, read_statement
from pybible.server.engine.parsing.scope import PlayScope, Scope, ScopedFinder
from pybible.wire.errors import ExitStatus, Origin, UsageError

# They do nothing without a command line.
_NEED_ARGS = frozenset({"command", "shell", "raw", "script"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AdHoc:
    """The command line of `exec`."""

    asked: Asked
    pattern: str
    module: str
    args: str = ""
    list_hosts: bool = False


def run(wanted: AdHoc) -> int:
    """Run the module and return the exit status. Raises PybibleError."""
    return asyncio.run(_run(wanted))


async def _run(wanted: AdHoc) -> int:
    settings = load_settings()
    wanted = replace(wanted, asked=completed(wanted.asked, settings))
    reports = reports_for(wanted.asked, settings, terminal=terminal_for(settings), one_line=True)
    session = open_session(wanted.asked, settings, reports=reports)
    async with AsyncExitStack() as stack:
        playbook = adhoc_playbook(wanted, _finder(session)) if not wanted.list_hosts else None
        opener = await stack.enter_async_context(opened(session))
        inventory = await read_inventory(session, opener)
        hosts = inventory.match(wanted.pattern)
        if playbook is None:
            click.echo("\n".join([f"  hosts ({len(hosts)}):", *(f"    {host}" for host in hosts)]))
            return ExitStatus.OK
        if not hosts:
            reports.warn("No hosts matched, nothing to do")
            return ExitStatus.OK
        engine = build_engine(session, inventory, directory=Path.cwd(), options=run_options(session))
        return await execute(session, (playbook,), engine=engine, opener=opener)


def _finder(session: Session) -> ModuleFinder:
    scope = Scope(play=PlayScope(directory=Path.cwd(), variables={}))
    return ScopedFinder(Finder(places_of(session)), scope)


def adhoc_playbook(wanted: AdHoc, finder: ModuleFinder = NO_MODULES) -> Playbook:
    """Return a playbook of one play with one task, without facts. Raises PybibleError."""
    origin = Origin(f"<adhoc '{wanted.module}' task>")
    module: str = Trusted(wanted.module, Origin("<CLI option '-m'>"))
    statement = read_statement(SourceDict({module: _args(wanted.args, origin)}, origin), finder)
    if statement.action in _NEED_ARGS and not statement.args:
        raise UsageError(f"No argument passed to {wanted.module} module")
    task = Task(
        id=new_id("t"),
        origin=origin,
        action=statement.action,
        action_written=statement.written,
        args=statement.args,
        args_template=statement.template,
        bridged=statement.bridged,
    )
    play = Play(
        id=new_id("p"),
        origin=origin,
        name="Ansible Ad-Hoc",
        hosts=Trusted(wanted.pattern, Origin("<CLI argument>")),
        blocks=(Block(id=new_id("b"), origin=origin, block=(task,), implicit=True),),
        gather_facts=False,
        directory=Path.cwd(),
    )
    # Its name is what `runs` lists.
    return Playbook(path=Path.cwd() / f"{wanted.pattern} {wanted.module}".replace("/", "_"), plays=(play,))


def _args(text: str, origin: Origin) -> object:
    stripped = text.strip()
    if stripped.startswith("{") and stripped.endswith("}") and not stripped.startswith("{{"):
        from pybible.server.engine.parsing.yaml_source import load_yaml

        found = load_yaml(stripped, origin.file)
        if isinstance(found, dict):
            return found
    return Trusted(text, origin) if text else None
