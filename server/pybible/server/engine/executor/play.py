"""play: one play: its hosts, its batches, its facts, and what is left of the hosts afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import Enum, auto

from pybible.server.engine.actions.arguments import to_bool
from pybible.server.engine.executor.atwill import FreeRun
from pybible.server.engine.executor.context import BatchContext, PlayContext, Run
from pybible.server.engine.executor.handlers import name_handlers
from pybible.server.engine.executor.lockstep import run_linear
from pybible.server.engine.executor.targets import flag, number, rendered
from pybible.server.engine.model.play import Block, Node, Play, Task, new_id
from pybible.server.engine.model.text import Trusted, origin_of
from pybible.server.engine.plan.batches import batches
from pybible.server.engine.plan.start_at import first_match
from pybible.server.engine.strategy.free import Free
from pybible.server.engine.strategy.linear import Linear
from pybible.server.engine.templating.filters.passwords import password_hash
from pybible.server.engine.templating.templar import Templar
from pybible.server.engine.templating.undefined import OMIT
from pybible.server.results.events import Message, MessageLevel, NoHostsMatched, PlayStarted
from pybible.wire.errors import ExitStatus, SourceError, TemplateError

STRATEGIES = ("debug", "free", "host_pinned", "linear")
_FOREIGN_STRATEGY = (
    "Use of strategy plugins not included in ansible.builtin are deprecated and do not carry any backwards "
    "compatibility guarantees. No alternative for third party strategy plugins is currently planned. "
    "This feature will be removed from ansible-core in a future release."
)


class PlayEnd(Enum):
    """How a play ended."""

    GO_ON = auto()
    # Nobody is left who could run anything: no later play begins.
    BREAK = auto()


async def run_play(run: Run, play: Play) -> PlayEnd:
    """Run a play to its end. Raises PybibleError for what is wrong with the play itself."""
    templar = run.variables.play_templar(play)
    name = play_name(play, templar)
    check_play(play, templar)
    hosts = match_hosts(run, play, templar)
    context = PlayContext(run, play, tuple(hosts))
    if not hosts:
        run.emit(PlayStarted(play_id=play.id, name=name, check=run.options.check))
        run.emit(NoHostsMatched())
        return PlayEnd.GO_ON
    prompt(run, play)
    context.handlers.add(name_handlers(play.handlers, templar))
    blocks, gather = _blocks(context, templar)
    for batch_hosts in batches(hosts, _serial(play, templar)):
        run.emit(PlayStarted(play_id=play.id, name=name, check=run.options.check))
        before = len(run.failed) + len(run.unreachable)
        batch = await _run_batch(context, blocks, batch_hosts, gather, templar)
        if batch is None:
            return PlayEnd.BREAK
        after = len(run.failed) + len(run.unreachable)
        if after - before == len(batch_hosts):
            return PlayEnd.BREAK
        if batch.batch.play_ended:
            break
    return PlayEnd.GO_ON


def _serial(play: Play, templar: Templar) -> list[object]:
    values: list[object] = []
    for entry in play.serial:
        rendered = templar.render(entry)
        values += rendered if isinstance(rendered, list) else [rendered]
    return values


def match_hosts(run: Run, play: Play, templar: Templar) -> list[str]:
    """Return the hosts of a play, in its order. Raises PybibleError."""
    order = templar.render_text(play.order) or None
    return run.inventory.match(play_patterns(play, templar), order=order)


def play_name(play: Play, templar: Templar) -> str:
    """Return a play's name as its banner shows it; without one that is `hosts`: a list of them as it is written."""
    if not play.name and isinstance(play.hosts, list):
        return ",".join(map(str, play.hosts))
    with _of_the_play():
        name = rendered(play.name or play.hosts, templar, "name")
    return "" if name is None or name is OMIT else str(name)


