"""waiting: an attempt of a run without its terminal result, as its ctl has it."""

from __future__ import annotations

import asyncio
import codecs
from dataclasses import dataclass, field

from pybible.server.client.outbox import QueuedAttempt
from pybible.server.engine.dispatcher import Outcome, OutputSink, Target


@dataclass(slots=True, kw_only=True, eq=False)
class Waiting:
    """An attempt without its terminal result."""

    queued: QueuedAttempt
    future: asyncio.Future[Outcome]
    output: OutputSink | None = None
    decoders: dict[str, codecs.IncrementalDecoder] = field(default_factory=dict)
    # Set while it runs on the control node.
    here: asyncio.Task[None] | None = None

    @property
    def attempt_id(self) -> str:
        """Its name in the run."""
        return self.queued.attempt_id

    @property
    def target(self) -> Target:
        """Where it runs."""
        return self.queued.target

    def print(self, stream: str, data: bytes, dropped: int) -> None:
        """Hand a part of the output on as text; a letter may be cut anywhere."""
        if self.output is None:
            return
        decoder = self.decoders.get(stream)
        if decoder is None or dropped:
            decoder = self.decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
        self.output(stream, decoder.decode(data), dropped)
