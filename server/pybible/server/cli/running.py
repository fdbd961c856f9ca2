"""running: from what the operator asked for to the exit status: everything that a run needs, put together once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pybible.server.cli.applied import callbacks_of, variable_options, warner, write_retry_file
from pybible.server.cli.exits import RunCancelled
from pybible.server.cli.extra_vars import extra_vars
from pybible.server.cli.inventories import configured_inventory
from pybible.server.cli.options import Asked
from pybible.server.cli.settings import Settings
from pybible.server.cli.typed import ask_line, read_line
from pybible.server.cli.vars_prompts import ask
from pybible.server.cli.vault_passwords import configured_secrets
from pybible.server.client.connection import parse_endpoint
from pybible.server.client.opener import ControllerOpener
from pybible.server.client.run_dispatcher import Sign
from pybible.server.engine.bridge.finder import Finder
from pybible.server.engine.bridge.places import Places
from pybible.server.engine.dispatcher import RunRequest
from pybible.server.engine.executor.options import RunOptions
from pybible.server.engine.executor.run import Engine, RunOutcome, run_playbooks
from pybible.server.engine.inventory.groups import LOCALHOST
from pybible.server.engine.inventory.inventory import Inventory
from pybible.server.engine.inventory.sources import ONLY_LOCALHOST
from pybible.server.engine.model.connections import Place, place_of
from pybible.server.engine.model.notices import Deprecation
from pybible.server.engine.model.paths import expanded
from pybible.server.engine.model.play import Playbook
from pybible.server.engine.parsing.loader import Loader
from pybible.server.engine.templating.engine import TemplateEngine
from pybible.server.engine.templating.templar import Templar
from pybible.server.engine.templating.undefined import OMIT
from pybible.server.engine.variables.magic import RunMagic
from pybible.server.engine.variables.scope import VariableManager
from pybible.server.engine.vault import VaultSecrets
from pybible.server.engine.watch import Watch
from pybible.server.report.live_lines import LiveLines
from pybible.server.report.registry import short_name
from pybible.server.report.terminal import Terminal
from pybible.server.results.events import Message, MessageLevel, Output, RunEvent
from pybible.server.results.recap import Recap
from pybible.wire.errors import PybibleError

# How much of a running task's output reaches whoever watches.
_LIVE_OUTPUT_BYTES = 256 * 1024
# Callbacks whose lines go by a progress line.
_MAKE_ROOM = frozenset({"default", "yaml", "debug"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """Where the events of a run go, and its recap; `close` takes away what is only there while it runs."""

    event: Callable[[RunEvent], None]
    recap: Callable[[Recap], None]
    close: Callable[[], None] = lambda: None
    # Whether it shows what running tasks print.
    live: bool = False
    # Shows a line of ctl's own.
    line: Callable[[str], None] = lambda text: None

    def warn(self, text: str) -> None:
        """Show a warning."""
        level = MessageLevel.DEPRECATION if isinstance(text, Deprecation) else MessageLevel.WARNING
        self.event(Message(level=level, text=text))


def reports_for(asked: Asked, settings: Settings, *, terminal: Terminal, one_line: bool = False) -> Reports:
    """Return the report that was asked for, with live progress where somebody looks on."""
    if asked.as_json:
        from pybible.server.report.json_lines import JsonLines

        lines = JsonLines(terminal)
        return Reports(event=lines, recap=lines.recap, live=True)
    if one_line:
        from pybible.server.report.callbacks import CallbackSetting
        from pybible.server.report.minimal import Minimal

        short = Minimal(CallbackSetting(terminal=terminal, verbosity=asked.verbose))
        return Reports(event=short, recap=short.recap)
    progress = None
    # Where there is a progress line every other line has to go by it.
    if sys.stdout.isatty() and terminal.colour and short_name(settings.stdout_callback) in _MAKE_ROOM:
        from pybible.server.report.progress import Progress, rich_display

        progress = Progress(terminal, rich_display(), forks=asked.forks or settings.forks)
        terminal = progress.terminal
    shows, adds, warnings = callbacks_of(asked, settings, terminal)
    callbacks = [shows, *adds]
    live = LiveLines(terminal) if _shows_output(asked, settings) else None

    def event(happened: RunEvent) -> None:
        if live is not None:
            live(happened)
        if not isinstance(happened, Output):
            for callback in callbacks:
                callback(happened)
        if progress is not None:
            progress(happened)

    def recap(counts: Recap) -> None:
        for callback in callbacks:
            callback.recap(counts)

    close = progress.close if progress is not None else lambda: None
    wanted = progress is not None or live is not None
    reports = Reports(event=event, recap=recap, close=close, live=wanted, line=terminal.line)
    for text in warnings:
        reports.warn(text)
    return reports


def _shows_output(asked: Asked, settings: Settings) -> bool:
    """Tell whether what tasks print is shown while they run: with -v, to somebody who looks on."""
    if settings.live_output is not None:
        return settings.live_output
    return bool(asked.verbose) and sys.stdout.isatty()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What all commands that run something need, before they know what it is."""

    asked: Asked
    settings: Settings
    reports: Reports
    vault: VaultSecrets | None
    extra_vars: Mapping[str, object]
    # Takes warnings; those that ansible.cfg makes errors are raised.
    warn: Callable[[str], None]
    # Ends what computes too long.
    watch: Watch

    @property
    def forks(self) -> int:
        """How many hosts at once."""
        return self.asked.forks or self.settings.forks


