"""stream: one attached stream, from Hello to its end: receive, send, keep the lease. pb2 messages stop here."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError

from pybible.agent.attempts import Attempts, Decision, Refusal, Report, boot_clock
from pybible.agent.blobs import BlobCache
from pybible.agent.calls import end_for_good
from pybible.agent.failures import failure
from pybible.agent.hello import hello
from pybible.agent.journal import StoredResult
from pybible.agent.outbox import Outbox
from pybible.v1 import agent_pb2
from pybible.wire import faults
from pybible.wire.backoff import Backoff
from pybible.wire.convert import seconds_of, signature_from_pb, spec_from_pb
from pybible.wire.limits import INLINE_RESULT_BYTES
from pybible.wire.logs import attempt_fields, fields
from pybible.wire.outcomes import Reason

_ATTACH = "/pybible.v1.AgentService/Attach"
_WELCOME_SECONDS = 30.0
_MISSED_HEARTBEATS = 3
# In seconds: between heartbeats when the controller says nothing, and whatever it says; and of a pause.
_INTERVAL = 10.0
_SHORTEST_INTERVAL = 0.02
_LONGEST_PAUSE = 3600.0
# An Accepted that a Result would follow at once is a message for nothing: it waits so long for its Result.
_NEWS_DELAY = 0.1
_log = logging.getLogger(__name__)

_AgentMessage = agent_pb2.AgentMessage
_STREAMS = {"stdout": agent_pb2.Output.STREAM_STDOUT, "stderr": agent_pb2.Output.STREAM_STDERR}
_DECISIONS = {
    agent_pb2.Verdict.DECISION_ADOPT: Decision.ADOPT,
    agent_pb2.Verdict.DECISION_DROP: Decision.DROP,
    agent_pb2.Verdict.DECISION_CANCEL: Decision.CANCEL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Why a stream is over, and when (seconds) and where (HOST:PORT, empty: as before) to dial next.

    `after` None: as the backoff says. `deny`: the name of the controller's code, empty if it did not refuse.
    """

    why: str
    deny: str = ""
    after: float | None = None
    target: str = ""