def play_patterns(play: Play, templar: Templar) -> object:
    """Return what a play's `hosts` renders to: a pattern or a list of them. Raises TemplateError."""
    with _of_the_play():
        patterns = rendered(play.hosts, templar, "hosts")
        if patterns == "":
            text = "Error processing keyword 'hosts': Keyword 'hosts' is required, and cannot have empty values."
            raise TemplateError(text, origin=origin_of(play.hosts))
        for index, pattern in enumerate(patterns if isinstance(patterns, list) else ()):
            if not isinstance(pattern, str):
                written = play.hosts[index] if isinstance(play.hosts, list) else play.hosts
                text = f"Keyword 'hosts' items must be of type 'str', not '{type(pattern).__name__}'."
                error = TemplateError("Error processing keyword 'hosts'", origin=origin_of(play.hosts))
                raise error from TemplateError(text, origin=origin_of(written))
    return patterns


@contextlib.contextmanager
def _of_the_play() -> Iterator[None]:
    """Give what is wrong with a play's own keyword the status of a file that can't be read."""
    try:
        yield
    except TemplateError as error:
        error.exit_status = ExitStatus.PARSER_ERROR
        raise


def check_play(play: Play, templar: Templar) -> None:
    """Raise TemplateError for a keyword of the play that can't be rendered, or is not of its kind."""
    play_patterns(play, templar)
    with _of_the_play():
        flag(play.gather_facts, templar, "gather_facts")
        rendered(play.gather_subset, templar, "gather_subset")
        number(play.gather_timeout, templar, "gather_timeout")
        flag(play.force_handlers, templar, "force_handlers")
        number(play.max_fail_percentage, templar, "max_fail_percentage")
        for name, value in (("serial", play.serial), ("strategy", play.strategy), ("order", play.order)):
            rendered(value, templar, name)


def prompt(run: Run, play: Play) -> None:
    """Take the answers to vars_prompt; without a terminal the defaults hold. Raises SourceError.

    An answer is data, a default is the playbook's own text. Both are text.
    """
    answers: dict[str, object] = {}
    for entry in play.vars_prompt:
        if entry.name in run.variables.extra_vars:
            continue
        if run.ask is None:
            run.warn("Not prompting as we are not in interactive mode")
        answer: object = None if run.ask is None else run.ask(entry)
        if not answer and entry.default is not None:
            answer = entry.default
        text = answer if isinstance(answer, str) else str(answer)
        if entry.encrypt:
            try:
                text = password_hash(
                    str.__str__(text), entry.encrypt, salt=entry.salt or None, salt_size=entry.salt_size
                )
            except (TypeError, ValueError) as error:
                raise SourceError(
                    f"the answer for '{entry.name}' can't be hashed: {error}", origin=entry.origin
                ) from error
        answers[entry.name] = text
    if answers:
        run.variables.set_prompted(play, answers)


async def _run_batch(
    context: PlayContext, nodes: Sequence[Node], hosts: Sequence[str], gather: Task | None, templar: Templar
) -> BatchContext | None:
    """Run a batch; None when max_fail_percentage ended it, and the run with it."""
    run, play = context.run, context.play
    alive = [host for host in hosts if host not in run.failed and host not in run.unreachable]
    run.saved = set()
    name = _strategy(context, templar)
    strategy: Linear | Free
    if name in ("free", "host_pinned"):
        strategy = Free(nodes, alive, handlers=context.handlers)
    else:
        limit = None
        if play.max_fail_percentage is not None:
            limit = number(play.max_fail_percentage, templar, "max_fail_percentage")
        strategy = Linear(
            nodes,
            alive,
            handlers=context.handlers,
            max_fail_percentage=limit,
            batch_size=len(hosts),
        )
    batch = BatchContext(context, strategy.batch)
    batch.debugging = name == "debug"
    if gather is not None and run.options.gathering == "smart":
        batch.gather_once = gather.id
    try:
        whole = True
        if isinstance(strategy, Free):
            await FreeRun(batch, strategy, at_a_time=run.options.forks if name == "host_pinned" else 0).run()
        else:
            whole = await run_linear(batch, strategy)
    finally:
        strategy.batch.close()
        run.failed |= strategy.batch.failed
        run.saved = {host for host in strategy.batch.failed if not strategy.batch.cursors[host].failed}
        run.unreachable |= strategy.batch.unreachable
    return batch if whole else None


