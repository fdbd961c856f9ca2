"""showing: what `inventory` does once its command line is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click

from pybible.server.cli.applied import completed, terminal_for, variable_options
from pybible.server.cli.inventory_text import json_text, yaml_text
from pybible.server.cli.options import Asked
from pybible.server.cli.running import Reports, Session, open_session, opened, read_sources, template_engine
from pybible.server.cli.settings import load_settings
from pybible.server.engine.inventory.inventory import Inventory
from pybible.server.engine.inventory_plugins.view import InventoryView, Variables
from pybible.server.engine.model.text import Vaulted
from pybible.server.engine.variables.scope import VariableManager
from pybible.server.engine.vault import VaultSecrets
from pybible.server.report.messages import Messages
from pybible.server.results.events import Message, RunEvent
from pybible.wire.errors import ExitStatus, PybibleError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The command line of `inventory`. Neither `graph` nor `host`: all of it."""

    asked: Asked
    group: str = "all"
    graph: bool = False
    host: str = ""
    as_yaml: bool = False
    variables: bool = False
    export: bool = False
    output: Path | None = None
    playbook_dir: Path | None = None
    flush_cache: bool = False


def run(wanted: Shown) -> int:
    """Show it and return the exit status. Raises PybibleError."""
    return asyncio.run(_run(wanted))


async def _run(wanted: Shown) -> int:
    settings = load_settings()
    terminal = terminal_for(settings)
    asked = completed(wanted.asked, settings)
    config = settings.ansible
    messages = Messages(terminal, verbosity=asked.verbose, deprecations=config.flag("DEPRECATION_WARNINGS"))
    session = open_session(asked, settings, reports=Reports(event=_messages_only(messages), recap=lambda recap: None))
    wanted = replace(wanted, export=wanted.export or config.flag("INVENTORY_EXPORT"))
    if wanted.playbook_dir is None and config.text("PLAYBOOK_DIR"):
        wanted = replace(wanted, playbook_dir=Path(config.text("PLAYBOOK_DIR")))
    async with AsyncExitStack() as stack:
        opener = None
        if not (asked.inventory or settings.inventory) and (asked.controller or settings.controller):
            opener = await stack.enter_async_context(opened(session))
        inventory = await read_sources(session, opener)
    text = _text(wanted, session, inventory)
    if wanted.output is None:
        click.echo(text)
        return ExitStatus.OK
    try:
        wanted.output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PybibleError(f"Unable to write to destination file '{wanted.output}': {error.strerror}") from error
    return ExitStatus.OK


def _messages_only(messages: Messages) -> Callable[[RunEvent], None]:
    def show(event: RunEvent) -> None:
        if isinstance(event, Message):
            messages.show(event)

    return show


def _text(wanted: Shown, session: Session, inventory: Inventory) -> str:
    directory = (wanted.playbook_dir or Path.cwd()).absolute()
    manager = VariableManager(
        inventory=inventory,
        engine=template_engine(session, directory=directory),
        extra_vars=session.extra_vars,
        playbook_directory=directory,
        options=variable_options(session.settings, session.warn),
    )
    if wanted.flush_cache:
        for name in inventory.match("all"):
            manager.clear_facts(name)
    view = InventoryView(
        inventory=inventory,
        host_variables=manager.host_variables,
        export=wanted.export,
        playbook_dir=None if wanted.playbook_dir is None else directory,
    )
    if wanted.host:
        names = inventory.match(wanted.host)
        if len(names) != 1:
            raise UsageError("You must pass a single valid host to --host parameter")
        values = view.variables_of_host(names[0])
        return yaml_text(values).rstrip("\n") if wanted.as_yaml else json_text(values)
    if wanted.graph:
        return _tree(wanted, view, session.vault or VaultSecrets())
    if session.asked.limit is not None:
        inventory.set_limit(session.asked.limit)
    return yaml_text(view.groups()).rstrip("\n") if wanted.as_yaml else json_text(view.script(), mark_data=True)


def _tree(wanted: Shown, view: InventoryView, vault: VaultSecrets) -> str:
    group = view.inventory.groups.get(wanted.group)
    if group is None:
        raise UsageError("Pattern must be valid group name when using --graph")
    return view.tree(group, variables=partial(_opened, vault) if wanted.variables else None)


def _opened(vault: VaultSecrets, values: Variables) -> Variables:
    """Open what is vaulted: a tree shows values as people read them. Raises VaultError."""
    return {
        name: vault.decrypt(value.ciphertext, origin=value.origin).decode() if isinstance(value, Vaulted) else value
        for name, value in values.items()
    }
