"""preview: the tasks that would run on a host, with what is known of their arguments before anything has run.

Nothing is asked of any host. What depends on facts, on results of earlier tasks or on anything else that is not known
yet stays as it is written, and is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import jinja2
from jinja2 import nodes

from pybible.server.engine.model.play import Block, Node, Play, Task
from pybible.server.engine.model.text import Trusted, Vaulted, is_template
from pybible.server.engine.parsing.loader import Included, Loader
from pybible.server.engine.plan.listing import task_name
from pybible.server.engine.plan.tags import select
from pybible.server.engine.templating.templar import Templar
from pybible.server.engine.variables.magic import PlayHosts
from pybible.server.engine.variables.scope import VariableManager
from pybible.wire.errors import PybibleError, SourceError

# Includes inside includes; a loop of them has no end.
MAX_DEPTH: Final = 20
# Of a long loop so many items are shown.
MAX_ITEMS: Final = 100
_INCLUDES: Final = frozenset({"include_tasks", "include_role"})
_VAULTED: Final = "(vaulted)"
# Arguments whose text is an expression by itself.
_EXPRESSIONS: Final = frozenset({("debug", "var"), ("assert", "that")})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTask:
    """A task on a host. `runs` is None when that depends on what is not known yet.

    `args` are rendered as far as they can be; `unknown` says for arguments, `when` and `loop` what they wait for.
    `item` is the loop's, `depth` how many includes lead to the task. `fails` says why it can't but fail.
    """

    name: str
    module: str
    place: str
    runs: bool | None = True
    args: Mapping[str, object] = field(default_factory=dict)
    unknown: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    when: tuple[str, ...] = ()
    item: object = None
    has_item: bool = False
    notify: tuple[str, ...] = ()
    depth: int = 0
    fails: str = ""


_GATHERING: Final = PlannedTask(name="Gathering Facts", module="gather_facts", place="")


@dataclass(slots=True, kw_only=True)
class Preview:
    """Walks plays host by host. `only` and `skip` are tags. The variables are changed by what set_fact makes known."""

    variables: VariableManager
    loader: Loader
    only: Sequence[str] = ()
    skip: Sequence[str] = ()
    # implicit, explicit or smart.
    gathering: str = "implicit"

    def play(self, play: Play, host: str, hosts: PlayHosts) -> list[PlannedTask]:
        """Return what would run on a host, in the order of the file, without handlers."""
        walk = _Walk(self, play, host, hosts)
        chosen = select(play.blocks, self.only, self.skip)
        first = [_GATHERING] if self._gathers(play, host) else []
        return [*first, *walk.tasks(chosen, depth=0)]

    def _gathers(self, play: Play, host: str) -> bool:
        written = play.gather_facts
        if written is None and self.gathering == "explicit":
            return False
        if self.gathering == "smart" and self.variables.gathered(host):
            return False
        return written is None or self.variables.play_templar(play).render(written) not in (False, "no", "false")


class _Walk:
    """One play on one host."""

    def __init__(self, preview: Preview, play: Play, host: str, hosts: PlayHosts) -> None:
        self._preview = preview
        self._play = play
        self._host = host
        self._hosts = hosts
        # Names that tasks before this one set, to what is not known yet.
        self._pending: set[str] = set()
        self._facts_known = bool(preview.variables.facts(host))
        self._parser = jinja2.Environment(autoescape=False, extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])  # noqa: S701

    def tasks(self, chosen: Iterable[Node], *, depth: int) -> Iterator[PlannedTask]:
        """Yield the tasks of blocks, and of what they include. Those of rescue run only after a failure."""
        for node in chosen:
            if isinstance(node, Block):
                yield from self.tasks((*node.block, *node.always), depth=depth)
            elif not (node.implicit and node.action == "meta"):
                yield from self._task(node, depth)

    def _task(self, task: Task, depth: int) -> Iterator[PlannedTask]:
        templar = self._preview.variables.templar(self._play, self._host, task, hosts=self._hosts)
        items, waits = self._items(task, templar)
        if items is None:
            planned = self._planned(task, templar, depth, waits={"loop": waits} if waits else {})
            yield planned
            yield from self._follow(task, planned, templar, depth)
        else:
            name = str(templar.render(task.loop_control.loop_var))
            for item in items[:MAX_ITEMS]:
                seen = templar.with_variables({name: item})
                planned = self._planned(task, seen, depth, item=item)
                yield planned
                yield from self._follow(task, planned, seen, depth)
        self._learn(task)

    def _items(self, task: Task, templar: Templar) -> tuple[list[object] | None, tuple[str, ...]]:
        """Return a loop's items, None without a loop or where they are not known, and then what they wait for."""
        if not task.has_loop:
            return None, ()
        waits = self._waits(task.loop, templar)
        if waits:
            return None, waits
        try:
            if task.loop_with:
                return templar.lookup(task.loop_with, task.loop), ()
            found = templar.render(task.loop)
        except PybibleError as error:
            return None, (_first_line(error),)
        return (found, ()) if isinstance(found, list) else (None, ("the loop is no list",))

    def _planned(
        self,
        task: Task,
        templar: Templar,
        depth: int,
        *,
        item: object = None,
        waits: Mapping[str, tuple[str, ...]] | None = None,
    ) -> PlannedTask:
        unknown = dict(waits or {})
        loops_unknown = "loop" in unknown
        if loops_unknown:
            # The item is as little known as the loop.
            loop_var = str(task.loop_control.loop_var)
            self._pending.add(loop_var)
        runs = self._runs(task, templar, unknown)
        args: dict[str, object] = {}
        if runs is not False:
            for name, value in self._written(task).items():
                args[name], needs = self._known(value, templar, (task.action, name) in _EXPRESSIONS)
                if needs:
                    unknown[name] = needs
        shown_name = self._known(Trusted(task_name(task), task.origin), templar, False)[0]
        if loops_unknown:
            self._pending.discard(loop_var)
        return PlannedTask(
            name=str(shown_name),
            module=task.action_written,
            place=str(task.origin),
            runs=runs,
            args=args,
            unknown=unknown,
            when=tuple(str(each) for each in task.keywords.when),
            item=item,
            has_item=task.has_loop and not loops_unknown,
            notify=tuple(str(each) for each in task.keywords.notify),
            depth=depth,
            fails="" if task.bridged is None else task.bridged.lacking,
        )

    def _written(self, task: Task) -> dict[str, object]:
        args: dict[str, object] = {str(name): value for name, value in task.args.items()}
        if task.args_template is not None:
            args["(args)"] = task.args_template
        return args

    def _runs(self, task: Task, templar: Templar, unknown: dict[str, tuple[str, ...]]) -> bool | None:
        """Return whether the conditions hold; the first that is known not to decides."""
        open_ended: list[str] = []
        for condition in task.keywords.when:
            waits = self._waits(condition, templar, expression=True)
            if waits:
                open_ended += waits
                continue
            try:
                if not templar.condition((condition,))[0]:
                    return False
            except PybibleError as error:
                open_ended.append(_first_line(error))
        if open_ended:
            unknown["when"] = tuple(dict.fromkeys(open_ended))
            return None
        return True

    def _known(self, value: object, templar: Templar, expression: bool) -> tuple[object, tuple[str, ...]]:
        """Return a value as far as it can be rendered, and what the rest waits for."""
        if isinstance(value, Vaulted):
            return _VAULTED, ()
        if isinstance(value, dict):
            parts = {str(key): self._known(item, templar, expression) for key, item in value.items()}
            return {key: part[0] for key, part in parts.items()}, _joined(part[1] for part in parts.values())
        if isinstance(value, list | tuple):
            listed = [self._known(item, templar, expression) for item in value]
            return [part[0] for part in listed], _joined(part[1] for part in listed)
        if expression:
            return value, self._waits(value, templar, expression=True)
        if not is_template(value):
            return value, ()
        waits = self._waits(value, templar)
        if not waits:
            try:
                return templar.render(value), ()
            except PybibleError as error:
                waits = (_first_line(error),)
        return self._pieces(value, templar), waits  # type: ignore[arg-type]

    def _pieces(self, text: Trusted, templar: Templar) -> str:
        """Render what can be rendered of a text; the rest stays as it is written."""
        pieces = templar.engine.pieces(text)
        if len(pieces) < 2:
            return str(text)
        return "".join(str(self._known(Trusted(piece, text.origin), templar, False)[0]) for piece in pieces)

    def _waits(self, value: object, templar: Templar, *, expression: bool = False) -> tuple[str, ...]:
        """Return the names that a value depends on and that are not known yet."""
        found: dict[str, None] = {}
        self._collect(value, templar.variables, found, set(), expression=expression)
        return tuple(found)

    def _collect(
        self,
        value: object,
        variables: Mapping[str, object],
        found: dict[str, None],
        seen: set[str],
        *,
        expression: bool = False,
    ) -> None:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list | tuple):
            for item in value:
                self._collect(item, variables, found, seen, expression=expression)
            return
        if not isinstance(value, Trusted) or not (expression or is_template(value)):
            return
        for name in self._names(f"{{{{ {value} }}}}" if expression and not is_template(value) else value):
            if self._is_pending(name, variables):
                found[name] = None
            elif name not in seen and name in variables and name not in ("hostvars", "vars", "groups"):
                seen.add(name)
                self._collect(variables[name], variables, found, seen)

    def _names(self, text: str) -> Iterable[str]:
        try:
            found = list(self._parser.parse(text).find_all(nodes.Name))
        except (jinja2.TemplateSyntaxError, RecursionError):
            # What is wrong with it, rendering will say.
            return ()
        own = {name.name for name in found if name.ctx != "load"}
        return sorted({name.name for name in found} - own)

    def _is_pending(self, name: str, variables: Mapping[str, object]) -> bool:
        if name in self._pending:
            return True
        if self._facts_known:
            return False
        return name == "ansible_facts" or (name.startswith("ansible_") and name not in variables)

    def _learn(self, task: Task) -> None:
        if task.register:
            self._pending.add(task.register)

    def _follow(self, task: Task, planned: PlannedTask, templar: Templar, depth: int) -> Iterator[PlannedTask]:
        """Go where a task leads: into what it includes, to what it sets."""
        if planned.runs is False:
            return
        if task.action == "set_fact":
            self._set(planned)
        elif task.action in _INCLUDES and not planned.unknown.keys() - {"when"} and depth < MAX_DEPTH:
            included = self._included(task, planned)
            if included is not None:
                chosen = select(included.blocks, self._preview.only, self._preview.skip)
                yield from self.tasks(chosen, depth=depth + 1)

    def _set(self, planned: PlannedTask) -> None:
        for name, value in planned.args.items():
            if name == "cacheable":
                continue
            if planned.runs and name not in planned.unknown and "loop" not in planned.unknown:
                self._pending.discard(name)
                self._preview.variables.set_fact(self._host, {name: value})
            else:
                self._pending.add(name)

    def _included(self, task: Task, planned: PlannedTask) -> Included | None:
        loader = self._preview.loader
        try:
            if task.action == "include_role":
                return loader.include_role(planned.args, include=task, play=self._play)
            file = planned.args.get("file", planned.args.get("_raw_params", ""))
            return loader.include_tasks(str(file), include=task, play=self._play)
        except SourceError:
            # It would be the task's failure, if the task runs at all.
            return None


def _joined(parts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for part in parts for name in part))


def _first_line(error: PybibleError) -> str:
    return error.message.partition("\n")[0]
