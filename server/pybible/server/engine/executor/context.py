"""context: what a run, a play in it and a batch of hosts in that are made of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from pybible.server.engine.actions.call import FactsLevel
from pybible.server.engine.dispatcher import Dispatcher
from pybible.server.engine.executor import hygiene
from pybible.server.engine.executor.compiled import CompiledTask
from pybible.server.engine.executor.content import Contents
from pybible.server.engine.executor.options import RunOptions
from pybible.server.engine.executor.outcome import ItemOutcome
from pybible.server.engine.executor.packages import Packages
from pybible.server.engine.executor.replay import Replay
from pybible.server.engine.executor.stepping import AskLine, Stepping
from pybible.server.engine.inventory.inventory import Inventory
from pybible.server.engine.model.notices import Deprecation, located
from pybible.server.engine.model.play import Block, Play, Role, Task, VarsPrompt
from pybible.server.engine.parsing.loader import Loader
from pybible.server.engine.parsing.yaml_source import load_file
from pybible.server.engine.plan.tags import select
from pybible.server.engine.strategy.batch import Batch
from pybible.server.engine.strategy.handlers import Handlers
from pybible.server.engine.templating.engine import TemplateEngine
from pybible.server.engine.templating.templar import Templar
from pybible.server.engine.variables.magic import PlayHosts
from pybible.server.engine.variables.scope import VariableManager
from pybible.server.engine.vault import is_vaulted
from pybible.server.results.events import HostResult, ItemResult, Message, MessageLevel, RunEvent
from pybible.wire.errors import SourceError, VaultError
from pybible.wire.values import JsonObject

Report: TypeAlias = Callable[[RunEvent], None]
# Puts a vars_prompt to the operator and returns the answer, which is data.
Ask: TypeAlias = Callable[[VarsPrompt], str]
# Waits for a line that the operator types, shown or not.
Answer: TypeAlias = Callable[[bool], Awaitable[str]]


@dataclass(slots=True, kw_only=True)
class Run:
    """One run: who takes part, and what holds from play to play. `failed` and `unreachable` hosts stay out."""

    inventory: Inventory
    variables: VariableManager
    engine: TemplateEngine
    loader: Loader
    dispatcher: Dispatcher
    contents: Contents
    packages: Packages
    options: RunOptions
    report: Report
    ask: Ask | None = None
    answer: Answer | None = None
    # --step, and what the debugger puts its questions with; None: there is nobody to ask.
    stepping: Stepping | None = None
    ask_line: AskLine | None = None
    # Several hosts may want the debugger at once.
    debugger_turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    failed: set[str] = field(default_factory=set)
    unreachable: set[str] = field(default_factory=set)
    # Those of `failed` that any_errors_fatal marked in the last batch and a rescue saved: they stay out of the plays
    # to come, and unless there is one the run has not failed by them (observed with ansible-core 2.19).
    saved: set[str] = field(default_factory=set)
    stats: dict[str, JsonObject] = field(default_factory=dict)
    # The task with which the run begins, until a play has it.
    start_at: str = ""
    passed_plays: bool = False
    # What the run that is resumed did.
    replay: Replay | None = None

    def emit(self, event: RunEvent) -> None:
        """Tell the operator and the controller."""
        self.report(event)
        self.dispatcher.publish((event,))

    def show(self, event: RunEvent) -> None:
        """Tell the operator only: progress that nobody needs afterwards."""
        self.report(event)

    def warn(self, text: str) -> None:
        """Show a warning."""
        level = MessageLevel.DEPRECATION if isinstance(text, Deprecation) else MessageLevel.WARNING
        self.emit(Message(level=level, text=text))

    def notice(self, text: str) -> None:
        """Show a line."""
        self.emit(Message(level=MessageLevel.NOTICE, text=text))

    def read_file(self, path: Path) -> bytes:
        """Read a file of the operator's, decrypted when it is vaulted. Raises OSError, VaultError."""
        content = path.read_bytes()
        if not is_vaulted(content):
            return content
        if self.engine.vault is None:
            raise VaultError(f"Attempting to decrypt but no vault secrets found: {path}")
        return self.engine.vault.decrypt(content)

    def load_vars(self, path: Path) -> object:
        """Read a file of variables. Raises OSError, SourceError."""
        return load_file(path, self.engine.vault, trusted=path.resolve() not in self.variables.brought)


class PlayContext:
    """One play of a run: what its batches share."""

    def __init__(self, run: Run, play: Play, hosts: tuple[str, ...]) -> None:
        self.run = run
        self.play = play
        # Every host that the play is meant for, those that are out too.
        self.hosts = hosts
        self.handlers = Handlers()
        self._compiled: dict[str, CompiledTask] = {}
        # (task's id, module) of tasks whose module a template names.
        self._named: dict[tuple[str, str], CompiledTask] = {}

    def select(self, blocks: Sequence[Block], *, handlers: bool = False) -> tuple[Block, ...]:
        """Return what of the blocks --tags and --skip-tags leave; handlers run whatever their tags."""
        if handlers:
            return tuple(blocks)
        return select(blocks, self.run.options.tags, self.run.options.skip_tags)

    def compiled(self, task: Task) -> CompiledTask:
        """Return what is known of a task for all hosts."""
        found = self._compiled.get(task.id)
        if found is None:
            found = self._compiled[task.id] = CompiledTask(task, self.run.engine)
        return found

    def named(self, task: Task, templar: Templar) -> CompiledTask:
        """Return a task with the module that its template names for a host. Raises SourceError."""
        name = templar.render_text(task.action_written)
        found = self._named.get((task.id, name))
        if found is None:
            with_module = self.run.loader.name_module(task, name, play=self.play)
            found = self._named[task.id, name] = CompiledTask(with_module, self.run.engine)
        return found


