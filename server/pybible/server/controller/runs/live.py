"""live: what running tasks print, for those who watch a run. It is passed on and not kept."""

from __future__ import annotations

import codecs

from pybible.server.controller.sessions.attempts import Attempt
from pybible.server.results.events import Output, encode_event
from pybible.v1 import agent_pb2

_STREAMS = {agent_pb2.Output.STREAM_STDERR: "stderr"}


class LiveOutput:
    """Makes events of the output of a run's attempts."""

    def __init__(self) -> None:
        self._decoders: dict[str, dict[str, codecs.IncrementalDecoder]] = {}

    def event(self, attempt: Attempt, output: agent_pb2.Output) -> bytes:
        """Return the event for a part of the output; it may begin or end within a letter."""
        stream = _STREAMS.get(output.stream, "stdout")
        decoders = self._decoders.setdefault(attempt.name, {})
        if stream not in decoders or output.dropped:
            decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoders[stream].decode(output.data)
        return encode_event(
            Output(task_id=attempt.task_id, host=attempt.host, stream=stream, text=text, dropped=output.dropped)
        )

    def forget(self, name: str) -> None:
        """An attempt is over."""
        self._decoders.pop(name, None)