class StreamEnded(Exception):
    """Leaves the blocks of a stream."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended.why)
        self.ended = ended


@dataclass(slots=True, kw_only=True)
class Session:
    """What the streams of one agent process have in common."""

    attempts: Attempts
    blobs: BlobCache
    incarnation: str
    last_epoch: int
    slots: int
    # Called with (name, epoch) when a session is READY.
    on_ready: Callable[[str, int], None]
    # Set when the controller asks for a new certificate.
    renewal: asyncio.Event = field(default_factory=asyncio.Event)
    stream: Stream | None = None
    # How many streams became READY.
    opened: int = 0
    stopping: bool = False
    clock: Callable[[], float] = field(default=time.monotonic)


class Stream:
    """One stream (Outlet). `serve` returns when it is over; it raises nothing that the other end can cause."""

    def __init__(self, session: Session) -> None:
        self.closed = asyncio.Event()
        # The connection that it came over.
        self.channel: grpc.aio.Channel | None = None
        # On the session's clock; 0: never yet.
        self.ready_at = 0.0
        self._session = session
        self._attempts = session.attempts
        self._outbox = Outbox()
        self._epoch = 0
        self._lease = 0.0
        self._sequence = 0
        self._heard = 0.0
        # Attempts whose Accepted, or Started (True), was not sent yet.
        self._news: dict[str, bool] = {}
        self._news_timer: asyncio.TimerHandle | None = None
        self._lost_output: dict[str, int] = {}
        self._uploads: asyncio.Queue[tuple[str, StoredResult]] = asyncio.Queue()

    async def serve(self, channel: grpc.aio.Channel) -> Ended:
        """Attach over `channel` and work until the stream is over."""
        self.channel = channel
        call: _Call = channel.stream_stream(_ATTACH, _write_message, _read_message)()
        ended = Ended(why="the stream ended")
        try:
            async with asyncio.timeout(_WELCOME_SECONDS):
                await call.write(hello(self._session))
                first = await call.read()
            self._begin(await _not_end(call, first))
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write(call))
                group.create_task(self._beat(call))
                group.create_task(self._upload())
                await self._read(call)
        except* TimeoutError:
            ended = Ended(why="the controller did not answer in time")
        except* asyncio.InvalidStateError:
            ended = Ended(why="the stream was closed")
        except* grpc.aio.AioRpcError as failed:
            ended = Ended(why=_text_of(_first(failed)))
        except* StreamEnded as failed:
            ended = _first(failed).ended
        finally:
            self._attempts.disconnect(self)
            if self._session.stream is self:
                self._session.stream = None
            if self._news_timer is not None:
                self._news_timer.cancel()
            end_for_good(call)
            self.closed.set()
        return ended

    @property
    def queued(self) -> int:
        """How many messages wait to be sent."""
        return len(self._outbox)

    def draining(self) -> None:
        """Tell the controller that nothing new is taken."""
        self._outbox.put(_AgentMessage(draining=agent_pb2.Draining()))

    def goodbye(self, reason: str) -> None:
        """End the stream on purpose, after all that is to be sent."""
        self._flush_news()
        self._outbox.put(_AgentMessage(goodbye=agent_pb2.Goodbye(reason=reason)))
        self._outbox.close()

    def accepted(self, attempt_id: str) -> None:
        """Say that it is in the journal (Outlet)."""
        self._note(attempt_id, False)

    def started(self, attempt_id: str) -> None:
        """Say that a worker has begun (Outlet)."""
        self._note(attempt_id, True)

    def rejected(self, attempt_id: str, refusal: Refusal, message: str) -> None:
        """Say that it will not be run (Outlet)."""
        reason = agent_pb2.Rejected.Reason.Value(f"REASON_{refusal.value}")
        rejected = agent_pb2.Rejected(attempt_id=attempt_id, reason=reason, message=message)
        self._outbox.put(_AgentMessage(rejected=rejected))

    def output(self, attempt_id: str, stream: str, offset: int, data: bytes, dropped: int) -> None:
        """Send what the task printed, or count it when the stream is full (Outlet)."""
        if attempt_id in self._news:
            self._flush_news()
        lost = self._lost_output.pop(attempt_id, 0)
        output = agent_pb2.Output(
            attempt_id=attempt_id, stream=_STREAMS[stream], offset=offset, data=data, dropped=dropped + lost
        )
        if not self._outbox.put_output(_AgentMessage(output=output)):
            self._lost_output[attempt_id] = lost + dropped + len(data)

    def result(self, attempt_id: str, result: StoredResult) -> None:
        """Send a result, or have it uploaded if it is large (Outlet)."""
        self._news.pop(attempt_id, None)
        if not self._news:
            self._flush_news()
        self._lost_output.pop(attempt_id, None)
        if result.file is not None or len(result.content) > INLINE_RESULT_BYTES:
            self._uploads.put_nowait((attempt_id, result))
            return
        message = agent_pb2.Result(attempt_id=attempt_id, inline=result.content, reason=result.reason)
        message.elapsed.FromTimedelta(timedelta(seconds=result.elapsed))
        self._outbox.put(_AgentMessage(result=message))

    def facts(self, facts: Report, *, known: bool) -> None:
        """Say what the host is, or that it is what it was (Outlet)."""
        changed = agent_pb2.FactsChanged(
            digest=facts.digest, facts=b"" if known else facts.facts, moving=facts.moving, user=facts.user
        )
        changed.age.FromTimedelta(timedelta(seconds=max(0.0, boot_clock() - facts.at)))
        self._outbox.put(_AgentMessage(facts_changed=changed))

    def _note(self, attempt_id: str, started: bool) -> None:
        self._news[attempt_id] = started
        if self._news_timer is None:
            self._news_timer = asyncio.get_running_loop().call_later(_NEWS_DELAY, self._flush_news)

    def _flush_news(self) -> None:
        if self._news_timer is not None:
            self._news_timer.cancel()
            self._news_timer = None
        news, self._news = self._news, {}
        for attempt_id, started in news.items():
            self._outbox.put(_AgentMessage(accepted=agent_pb2.Accepted(attempt_id=attempt_id)))
            if started:
                self._outbox.put(_AgentMessage(started=agent_pb2.Started(attempt_id=attempt_id)))

    def _begin(self, message: agent_pb2.ControllerMessage) -> None:
        """Take the Welcome: from here on the session is READY."""
        if message.HasField("deny"):
            raise StreamEnded(_denied(message.deny))
        if not message.HasField("welcome"):
            raise StreamEnded(Ended(why="the controller's first message is no Welcome"))
        welcome = message.welcome
        self._epoch = welcome.epoch
        interval = seconds_of(welcome.heartbeat_interval) or _INTERVAL
        self._interval = min(max(_SHORTEST_INTERVAL, interval), _LONGEST_PAUSE)
        self._lease = max(0.0, seconds_of(welcome.lease))
        self._heard = self._session.clock()
        self._attempts.renew(self._lease)
        self._attempts.draining = self._session.stopping
        if self._session.stopping:
            self.draining()
        self._session.last_epoch = welcome.epoch
        self.ready_at = self._heard
        self._session.stream = self
        self._session.opened += 1
        self._session.on_ready(welcome.name, welcome.epoch)
        self._attempts.connect(self)
        self._attempts.decide(
            {item.attempt_id: _DECISIONS[item.decision] for item in welcome.verdicts if item.decision in _DECISIONS}
        )

    async def _read(self, call: _Call) -> None:
        while True:
            await self._outbox.room()
            message = await call.read()
            if not isinstance(message, agent_pb2.ControllerMessage):
                raise StreamEnded(Ended(why=await _end_of(call, message)))
            # One look at which it is: this is the path of every task.
            self._take(message.WhichOneof("message"), message)

    def _take(self, kind: str | None, message: agent_pb2.ControllerMessage) -> None:
        match kind:
            case "dispatch":
                self._dispatch(message.dispatch)
            case "ack":
                self._attempts.acknowledge(list(message.ack.attempt_ids))
            case "heartbeat_ack":
                self._heard = self._session.clock()
                self._attempts.renew(self._lease)
            case "cancel":
                grace = max(0.0, seconds_of(message.cancel.grace))
                self._attempts.cancel(message.cancel.attempt_id, grace=grace)
            case "drain":
                _log.info("the controller asks to drain")
                self._attempts.draining = True
                self.draining()
            case "reconnect":
                after = _pause(message.reconnect.after)
                target = next(iter(message.reconnect.targets), "")
                raise StreamEnded(Ended(why="the controller asks to reconnect", after=after, target=target))
            case "renew_certificate":
                self._session.renewal.set()
            case "deny":
                raise StreamEnded(_denied(message.deny))
            case _:
                # A newer controller may say more than this agent knows.
                _log.debug("unknown message", extra=fields(kind=kind))

    def _dispatch(self, dispatch: agent_pb2.Dispatch) -> None:
        spec = spec_from_pb(dispatch.task)
        if not dispatch.attempt_id or not spec.module:
            self.rejected(dispatch.attempt_id, Refusal.INVALID, "the dispatch names no attempt or no module")
            return
        signature = signature_from_pb(dispatch.signature) if dispatch.HasField("signature") else None
        self._attempts.dispatch(
            dispatch.attempt_id,
            spec,
            stale=dispatch.epoch < self._epoch,
            signature=signature,
            task_id=dispatch.task_id,
        )

    async def _write(self, call: _Call) -> None:
        while (message := await self._outbox.take()) is not None:
            await call.write(message)
            if faults.ARMED and message.HasField("result"):
                faults.at("after_result_sent")
        await call.done_writing()

    async def _beat(self, call: _Call) -> None:
        """Send heartbeats, and end the stream when nobody answers them."""
        while True:
            pool = self._attempts.pool
            self._sequence += 1
            beat = agent_pb2.Heartbeat(
                sequence=self._sequence,
                load=os.getloadavg()[0],
                running=pool.running,
                free_slots=max(0, pool.slots - pool.running),
            )
            self._outbox.put_first(_AgentMessage(heartbeat=beat))
            await asyncio.sleep(self._interval)
            if self._session.clock() - self._heard > self._interval * _MISSED_HEARTBEATS:
                call.cancel()
                raise StreamEnded(Ended(why="the controller does not answer heartbeats"))

    async def _upload(self) -> None:
        """Put large results into the blob store, one after the other, and send where they are."""
        backoff = Backoff(first=0.5, limit=10)
        while True:
            attempt_id, result = await self._uploads.get()
            try:
                content = result.content if result.file is None else await asyncio.to_thread(result.file.read_bytes)
            except OSError as error:
                # If it was acknowledged meanwhile nothing comes of this; otherwise its host would wait for ever.
                msg = f"the task ended, and its result can't be read any more: {error.strerror}"
                lost = StoredResult(content=failure(Reason.BAD_RESULT, msg), reason=Reason.BAD_RESULT.value)
                self.result(attempt_id, lost)
                continue
            while True:
                try:
                    blob = await self._session.blobs.put(content)
                    break
                except grpc.aio.AioRpcError as error:
                    extra = attempt_fields(attempt_id, error=error.details())
                    _log.warning("a large result can't be handed over yet", extra=extra)
                    await asyncio.sleep(backoff.next())
            backoff.reset()
            attachment = agent_pb2.Attachment(sha256=blob.sha256, size=blob.size)
            message = agent_pb2.Result(attempt_id=attempt_id, blob=attachment, reason=result.reason)
            message.elapsed.FromTimedelta(timedelta(seconds=result.elapsed))
            self._outbox.put(_AgentMessage(result=message))


_ErrorT = TypeVar("_ErrorT", bound=BaseException)
_Call = grpc.aio.StreamStreamCall[agent_pb2.AgentMessage, agent_pb2.ControllerMessage | None]


async def _not_end(call: _Call, message: object) -> agent_pb2.ControllerMessage:
    if not isinstance(message, agent_pb2.ControllerMessage):
        raise StreamEnded(Ended(why=await _end_of(call, message)))
    return message


def _write_message(message: agent_pb2.AgentMessage) -> bytes:
    return message.SerializeToString()


def _read_message(data: bytes) -> agent_pb2.ControllerMessage | None:
    """Read a message, None when it is none: grpc would write a traceback, and say nothing."""
    try:
        return agent_pb2.ControllerMessage.FromString(data)
    except DecodeError:
        return None


async def _end_of(call: _Call, last: object) -> str:
    if last is None:
        # The stream itself is still there: nobody would say why it ends.
        return "the controller sent what can't be read"
    code, details = await call.code(), await call.details()
    if code == grpc.StatusCode.OK:
        return "the controller ended the stream"
    return f"{details or 'no details'} ({code.name.lower()})"


def _pause(wanted: Duration) -> float:
    """Return how long to wait because the controller says so, in seconds: no controller silences an agent for long."""
    return min(max(0.0, seconds_of(wanted)), _LONGEST_PAUSE)


def _denied(deny: agent_pb2.Deny) -> Ended:
    # A newer controller has reasons that this agent does not know.
    known = deny.code in agent_pb2.Deny.Code.values()
    code = agent_pb2.Deny.Code.Name(deny.code if known else agent_pb2.Deny.CODE_UNSPECIFIED).removeprefix("CODE_")
    after = _pause(deny.retry_after) if deny.HasField("retry_after") else None
    return Ended(why=deny.message or code.lower(), deny=code, after=after)


def _first(group: BaseExceptionGroup[_ErrorT]) -> _ErrorT:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise group


def _text_of(error: grpc.aio.AioRpcError) -> str:
    return f"{error.details() or 'no details'} ({error.code().name.lower()})"
