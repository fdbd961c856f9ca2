"""includes: files and roles that tasks bring in while the play runs; hosts that ask for the same share it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from pybible.server.engine.executor.compiled import CompiledTask
from pybible.server.engine.executor.context import BatchContext
from pybible.server.engine.executor.handlers import name_handlers
from pybible.server.engine.executor.outcome import HostOutcome, IncludeRequest
from pybible.server.engine.model.keywords import VarsLayer
from pybible.server.engine.model.play import Node, Task
from pybible.server.engine.parsing.loader import IncludeError
from pybible.server.engine.strategy.handlers import NamedHandler
from pybible.server.engine.templating.errors import report_of
from pybible.server.results.events import HostResult, Included, Message, MessageLevel, Status
from pybible.wire.errors import SourceError
from pybible.wire.values import JsonObject, dumps


@dataclass(slots=True)
class _Group:
    request: IncludeRequest
    hosts: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class IncludeEnds:
    """What became of the includes of a step: the nodes that each host goes on with, and the hosts that failed."""

    nodes: dict[str, list[Node]]
    failed: set[str] = field(default_factory=set)


def resolve(context: BatchContext, compiled: CompiledTask, outcomes: Sequence[HostOutcome]) -> IncludeEnds:
    """Load what the outcomes ask for and tell the operator. Raises ParseError for a file that is no task file."""
    ends = IncludeEnds(nodes={outcome.host: [] for outcome in outcomes})
    for group in _groups(outcomes):
        try:
            name, nodes = _load(context, compiled, group.request)
        except IncludeError as error:
            _fail(context, compiled, group, error)
            ends.failed.update(group.hosts)
            continue
        context.run.emit(
            Included(task_id=compiled.task.id, name=name, hosts=tuple(group.hosts), item=group.request.label)
        )
        for host in group.hosts:
            ends.nodes[host] += nodes
    return ends


def _groups(outcomes: Iterable[HostOutcome]) -> list[_Group]:
    """Put hosts together that include the same with the same variables, in the order in which they ask."""
    groups: dict[bytes, _Group] = {}
    for outcome in outcomes:
        times: Counter[bytes] = Counter()
        for request in outcome.includes:
            same = dumps([request.args, request.item_vars])
            # A host that includes the same twice runs it twice.
            key = same + b"%d" % times[same]
            times[same] += 1
            groups.setdefault(key, _Group(request)).hosts.append(outcome.host)
    return list(groups.values())


def _load(context: BatchContext, compiled: CompiledTask, request: IncludeRequest) -> tuple[str, list[Node]]:
    run, play = context.run, context.play
    include = _with_item(compiled.task, request)
    if compiled.action == "include_role":
        loaded = run.loader.include_role(request.args, include=include, play=play)
        # As it is written: a role that the `collections` keyword found goes without its collection.
        name = str(request.args.get("name") or request.args.get("role") or "")
    else:
        file = str(request.args.get("_raw_params", request.args.get("file")) or "")
        loaded = run.loader.include_tasks(file, include=include, play=play)
        name = str(loaded.path)
    # A role counts among the play's after those that it imports.
    own = () if loaded.role is None else (loaded.role,)
    run.variables.note_included(play, [*(role for role in loaded.roles if role not in own), *own])
    for role in loaded.roles:
        if role.public:
            run.variables.expose_role(play, role)
    context.play_context.handlers.add(named_handlers(context, loaded.handlers))
    return name, list(context.play_context.select(loaded.blocks, handlers=include.is_handler))


def _with_item(task: Task, request: IncludeRequest) -> Task:
    """Return the include with the variables of its loop's item, which the included tasks see."""
    if not request.item_vars:
        return task
    layer = VarsLayer(level="include", values=dict(request.item_vars))
    return replace(task, keywords=task.keywords.child(vars=layer))


def named_handlers(context: BatchContext, nodes: Iterable[Node]) -> list[NamedHandler]:
    """Return handlers under their rendered names."""
    return name_handlers(nodes, context.run.variables.play_templar(context.play))


def _fail(context: BatchContext, compiled: CompiledTask, group: _Group, error: IncludeError) -> None:
    """An include that can't be loaded is the failure of its hosts; nothing can ignore it."""
    result: JsonObject = {"failed": True, "changed": False, "reason": error.message}
    if compiled.action == "include_tasks":
        result["include"] = group.request.args.get("_raw_params", group.request.args.get("file"))
    text = report_of(SourceError(error.message, origin=error.origin, hint=error.hint))
    context.run.emit(Message(level=MessageLevel.ERROR, text=text))
    for host in group.hosts:
        context.tell(
            compiled,
            HostResult(
                task_id=compiled.task.id,
                host=host,
                status=Status.FAILED,
                result=result,
                action=compiled.action,
                label=host,
                loop=compiled.task.has_loop,
            ),
        )
