"""run: playbooks from their first play to the recap."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pybible.server.engine.bridge.places import Places
from pybible.server.engine.dispatcher import Dispatcher, RunOpener, RunRequest
from pybible.server.engine.executor.content import Contents
from pybible.server.engine.executor.context import Answer, Ask, Report, Run
from pybible.server.engine.executor.lockstep import RunCancelled
from pybible.server.engine.executor.options import RunOptions
from pybible.server.engine.executor.packages import Packages
from pybible.server.engine.executor.play import PlayEnd, run_play
from pybible.server.engine.executor.replay import Replay
from pybible.server.engine.executor.stepping import AskLine, Stepping
from pybible.server.engine.inventory.inventory import Inventory
from pybible.server.engine.model.play import Playbook
from pybible.server.engine.parsing.loader import Loader
from pybible.server.engine.templating.engine import TemplateEngine
from pybible.server.engine.variables.scope import VariableManager
from pybible.server.results.events import PlaybookStarted
from pybible.server.results.recap import Recap
from pybible.wire.errors import ExitStatus, PybibleError


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How a run ended. `recap` holds the counts of all playbooks so far; `error` says why it was cut short."""

    exit_status: int
    recap: Recap
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What the executor works with. One for a run of ctl's.

    `ask` puts a vars_prompt to the operator; None: nobody can be asked, the defaults hold.
    """

    inventory: Inventory
    variables: VariableManager
    templates: TemplateEngine
    loader: Loader
    options: RunOptions
    report: Report
    ask: Ask | None = None
    # Waits for what the operator answers to `pause`; None: there is no terminal.
    answer: Answer | None = None
    # Puts a question and waits for a line: --step and the debugger.
    ask_line: AskLine | None = None
    # Where packed modules are written, and where what they need lies.
    places: Places = field(default_factory=Places)
    packages_folder: Path | None = None
    # What the run that is resumed did; None: nothing is resumed.
    replay: Replay | None = None


async def run_playbooks(
    playbooks: Sequence[Playbook],
    *,
    engine: Engine,
    opener: RunOpener,
    request: RunRequest,
    on_recap: Callable[[Recap], None] = lambda recap: None,
) -> RunOutcome:
    """Run playbooks one after the other, each as a run of its own; the first that does not end well is the last.

    `on_recap` gets the counts after each playbook (those of the earlier ones included). Raises PybibleError for what
    the operator has to put right; anything else that is raised is a bug. In both cases the run is finished first.
    """
    total = Recap()
    known: tuple[set[str], set[str]] = (set(), set())
    outcome = RunOutcome(exit_status=ExitStatus.OK, recap=total)
    for playbook in playbooks:
        engine.variables.enter_playbook(playbook.path.parent)
        name = f"{playbook.path.name} ({request.because})" if request.because else playbook.path.name
        named = replace(request, name=name)
        async with opener.open(named) as dispatcher:
            outcome = await _run_one(playbook, engine, dispatcher, total, known)
        on_recap(total)
        if outcome.exit_status != ExitStatus.OK:
            break
    return outcome


async def _run_one(
    playbook: Playbook, engine: Engine, dispatcher: Dispatcher, total: Recap, known: tuple[set[str], set[str]]
) -> RunOutcome:
    with Contents(dispatcher) as contents, contextlib.ExitStack() as stack:
        folder = engine.packages_folder
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pybible-")))
        run = Run(
            inventory=engine.inventory,
            variables=engine.variables,
            engine=engine.templates,
            loader=engine.loader,
            dispatcher=dispatcher,
            contents=contents,
            packages=Packages(engine.places, folder),
            options=engine.options,
            report=engine.report,
            ask=engine.ask,
            answer=engine.answer,
            stepping=Stepping(engine.ask_line, engine.report) if engine.options.step and engine.ask_line else None,
            ask_line=engine.ask_line,
            failed=known[0],
            unreachable=known[1],
            start_at=engine.options.start_at_task,
            replay=engine.replay,
        )
        error = ""
        try:
            await _run_plays(playbook, run)
            status: int = exit_status(run)
        except asyncio.CancelledError:
            raise
        except BaseException as raised:
            cause = first_cause(raised)
            if not isinstance(cause, RunCancelled):
                await _give_up(dispatcher, cause)
                raise cause from cause.__cause__
            status, error = ExitStatus.RUN_INTERRUPTED, str(cause)
        total.merge(await dispatcher.finish(exit_status=status, error=error))
    return RunOutcome(exit_status=status, recap=total, error=error)


async def _run_plays(playbook: Playbook, run: Run) -> None:
    run.emit(PlaybookStarted(path=str(playbook.path), plays=len(playbook.plays)))
    for play in playbook.plays:
        if await run_play(run, play) is PlayEnd.BREAK:
            return


async def _give_up(dispatcher: Dispatcher, cause: BaseException) -> None:
    """End the run at the controller: it must not look as if it were still going on."""
    status, error = ExitStatus.BUG, f"bug: {type(cause).__name__}: {cause}"
    if isinstance(cause, PybibleError):
        status, error = cause.exit_status, cause.message
    # What went wrong first is what the operator is to hear of.
    with contextlib.suppress(PybibleError):
        await dispatcher.finish(exit_status=status, error=error)


def exit_status(run: Run) -> ExitStatus:
    """Return what the hosts that are out mean."""
    if run.unreachable:
        return ExitStatus.HOSTS_UNREACHABLE
    return ExitStatus.HOSTS_FAILED if run.failed - run.saved else ExitStatus.OK


def first_cause(error: BaseException) -> BaseException:
    """Return what went wrong first inside a task group."""
    return next(_leaves(error), error)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
