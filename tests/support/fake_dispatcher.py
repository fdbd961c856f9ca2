"""fake_dispatcher: a Dispatcher without a controller: a function answers, or modules in this process do."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pybible.server.engine.dispatcher import Outcome, OutputSink, RunRequest, Target
from pybible.server.results.events import RunEvent
from pybible.server.results.recap import Recap
from pybible.wire.tasks import Attachment, TaskSpec
from pybible.wire.values import loads_object

INLINE_BYTES = 64 * 1024

Answer = Callable[[Target, TaskSpec], Outcome | Awaitable[Outcome]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One attempt, as the engine asked for it."""

    target: Target
    spec: TaskSpec
    task_id: str
    throttle: int

    @property
    def args(self) -> dict[str, object]:
        """The module's arguments."""
        return loads_object(self.spec.args)


def pong(_target: Target, _spec: TaskSpec) -> Outcome:
    """Answer everything like ping."""
    return Outcome(result={"changed": False, "ping": "pong"})


@dataclass(slots=True)
class FakeDispatcher:
    """Answers with `answer`; remembers what it was asked, what was published, and how the run was finished."""

    answer: Answer = pong
    sent: list[Sent] = field(default_factory=list)
    events: list[RunEvent] = field(default_factory=list)
    finished: tuple[int, str] | None = None
    cancelled: str = ""
    out: int = 0
    most_out: int = 0
    inline_attachment_bytes: int = INLINE_BYTES
    cancel_after: int = 0

    async def run(
        self, target: Target, spec: TaskSpec, *, task_id: str, throttle: int = 0, output: OutputSink | None = None
    ) -> Outcome:
        """Answer, after giving way once as a real one would."""
        self.sent.append(Sent(target=target, spec=spec, task_id=task_id, throttle=throttle))
        self.out += 1
        self.most_out = max(self.most_out, self.out)
        try:
            await asyncio.sleep(0)
            if len(self.sent) == self.cancel_after:
                self.cancelled = "cancelled by test"
            answer = self.answer(target, spec)
            return answer if isinstance(answer, Outcome) else await answer
        finally:
            self.out -= 1

    async def attach(self, path: Path) -> Attachment:
        """Hash a file."""
        content = await asyncio.to_thread(path.read_bytes)
        small = content if len(content) <= INLINE_BYTES else None
        return Attachment(sha256=hashlib.sha256(content).hexdigest(), size=len(content), inline=small, path=str(path))

    async def save(self, attachment: Attachment, path: Path) -> None:
        """Write what a module handed over."""
        assert isinstance(self.answer, ModulesHere)
        await asyncio.to_thread(shutil.copyfile, self.answer.folder / attachment.sha256, path)

    def publish(self, events: Iterable[RunEvent]) -> None:
        """Remember events."""
        self.events += events

    async def finish(self, *, exit_status: int, error: str = "") -> Recap:
        """Count the events, as the controller does."""
        self.finished = (exit_status, error)
        recap = Recap()
        recap.count(self.events)
        return recap


@dataclass(slots=True)
class FakeOpener:
    """Opens runs on one FakeDispatcher each, all with the same answers."""

    answer: Answer = pong
    opened: list[FakeDispatcher] = field(default_factory=list)
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    cancel_after: int = 0

    @asynccontextmanager
    async def open(self, request: RunRequest) -> AsyncIterator[FakeDispatcher]:
        """Open a run."""
        dispatcher = FakeDispatcher(answer=self.answer, cancel_after=self.cancel_after)
        self.opened.append(dispatcher)
        yield dispatcher

    async def fleet(self) -> Mapping[str, Mapping[str, str]]:
        """Return the agents that were given."""
        return self.names


@dataclass(slots=True)
class ModulesHere:
    """Runs the agents' own modules in this process, on this machine, whatever the target; `folder` holds content."""

    folder: Path

    def __call__(self, _target: Target, spec: TaskSpec) -> Outcome:
        """Run one."""
        from pybible.agent.modules import registry, runner
        from pybible.agent.modules.api import Context

        module = registry.find(spec.module)
        if module is None:
            return Outcome(result={"failed": True, "msg": f"no module {spec.module}"}, reason="unknown_module")
        for attachment in spec.attachments:
            path = self.folder / attachment.sha256
            if attachment.inline is not None:
                path.write_bytes(attachment.inline)
            elif attachment.path:
                path.write_bytes(Path(attachment.path).read_bytes())
        context = Context(
            check=spec.check,
            diff=spec.diff,
            verbosity=spec.verbosity,
            environment={**os.environ, **spec.environment},
            content=lambda sha256: self.folder / sha256,
            emit=lambda stream, data: None,
            give=lambda sha256, size, file: self._keep(sha256, file.read(size)),
            no_log=spec.no_log,
        )
        return Outcome(result=runner.run(module, loads_object(spec.args), context))

    def _keep(self, sha256: str, content: bytes) -> None:
        (self.folder / sha256).write_bytes(content)
