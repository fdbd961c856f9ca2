"""workers: what a worker that is not ours any more tells its agent: a result comes of it, and the agent goes on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hypothesis import strategies as st

from pybible.agent.become import WorkerIdentity
from pybible.agent.workers import Finished, WorkerPool
from pybible.v1 import agent_pb2
from pybible.wire.frames import encode
from pybible.wire.tasks import Attachment, TaskSpec
from pybible.wire.values import JsonObject
from tests.fuzz.hunt import Finding, Target, Trial
from tests.fuzz.material import ODD_BYTES, ODD_TEXT, mutated
from tests.fuzz.service import served

_SECONDS = 20.0
# Takes a task, says what is in the file, and is gone.
_FOREIGN = "import os, sys; os.read(0, 65536); os.write(1, open(sys.argv[1], 'rb').read())"


class Contents:
    """Has no content, and takes what is given."""

    async def locate(self, attachment: Attachment) -> Attachment:
        """Return it as it is."""
        return attachment

    def release(self, attachment: Attachment) -> None:
        """Forget it."""

    async def take(self, attachment: Attachment, parts: AsyncIterator[bytes]) -> None:
        """Read it to its end."""
        async for _ in parts:
            pass


class Results:
    """Keeps the results of attempts."""

    def __init__(self) -> None:
        self.news: asyncio.Queue[tuple[str, Finished]] = asyncio.Queue()

    def started(self, attempt_id: str) -> None:
        """Take no note."""

    def output(self, attempt_id: str, stream: str, offset: int, data: bytes, dropped: int) -> None:
        """See that it can be sent on."""
        if stream not in ("stdout", "stderr") or offset < 0 or dropped < 0:
            raise Finding(f"output of {stream!r} at {offset}, {dropped} left out")

    def finished(self, attempt_id: str, result: Finished) -> None:
        """Keep it."""
        self.news.put_nowait((attempt_id, result))


@dataclass(slots=True)
class Field:
    """A pool whose workers say what is in a file."""

    pool: WorkerPool
    results: Results
    said: Path
    number: int = 0

    async def run(self, said: bytes) -> None:
        """Have one task on such a worker."""
        self.said.write_bytes(said)
        self.number += 1
        self.pool.submit(f"a{self.number}", TaskSpec(module="ping", args=b"{}", output_limit=1000))
        try:
            async with asyncio.timeout(_SECONDS):
                attempt_id, result = await self.results.news.get()
                await self.pool.idle()
        except TimeoutError as error:
            raise Finding("the task does not end") from error
        if attempt_id != f"a{self.number}":
            raise Finding(f"{attempt_id} ended in place of a{self.number}")
        # It may be no JSON: that is for whoever asked for it to find out. Here it has to travel.
        agent_pb2.Result(attempt_id=attempt_id, inline=result.content, reason=result.reason).SerializeToString()


@asynccontextmanager
async def arena(folder: Path) -> AsyncIterator[Field]:
    """Start it."""
    said, results = folder / "said", Results()
    foreign = WorkerIdentity(command=(sys.executable, "-S", "-E", "-c", _FOREIGN, str(said)))
    async with WorkerPool(results, slots=1, contents=Contents(), identify=lambda become: foreign) as pool:
        yield Field(pool, results, said)


def _header(kind: str, name: str, value: object, stream: object) -> JsonObject:
    return {"type": kind, "reason": "", "stream": stream, "offset": 0, "sha256": "ab", "size": 1, name: value}


_headers = st.builds(
    _header,
    st.sampled_from(["ready", "output", "result", "given", "stop", ""]),
    st.sampled_from(["reason", "offset", "dropped", "stream", "sha256", "size", "type"]),
    st.none() | st.booleans() | st.integers() | st.floats() | ODD_TEXT | st.lists(st.integers(), max_size=2),
    st.sampled_from(["stdout", "stderr", "x"]),
)
_frames = st.builds(encode, _headers, ODD_BYTES | st.just(b'{"changed": false}') | st.just(b"[" * 3000))


@contextmanager
def _opened(folder: Path) -> Iterator[Trial]:
    with served(partial(arena, folder)) as running:
        yield Trial(check=lambda said: running.call(running.value.run(said), seconds=60.0))


FOREIGN_WORKER = Target(
    name="worker",
    about="frames of a foreign worker",
    material=lambda: st.lists(_frames | mutated(_frames) | ODD_BYTES, max_size=5).map(b"".join),
    open=_opened,
    examples=25,
)
