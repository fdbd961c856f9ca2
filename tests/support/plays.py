"""plays: playbooks written down in a test and run through the engine, with a fake dispatcher."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

from pybible.server.engine.dispatcher import RunRequest
from pybible.server.engine.executor.context import Ask, Report
from pybible.server.engine.executor.options import RunOptions
from pybible.server.engine.executor.replay import Replay
from pybible.server.engine.executor.run import Engine, RunOutcome, run_playbooks
from pybible.server.engine.inventory.sources import load_inventory
from pybible.server.engine.parsing.loader import Loader
from pybible.server.engine.templating.engine import TemplateEngine
from pybible.server.engine.templating.templar import Templar
from pybible.server.engine.variables.scope import VariableManager, VariableOptions
from pybible.server.engine.watch import Watch
from pybible.server.results.events import HostResult, Message, MessageLevel, RunEvent, TaskStarted
from tests.support.fake_dispatcher import Answer, FakeDispatcher, FakeOpener, pong


@dataclass(slots=True)
class Played:
    """What came of a playbook."""

    outcome: RunOutcome
    dispatcher: FakeDispatcher
    events: list[RunEvent] = field(default_factory=list)

    def order(self) -> list[str]:
        """Return `HOST TASK` for every result, in order."""
        names = {event.task_id: event.name for event in self.events if isinstance(event, TaskStarted)}
        return [f"{event.host} {names[event.task_id]}" for event in self.results()]

    def results(self, host: str = "") -> list[HostResult]:
        """Return the results, those of one host when it is named."""
        return [event for event in self.events if isinstance(event, HostResult) and host in ("", event.host)]

    def counts(self) -> dict[str, str]:
        """Return each host's counts that are not zero, as in `ok=2 failed=1`."""
        shown = {}
        for host, recap in self.outcome.recap.hosts.items():
            names = ("ok", "changed", "unreachable", "failed", "skipped", "rescued", "ignored")
            shown[host] = " ".join(f"{name}={getattr(recap, name)}" for name in names if getattr(recap, name))
        return shown

    def warnings(self) -> list[str]:
        """Return the warnings."""
        return [e.text for e in self.events if isinstance(e, Message) and e.level is MessageLevel.WARNING]


async def play(
    folder: Path,
    playbook: str,
    *,
    hosts: Sequence[str] = ("h1", "h2", "h3"),
    answer: Answer = pong,
    files: Mapping[str, str] | None = None,
    options: RunOptions | None = None,
    extra_vars: Mapping[str, object] | None = None,
    cancel_after: int = 0,
    typed: Sequence[str] = (),
    answers: Mapping[str, Sequence[str]] | None = None,
    ask: Ask | None = None,
    variables: VariableOptions | None = None,
    watch: Watch | None = None,
    inventory_file: str = "hosts.ini",
    replay: Callable[[Report], Replay] | None = None,
) -> Played:
    """Run a playbook's text on these hosts, `files` beside it. An operator cancels after `cancel_after` attempts.

    `typed` are the lines that the operator types, when asked; `answers` those for each question of --step and of the
    debugger (empty: there is nobody left to answer). `inventory_file` is one of `files`, instead of one of `hosts`.
    `replay` gives what the run that is resumed did, and takes where its warnings go.
    """
    for name, text in {**(files or {}), "site.yml": playbook}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    (folder / "hosts.ini").write_text("".join(f"{host}\n" for host in hosts))
    inventory = load_inventory([str(folder / inventory_file)])
    templates = TemplateEngine(playbook_directory=folder, watch=watch)
    known = VariableManager(
        inventory=inventory,
        engine=templates,
        playbook_directory=folder,
        extra_vars=extra_vars or {},
        options=variables,
    )
    loader = Loader(static_render=lambda value, known: Templar(templates, known).render(value))
    opener = FakeOpener(answer=answer, cancel_after=cancel_after)
    events: list[RunEvent] = []
    engine = Engine(
        inventory=inventory,
        variables=known,
        templates=templates,
        loader=loader,
        options=options or RunOptions(),
        report=events.append,
        ask=ask,
        answer=operator(typed) if typed else None,
        ask_line=None if answers is None else answering(answers),
        replay=None if replay is None else replay(events.append),
    )
    outcome = await run_playbooks(
        [loader.load_playbook(folder / "site.yml")],
        engine=engine,
        opener=opener,
        request=RunRequest(name="site.yml", forks=5),
    )
    return Played(outcome=outcome, dispatcher=opener.opened[-1], events=events)


def answering(answers: Mapping[str, Sequence[str]]) -> Callable[[str], Awaitable[str]]:
    """Return an operator who answers each question in turn with its lines, and is gone after the last."""
    left = {question: iter(lines) for question, lines in answers.items()}

    async def answer(question: str) -> str:
        line = next(left[question.strip()], None)
        if line is None:
            raise EOFError
        return line

    return answer


def operator(typed: Sequence[str]) -> Callable[[bool], Awaitable[str]]:
    """Return an operator who types these lines; in capitals where they are not shown."""
    lines = iter(typed)

    async def answer(shown: bool) -> str:
        line = next(lines)
        return line if shown else line.upper()

    return answer