def open_session(asked: Asked, settings: Settings, *, reports: Reports) -> Session:
    """Ask for passwords, take -e apart, and begin to watch. Raises PybibleError."""
    for text in settings.ansible.warnings:
        reports.warn(text)
    for text in settings.ansible.deprecations:
        reports.event(Message(level=MessageLevel.DEPRECATION, text=text))
    if asked.verbose:
        config = settings.ansible_config
        text = f"Using {config} as config file" if config else "No config file found; using defaults"
        reports.event(Message(level=MessageLevel.NOTICE, text=text, verbosity=1))
    if asked.ignored:
        reports.warn(f"Of no effect, as agents are not reached over SSH: {', '.join(asked.ignored)}")
    warn = warner(settings, reports.warn)
    # Of several passwords in a team's ansible.cfg not everybody has all.
    vault = configured_secrets(settings.ansible, asked.vault_ids, asked.vault_files, ask=asked.ask_vault, warn=warn)
    variables = extra_vars(asked.extra_vars, vault=vault, warn=warn)
    watch = Watch(settings.render_limit)
    watch.install()
    return Session(
        asked=asked, settings=settings, reports=reports, vault=vault, extra_vars=variables, warn=warn, watch=watch
    )


@asynccontextmanager
async def opened(session: Session) -> AsyncIterator[ControllerOpener]:
    """Give the way to the controller, or to one in this process where none is configured."""
    named = session.asked.controller or session.settings.controller
    if named:
        endpoint = parse_endpoint(named, identity_folder=session.settings.identity_folder)
        yield ControllerOpener(endpoint, sign=_sign(session.settings), warn=session.reports.warn)
        return
    from pybible.server.client.embedded import embedded

    async with embedded(session.settings.state_folder) as opener:
        yield opener


def _sign(settings: Settings) -> Sign | None:
    """Return what signs this operator's tasks, None when no key is set. ConfigError when it can't be used."""
    if settings.signing_key is None:
        return None
    from pybible.wire.signing import SigningKey

    return SigningKey.load(settings.signing_key).sign


async def read_sources(session: Session, opener: ControllerOpener | None) -> Inventory:
    """Read the inventory; without any, the fleet is it. Raises PybibleError."""
    sources = session.asked.inventory or session.settings.inventory
    if sources or opener is None:
        inventory = configured_inventory(
            sources,
            session.settings.ansible,
            engine=template_engine(session, directory=Path.cwd()),
            extra_vars=session.extra_vars,
            warn=session.warn,
            fact_cache=variable_options(session.settings, session.warn).fact_cache,
        )
    else:
        inventory = Inventory.from_fleet(await opener.fleet(), warn=session.reports.warn)
    inventory.watch = session.watch
    return inventory


async def read_inventory(session: Session, opener: ControllerOpener | None) -> Inventory:
    """Read the inventory of a run. Raises PybibleError, also when --limit leaves nobody."""
    config = session.settings.ansible
    inventory = await read_sources(session, opener)
    everybody = inventory.match("all", ignore_limit=True)
    if not everybody and config.flag("LOCALHOST_WARNING"):
        session.reports.warn(ONLY_LOCALHOST)
    if session.asked.limit is not None:
        inventory.set_limit(session.asked.limit)
        if everybody and not inventory.match("all"):
            raise PybibleError("Specified inventory, host pattern and/or --limit leaves us with no hosts to target.")
    return inventory


