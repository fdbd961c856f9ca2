"""playing: what `run` does once its command line is read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import click

from pybible.server.cli.applied import completed, tags_with, terminal_for
from pybible.server.cli.keeping import Keeping, kept_command
from pybible.server.cli.options import Asked
from pybible.server.cli.running import (
    Reports,
    build_engine,
    execute,
    open_session,
    opened,
    places_for,
    playbook_files,
    read_inventory,
    reports_for,
    run_options,
)
from pybible.server.cli.settings import load_settings
from pybible.server.engine.executor.play import check_play, play_name, play_patterns
from pybible.server.engine.executor.replay import Recorded, Replay
from pybible.server.engine.executor.run import Engine
from pybible.server.engine.model.paths import expanded
from pybible.server.engine.model.play import Playbook
from pybible.server.engine.plan.arguments import check_arguments
from pybible.server.engine.plan.listing import ListedPlay, Listing, list_playbook
from pybible.server.engine.plan.start_at import first_match
from pybible.server.results.events import Message, MessageLevel, PlaybookStarted, RunEvent
from pybible.wire.errors import ExitStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """The run that is resumed, or run once more: then `hosts` is None, else what each of its hosts did."""

    run_id: str
    hosts: Mapping[str, Sequence[Recorded]] | None = None
    # Tasks stand on the lines on which they stood then.
    lines_count: bool = True
    # What the operator is to know before anything is run: what is taken over, and warnings.
    taken: str = ""
    notes: tuple[str, ...] = ()

    @property
    def because(self) -> str:
        """What the new run's name says of it."""
        return f"{'resumes' if self.hosts is not None else 'once more'}: {self.run_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybookRun:
    """The command line of `run`."""

    asked: Asked
    playbooks: tuple[Path, ...]
    tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()
    start_at: str = ""
    force_handlers: bool = False
    syntax_check: bool = False
    list_hosts: bool = False
    list_tasks: bool = False
    list_tags: bool = False
    flush_cache: bool = False
    step: bool = False
    earlier: Earlier | None = None

    @property
    def only_lists(self) -> bool:
        """Whether no task is to be run."""
        return self.syntax_check or self.list_hosts or self.list_tasks or self.list_tags


def run(wanted: PlaybookRun) -> int:
    """Run or list the playbooks and return the exit status. Raises PybibleError."""
    return asyncio.run(_run(wanted))


async def _run(wanted: PlaybookRun) -> int:
    settings = load_settings()
    given = wanted
    wanted = replace(
        wanted,
        asked=completed(wanted.asked, settings),
        playbooks=playbook_files(wanted.playbooks, places_for(settings, wanted.asked.module_path)),
        tags=tags_with(wanted.tags, settings, "TAGS_RUN"),
        skip_tags=tags_with(wanted.skip_tags, settings, "TAGS_SKIP"),
    )
    keeping = Keeping(settings.state_folder / "runs")
    reports = _naming(wanted, reports_for(wanted.asked, settings, terminal=terminal_for(settings)), keeping)
    session = open_session(wanted.asked, settings, reports=reports)
    options = run_options(
        session,
        tags=wanted.tags,
        skip_tags=wanted.skip_tags,
        start_at_task=wanted.start_at,
        step=wanted.step,
        **({"facts_within": 0.0} if wanted.flush_cache else {}),
        force_handlers=wanted.force_handlers or settings.ansible.flag("DEFAULT_FORCE_HANDLERS"),
    )
    async with AsyncExitStack() as stack:
        needs_fleet = not (session.asked.inventory or session.settings.inventory)
        opener = None
        if not wanted.only_lists or (needs_fleet and (session.asked.controller or session.settings.controller)):
            opener = await stack.enter_async_context(opened(session))
        inventory = await read_inventory(session, opener)
        directory = wanted.playbooks[0].absolute().parent
        engine = build_engine(session, inventory, directory=directory, options=options)
        if wanted.flush_cache:
            for host in inventory.match("all", ignore_limit=True):
                engine.variables.clear_facts(host)
        playbooks = tuple(engine.loader.load_playbook(path) for path in wanted.playbooks)
        if not wanted.only_lists or wanted.syntax_check:
            check_arguments(playbooks)
        if wanted.only_lists or opener is None:
            _list(wanted, playbooks, engine)
            return ExitStatus.OK
        command = kept_command(
            given,
            session.asked,
            controller=session.asked.controller or settings.controller,
            sources=session.asked.inventory or settings.inventory,
            playbooks=playbooks,
        )
        stack.callback(keeping.close)
        earlier = wanted.earlier or Earlier(run_id="")
        keeping.begin(command, opener, before=earlier.hosts or {})
        because = earlier.because if earlier.run_id else ""
        status = await execute(session, playbooks, engine=_resuming(wanted, engine), opener=opener, because=because)
        keeping.ended(status)
        if wanted.start_at and not _has_task(playbooks, wanted.start_at):
            text = f'No matching task "{wanted.start_at}" found. Note: --start-at-task can only follow static includes.'
            reports.event(Message(level=MessageLevel.ERROR, text=text))
        return status


def _has_task(playbooks: tuple[Playbook, ...], name: str) -> bool:
    return any(first_match(play.blocks, name) for playbook in playbooks for play in playbook.plays)


def _resuming(wanted: PlaybookRun, engine: Engine) -> Engine:
    """Return the engine with what the run that is resumed did; tell what is to be known of it."""
    earlier = wanted.earlier
    if earlier is None:
        return engine

    def warn(text: str) -> None:
        engine.report(Message(level=MessageLevel.WARNING, text=text))

    if earlier.taken:
        engine.report(Message(level=MessageLevel.NOTICE, text=earlier.taken))
    for note in earlier.notes:
        warn(note)
    if earlier.hosts is None:
        return engine
    return replace(engine, replay=Replay(earlier.run_id, earlier.hosts, lines_count=earlier.lines_count, warn=warn))


def _naming(wanted: PlaybookRun, reports: Reports, keeping: Keeping) -> Reports:
    """Let the operator see playbooks by the paths that were given, and keep what resuming the run would take."""
    given = {str(expanded(path).absolute()): str(path) for path in wanted.playbooks}

    def event(happened: RunEvent) -> None:
        keeping(happened)
        if isinstance(happened, PlaybookStarted):
            happened = replace(happened, path=given.get(happened.path, happened.path))
        reports.event(happened)

    return replace(reports, event=event)


def _list(wanted: PlaybookRun, playbooks: tuple[Playbook, ...], engine: Engine) -> None:
    listing = Listing(
        hosts=wanted.list_hosts,
        tasks=wanted.list_tasks,
        tags=wanted.list_tags,
        only=wanted.tags,
        skip=wanted.skip_tags,
    )
    for path, playbook in zip(wanted.playbooks, playbooks, strict=True):
        engine.variables.enter_playbook(playbook.path.parent)
        click.echo(list_playbook(str(path), _listed(playbook, engine, listing), listing))


def _listed(playbook: Playbook, engine: Engine, listing: Listing) -> list[ListedPlay]:
    listed = []
    for play in playbook.plays:
        templar = engine.variables.play_templar(play)
        name = play_name(play, templar)
        check_play(play, templar)
        patterns = play_patterns(play, templar)
        shown = tuple(map(str, patterns)) if isinstance(patterns, list) else (str(patterns),)
        # Asked for in any case: that a pattern matches nobody is a warning in every list.
        hosts = tuple(engine.inventory.match(patterns))
        listed.append(ListedPlay(play=play, name=name, patterns=shown, hosts=hosts if listing.hosts else ()))
    return listed