class BatchContext:
    """The hosts that go through the play together."""

    def __init__(self, play_context: PlayContext, batch: Batch) -> None:
        self.play_context = play_context
        self.run = play_context.run
        self.play = play_context.play
        self.batch = batch
        # The uses of roles that a task has run in, and the roles that are done, each with the host.
        self._roles_begun: set[tuple[str, str]] = set()
        self._roles_done: set[tuple[object, str]] = set()
        self._play_hosts: PlayHosts | None = None
        self._known_out = (-1, -1)
        # Hosts for which the task that is running counts, beside the one that runs it (run_once).
        self.shared: tuple[str, ...] = ()
        # The task that gathers facts, when it does so only for hosts that have none (gathering: smart).
        self.gather_once = ""
        # Under the strategy `debug` what fails anywhere wants the debugger.
        self.debugging = False
        # The task whose banner was the last; what is called before a result when hosts go at their own pace.
        self.banner = ""
        self.announce: Callable[[CompiledTask, str], None] | None = None

    # -- variables ------------------------------------------------------------------------------------------------

    def templar(self, host: str, task: Task | None) -> Templar:
        """Return a Templar with the variables of a host."""
        return self.run.variables.templar(self.play, host, task, hosts=self.play_hosts())

    def delegate_templar(self, host: str, task: Task) -> Templar:
        """Return a Templar with what says how to reach the host that a task is delegated to."""
        variables: Mapping[str, object] = self.run.variables.delegated_host_vars(self.play, host, task)
        return Templar(self.run.engine, variables)

    def play_hosts(self) -> PlayHosts:
        """Return the hosts of play and batch, as the magic variables list them."""
        out = (len(self.batch.failed), len(self.batch.unreachable))
        if self._play_hosts is None or out != self._known_out:
            self._known_out = out
            lost = self.batch.failed | self.batch.unreachable
            gone = self.run.failed | self.run.unreachable | lost
            self._play_hosts = PlayHosts(
                all=self.play_context.hosts,
                live=tuple(host for host in self.play_context.hosts if host not in gone),
                batch=tuple(host for host in self.batch.hosts if host not in gone),
                current=tuple(
                    host for host in self.batch.hosts if host not in self.batch.failed | self.batch.unreachable
                ),
                failed=tuple(host for host in self.batch.hosts if host in self.batch.failed),
            )
        return self._play_hosts

    def register(self, host: str, compiled: CompiledTask, result: JsonObject) -> None:
        """Keep a result under the task's `register`, for every host that it counts for."""
        name = compiled.task.register
        if name:
            value = hygiene.registered(result)
            value.pop("invocation", None)
            for each in self.shared or (host,):
                self.run.variables.register(each, name, value)

    def keep_facts(self, host: str, item: ItemOutcome) -> None:
        """Take what a result says of facts, for every host that it counts for."""
        facts = item.result.get("ansible_facts")
        if not isinstance(facts, dict) or not facts:
            return
        variables = self.run.variables
        for each in self.shared if self.shared and item.facts_host == host else (item.facts_host or host,):
            match item.facts_level:
                case FactsLevel.SET_FACT:
                    variables.set_fact(each, facts, cacheable=item.cacheable)
                case FactsLevel.INCLUDE_VARS:
                    variables.include_vars(each, facts)
                case FactsLevel.FACTS:
                    variables.set_facts(each, facts)

    def tell(self, compiled: CompiledTask, event: HostResult | ItemResult) -> None:
        """Emit a result, under its banner."""
        if self.announce is not None and self.banner != compiled.task.id:
            self.announce(compiled, event.host)
        self.run.emit(event)

    # -- names ----------------------------------------------------------------------------------------------------

    def task_name(self, compiled: CompiledTask, templar: Templar) -> str:
        """Return a task's name as banners show it."""
        written = compiled.written_name
        name = str(written)
        if not compiled.name_is_plain:
            try:
                rendered, noted = templar.render_noting(written)
                name = str(rendered)
                if noted:
                    self._warn_of_name(written, noted)
            except SourceError:
                name = str(written)
        role = compiled.task.role
        # An include_role is shown without the role that it stands in.
        return f"{role.name} : {name}" if role is not None and compiled.task.action != "include_role" else name

    def _warn_of_name(self, written: str, noted: list[str]) -> None:
        errors = "\n".join(f"error {number} - {text}" for number, text in enumerate(noted, 1))
        text = f"Encountered {len(noted)} template error{'s' if len(noted) != 1 else ''}.\n{errors}"
        self.run.warn(located(text, getattr(written, "origin", None)))

    # -- roles that run once ----------------------------------------------------------------------------------------

    def role_is_due(self, role: Role, host: str) -> bool:
        """Whether a role's tasks are to run on a host: an equal use of it that is done there stands for this one."""
        return role.metadata.allow_duplicates or (role.key, host) not in self._roles_done

    def note_role(self, role: Role, host: str) -> None:
        """A task of the role has run on a host."""
        self._roles_begun.add((role.id, host))

    def end_role(self, role: Role, host: str) -> None:
        """The host is at the role's end. A role of which nothing ran there does not stand for later uses."""
        if role.key and (role.id, host) in self._roles_begun:
            self._roles_done.add((role.key, host))