def template_engine(session: Session, *, directory: Path) -> TemplateEngine:
    """Return what renders templates."""
    config = session.settings.ansible
    engine = TemplateEngine(
        vault=session.vault,
        warn=session.warn,
        playbook_directory=directory,
        allow_broken_conditionals=config.flag("ALLOW_BROKEN_CONDITIONALS"),
        extensions=config.words("DEFAULT_JINJA2_EXTENSIONS"),
        managed=config.text("DEFAULT_MANAGED_STR"),
        places=places_of(session),
        watch=session.watch,
        lookup_seconds=session.settings.lookup_limit,
    )
    engine.add_plugin_paths(
        filters=config.paths("DEFAULT_FILTER_PLUGIN_PATH"),
        tests=config.paths("DEFAULT_TEST_PLUGIN_PATH"),
        lookups=config.paths("DEFAULT_LOOKUP_PLUGIN_PATH"),
    )
    engine.settings = {**config.values, "CONFIG_FILE": None if config.path is None else str(config.path)}
    return engine


def build_engine(session: Session, inventory: Inventory, *, directory: Path, options: RunOptions) -> Engine:
    """Put the engine together."""
    asked, warn = session.asked, session.warn
    templates = template_engine(session, directory=directory)
    variables = VariableManager(
        inventory=inventory,
        engine=templates,
        extra_vars=session.extra_vars,
        playbook_directory=directory,
        magic=RunMagic(
            forks=session.forks,
            limit=asked.limit,
            run_tags=options.tags or ("all",),
            skip_tags=options.skip_tags,
            check=asked.check,
            diff=asked.diff,
            verbosity=asked.verbose,
            config_file=str(session.settings.ansible_config or ""),
        ),
        options=variable_options(session.settings, warn),
    )

    def static_render(value: object, variables: Mapping[str, object]) -> object:
        rendered = Templar(templates, variables).render(value)
        return None if rendered is OMIT else rendered

    places = places_of(session)
    finder = Finder(places)
    loader = Loader(
        roles_path=session.settings.roles_path,
        vault=session.vault,
        warn=warn,
        static_render=static_render,
        extra_vars=session.extra_vars,
        finder=finder,
        private_roles=session.settings.ansible.flag("DEFAULT_PRIVATE_ROLE_VARS"),
        ignore_unknown=not session.settings.ansible.flag("INVALID_TASK_ATTRIBUTE_FAILED"),
    )
    return Engine(
        places=places,
        packages_folder=session.settings.state_folder / "packages",
        inventory=inventory,
        variables=variables,
        templates=templates,
        loader=loader,
        options=options,
        report=session.reports.event,
        ask=ask if sys.stdin.isatty() else None,
        ask_line=ask_line,
        answer=read_line if sys.stdin.isatty() and sys.stdout.isatty() else None,
    )


def places_of(session: Session) -> Places:
    """Return where modules that are not native lie."""
    return places_for(session.settings, session.asked.module_path)


def places_for(settings: Settings, module_path: Sequence[str]) -> Places:
    """Return where modules that are not native lie; `module_path` is what --module-path was given."""
    config = settings.ansible
    given = [expanded(folder) for entry in module_path for folder in entry.split(":") if folder]
    return Places(
        library=(*(folder.absolute() for folder in given), *config.paths("DEFAULT_MODULE_PATH")),
        module_utils=config.paths("DEFAULT_MODULE_UTILS_PATH"),
        actions=config.paths("DEFAULT_ACTION_PLUGIN_PATH"),
        collections=config.paths("COLLECTIONS_PATHS"),
        ansible=settings.ansible_core,
        beside_core=config.flag("COLLECTIONS_SCAN_SYS_PATH"),
    )