def _strategy(context: PlayContext, templar: Templar) -> str:
    written = context.play.strategy
    name = templar.render_text(written) if written is not None else context.run.options.strategy
    name = name.rpartition(".")[2]
    if name not in STRATEGIES:
        context.run.emit(Message(level=MessageLevel.DEPRECATION, text=_FOREIGN_STRATEGY))
        raise SourceError(f"Invalid play strategy specified: {name}", origin=context.play.origin)
    return name


def _blocks(context: PlayContext, templar: Templar) -> tuple[tuple[Block, ...], Task | None]:
    """Return what the hosts are to go through, and the task among it that gathers facts."""
    run, play = context.run, context.play
    blocks: Sequence[Block] = play.blocks
    if run.start_at:
        first = first_match(blocks, run.start_at)
        if first is None:
            run.passed_plays = True
            return (), None
        run.start_at = ""
        blocks = _from(blocks, first)
    if run.options.force_handlers or flag(play.force_handlers, templar, "force_handlers"):
        blocks = list(_with_forced_flushes(blocks))
    # Beyond the first play --start-at-task gathers facts whatever the play says (observed with ansible-core 2.19).
    gather = gather_task(run, play, templar, always=run.passed_plays)
    run.passed_plays = False
    if gather is None:
        return context.select(blocks), None
    first_block = Block(id=new_id("b"), origin=play.origin, block=(gather,), implicit=True)
    chosen = context.select((first_block, *blocks))
    return chosen, gather if first_block in chosen else None


def _from(blocks: Sequence[Block], first: Task) -> list[Block]:
    """Return the blocks from a task on; of those around it, their rescue and always too."""
    for index, block in enumerate(blocks):
        tail = _tail(block, first)
        if tail is not None:
            return [tail, *blocks[index + 1 :]]
    return list(blocks)


def _tail(block: Block, first: Task) -> Block | None:
    for index, node in enumerate(block.block):
        if node is first:
            return replace(block, block=block.block[index:])
        if isinstance(node, Block):
            inner = _tail(node, first)
            if inner is not None:
                return replace(block, block=(inner, *block.block[index + 1 :]))
    return None


def gather_task(run: Run, play: Play, templar: Templar, *, always: bool = False) -> Task | None:
    """Return the task that gathers facts at the play's beginning, None when none is to."""
    written = play.gather_facts
    wanted = written is None or bool(to_bool(templar.render(written)))
    if run.options.gathering == "explicit":
        wanted = wanted and written is not None
    if not (wanted or always):
        return None
    args = {
        name: value
        for name, value in (
            ("gather_subset", play.gather_subset),
            ("gather_timeout", play.gather_timeout),
            ("fact_path", play.fact_path),
        )
        if value is not None
    }
    keywords = play.keywords
    return Task(
        id=new_id("t"),
        origin=play.origin,
        name=Trusted("Gathering Facts"),
        action="gather_facts",
        action_written="gather_facts",
        args=args,
        keywords=keywords if keywords.tags else keywords.child(tags=("always",)),
        search_path=(play.directory,),
        implicit=True,
    )


def _with_forced_flushes(blocks: Sequence[Block]) -> Iterator[Block]:
    """Put each section into a block whose always runs the handlers, so that failed hosts run theirs too."""
    section: list[Block] = []
    for block in blocks:
        flush = _flush_of(block)
        if flush is None:
            section.append(block)
            continue
        yield Block(id=new_id("b"), origin=block.origin, block=tuple(section), always=(flush,), implicit=True)
        section = []
    yield from section


def _flush_of(block: Block) -> Task | None:
    """Return the task of a block that is nothing but the flush at the end of a section."""
    if block.implicit and len(block.block) == 1 and not block.rescue and not block.always:
        task = block.block[0]
        if isinstance(task, Task) and task.implicit and task.action == "meta":
            return task
    return None