def run_options(session: Session, **more: object) -> RunOptions:
    """Return the executor's options, those that only `run` has among `more`."""
    asked, config = session.asked, session.settings.ansible
    options = RunOptions(
        forks=session.forks,
        check=asked.check,
        diff=asked.diff,
        verbosity=asked.verbose,
        connection=asked.connection or None,
        become=asked.become,
        become_user=asked.become_user or "root",
        become_method=asked.become_method,
        become_flags=config.text("DEFAULT_BECOME_FLAGS"),
        become_exe=config.text("DEFAULT_BECOME_EXE"),
        no_log=config.flag("DEFAULT_NO_LOG"),
        any_errors_fatal=config.flag("ANY_ERRORS_FATAL"),
        force_handlers=config.flag("DEFAULT_FORCE_HANDLERS"),
        gathering=config.text("DEFAULT_GATHERING"),
        strategy=config.text("DEFAULT_STRATEGY"),
        task_timeout=config.number("TASK_TIMEOUT"),
        poll_interval=config.number("DEFAULT_POLL_INTERVAL"),
        error_on_missing_handler=config.flag("ERROR_ON_MISSING_HANDLER"),
        output_limit=_LIVE_OUTPUT_BYTES,
        facts_within=session.settings.facts_within,
    )
    return replace(options, **more)  # type: ignore[arg-type]


async def execute(
    session: Session, playbooks: tuple[Playbook, ...], *, engine: Engine, opener: ControllerOpener, because: str = ""
) -> int:
    """Run, and return the exit status. Raises PybibleError, and RunCancelled after ^C."""
    asked = session.asked
    request = RunRequest(
        name=" ".join(playbook.path.name for playbook in playbooks),
        forks=session.forks,
        agents=agents_of(engine.inventory, asked),
        check=asked.check,
        disconnect_grace=asked.disconnect_grace,
        lost_is_unreachable=asked.lost_is_unreachable,
        verbosity=asked.verbose,
        live_output=session.reports.live,
        because=because,
    )
    ended = iter(playbooks)

    def recap(total: Recap) -> None:
        path = write_retry_file(next(ended).path, total, session.settings)
        if path is not None:
            session.reports.line(f"\tto retry, use: --limit @{path}")
        session.reports.recap(total)

    with interruptible(opener) as interrupted:
        try:
            outcome: RunOutcome = await run_playbooks(
                playbooks, engine=engine, opener=opener, request=request, on_recap=recap
            )
        except asyncio.CancelledError:
            if not interrupted:
                raise
            # The run is over, what was out is cancelled: from here on this is an ordinary end.
            current = asyncio.current_task()
            if current is not None:
                current.uncancel()
            raise RunCancelled(_interruption(interrupted[0])) from None
        finally:
            session.reports.close()
    if outcome.error:
        session.reports.event(Message(level=MessageLevel.ERROR, text=outcome.error))
    return outcome.exit_status


def agents_of(inventory: Inventory, asked: Asked) -> tuple[str, ...]:
    """Return the agents that the hosts of the inventory mean, as far as that can be told without a play."""
    if asked.connection == "local":
        return ()
    found: dict[str, None] = {}
    for name in inventory.match("all"):
        values = {key: value for layer in inventory.host_layers(name) for key, value in layer.values.items()}
        if place_of(values.get("ansible_connection", "ssh")) is not Place.HERE and name not in LOCALHOST:
            found[str(values.get("pybible_agent", name))] = None
    return tuple(found)


@contextlib.contextmanager
def interruptible(opener: ControllerOpener) -> Iterator[list[tuple[str, ...]]]:
    """Cancel the current task at ^C or SIGTERM. Gives a list, in it the hosts on which something was out."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    interrupted: list[tuple[str, ...]] = []

    def interrupt() -> None:
        interrupted.append(opener.current.out if opener.current is not None else ())
        if task is not None:
            task.cancel()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, interrupt)
    try:
        yield interrupted
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _interruption(hosts: tuple[str, ...]) -> str:
    if not hosts:
        return "User interrupted execution: the run is cancelled, nothing was out"
    named = ", ".join(hosts[:10]) + (f" and {len(hosts) - 10} more" if len(hosts) > 10 else "")
    return f"User interrupted execution: the run is cancelled, tasks were out on {named}"


def playbook_files(given: Sequence[Path], places: Places) -> tuple[Path, ...]:
    """Return the files of the playbooks: paths, or full names of a collection's. Raises PybibleError."""
    files = []
    for path in given:
        found = path if path.exists() else Finder(places).find_playbook(str(path))
        if found is None:
            raise PybibleError(f"the playbook: {path} could not be found")
        if not found.is_file():
            raise PybibleError(f"the playbook: {path} does not appear to be a file")
        files.append(found)
    return tuple(files)
