"""session: AgentSession, the only reader and the only writer of one agent's stream."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Protocol, TypeAlias

import grpc
import grpc.aio

from pybible.server.controller.sessions.attempts import Attempt, Verdict, internal_error
from pybible.server.controller.sessions.facts import PushedFacts
from pybible.server.controller.sessions.inbound import Greeting, OutputMeter, read_rejected, read_result, received
from pybible.server.controller.sessions.instructions import Close, Decision, Reconciled, SessionState
from pybible.server.controller.sessions.outbox import Outbox, OutboxFull
from pybible.server.controller.sessions.presence import AgentPresence, Clock
from pybible.server.controller.sessions.recovery import Recovery
from pybible.server.controller.sessions.settings import TEXT_LENGTH, SessionSettings
from pybible.v1 import agent_pb2
from pybible.wire import faults
from pybible.wire.channel import INLINE_RESULT_BYTES, OUTPUT_CHUNK_BYTES, RESULT_BYTES
from pybible.wire.errors import ProtocolError
from pybible.wire.logs import attempt_fields, fields

log = logging.getLogger(__name__)

AgentCall: TypeAlias = "grpc.aio.ServicerContext[agent_pb2.AgentMessage, agent_pb2.ControllerMessage]"

# What reading and writing raise once the other end is gone.
CALL_ENDED = (grpc.aio.BaseError, grpc.RpcError, asyncio.InvalidStateError)

# How long a stream may take to carry the last messages once it is to end.
_LAST_WORDS = 2.0

_DECISIONS = {
    Decision.ADOPT: agent_pb2.Verdict.DECISION_ADOPT,
    Decision.DROP: agent_pb2.Verdict.DECISION_DROP,
    Decision.CANCEL: agent_pb2.Verdict.DECISION_CANCEL,
}
_DENIALS = {
    Close.SUPERSEDED: (agent_pb2.Deny.CODE_SUPERSEDED, "a newer stream of this agent has taken over"),
    Close.QUARANTINED: (agent_pb2.Deny.CODE_QUARANTINED, "two hosts use the identity of this agent"),
    Close.SILENT: (agent_pb2.Deny.CODE_UNSPECIFIED, "the agent sent no heartbeat for too long"),
    Close.REVOKED: (agent_pb2.Deny.CODE_REVOKED, "the agent was removed"),
    Close.EXPIRED: (agent_pb2.Deny.CODE_EXPIRED, "the agent's certificate has expired, and it has renewed none"),
    Close.SHUTTING_DOWN: (agent_pb2.Deny.CODE_SHUTTING_DOWN, "the controller shuts down"),
}


class ResultLedger(Protocol):
    """Makes results durable."""

    def keep_incarnation(self, agent_id: str, incarnation: str) -> None:
        """Store which process of an agent is attached, not before what became of the attempts that it ended."""

    def keep_facts(self, agent_id: str, pushed: PushedFacts, *, age: float) -> None:
        """Store what an agent said of its host."""

    def settle(self, attempt_id: str, *, late: bool, durable: Callable[[str], None]) -> None:
        """Store what became of an attempt, then call `durable` with its id. `late`: it had its verdict already."""


def deny(code: agent_pb2.Deny.Code.ValueType, message: str, *, retry_after: float = 0.0) -> agent_pb2.ControllerMessage:
    """Return the message that refuses or ends a session."""
    denial = agent_pb2.Deny(code=code, message=message)
    if retry_after:
        denial.retry_after.FromTimedelta(timedelta(seconds=retry_after))
    return agent_pb2.ControllerMessage(deny=denial)


class AgentSession:
    """One accepted stream. `number` is unique in this controller's life.

    Nothing of it refers back to it: with its stream it is gone, and what gRPC has for the stream too, with no
    collection of garbage. It has a task of its own only while something is to be written.
    """

    __slots__ = (
        "_call",
        "_clock",
        "_denied",
        "_epoch",
        "_ledger",
        "_machine",
        "_meter",
        "_outbox",
        "_presence",
        "_reading",
        "_recovery",
        "_settings",
        "_writer",
        "goodbye",
        "number",
    )

    def __init__(
        self,
        call: AgentCall,
        presence: AgentPresence,
        *,
        number: int,
        settings: SessionSettings,
        ledger: ResultLedger,
        recovery: Recovery,
        clock: Clock,
        denied: Counter[str],
    ) -> None:
        self.number = number
        self.goodbye = False
        self._call = call
        self._presence = presence
        self._machine = presence.machine
        self._settings = settings
        self._clock = clock
        self._ledger = ledger
        self._recovery = recovery
        self._outbox = Outbox()
        self._denied = denied
        self._meter = OutputMeter()
        self._epoch = 0
        self._writer: asyncio.Task[None] | None = None
        self._reading: asyncio.Timeout | None = None

    @property
    def waiting(self) -> int:
        """How many messages wait to be sent."""
        return len(self._outbox)

    # --- what the presence asks for

    def send_dispatch(self, attempt: Attempt) -> None:
        """Queue a Dispatch."""
        message = agent_pb2.ControllerMessage()
        dispatch = message.dispatch
        dispatch.attempt_id = attempt.id
        dispatch.epoch = self._epoch
        dispatch.run_id = attempt.run_id
        dispatch.task_id = attempt.task_id
        if attempt.spec is not None:
            dispatch.task.CopyFrom(attempt.spec)
            attempt.output_left = attempt.spec.output_limit
        if attempt.signature is not None:
            dispatch.signature.CopyFrom(attempt.signature)
        self._put(message)

    def send_cancel(self, attempt_id: str) -> None:
        """Queue a Cancel."""
        cancel = agent_pb2.Cancel(attempt_id=attempt_id)
        cancel.grace.FromTimedelta(timedelta(seconds=self._settings.cancel_grace))
        self._put(agent_pb2.ControllerMessage(cancel=cancel))

    def send_renewal(self) -> None:
        """Queue a RenewCertificate."""
        self._put(agent_pb2.ControllerMessage(renew_certificate=agent_pb2.RenewCertificate()))

    def end(self, why: Close) -> None:
        """Say why, and end the stream."""
        self._denied[why.value] += 1
        code, text = _DENIALS[why]
        self.end_with(deny(code, text, retry_after=self._settings.quarantine if why is Close.QUARANTINED else 0.0))

    def end_with(self, message: agent_pb2.ControllerMessage) -> None:
        """Send a last message, and end the stream."""
        self._put(message)
        self._outbox.close()
        if self._writer is not None:
            asyncio.get_running_loop().call_later(_LAST_WORDS, self._writer.cancel)

    # --- the stream

    def begin(self, greeting: Greeting, reconciled: Reconciled, epoch: int) -> None:
        """Send the Welcome, and do what the journal asks for."""
        self._epoch = epoch
        self._put(self._welcome(greeting, reconciled))
        self._presence.perform(reconciled.instructions)

    async def serve(self) -> None:
        """Be the session, which has begun, until the stream ends."""
        try:
            async with asyncio.timeout(None) as self._reading:
                await self._read()
        except TimeoutError:
            pass  # the last word is written
        except asyncio.CancelledError:
            if self._writer is not None:
                self._writer.cancel()
            raise
        finally:
            self._reading = None
            await self._written()

    async def refuse(self) -> None:
        """Carry the last words of a session that never began."""
        async with asyncio.timeout(_LAST_WORDS):
            await self._written()

    def _welcome(self, greeting: Greeting, reconciled: Reconciled) -> agent_pb2.ControllerMessage:
        welcome = agent_pb2.Welcome(
            session_id=f"{self._presence.agent_id}/{self._epoch}",
            epoch=self._epoch,
            protocol=greeting.protocol,
            name=self._presence.name,
            limits=agent_pb2.Limits(
                inline_result_bytes=INLINE_RESULT_BYTES,
                output_chunk_bytes=OUTPUT_CHUNK_BYTES,
                result_bytes=RESULT_BYTES,
            ),
        )
        welcome.heartbeat_interval.FromTimedelta(timedelta(seconds=self._settings.heartbeat_interval))
        welcome.lease.FromTimedelta(timedelta(seconds=self._settings.silence))
        for attempt_id, decision in reconciled.verdicts:
            welcome.verdicts.add(attempt_id=attempt_id, decision=_DECISIONS[decision])
        return agent_pb2.ControllerMessage(welcome=welcome)

    async def _read(self) -> None:
        call, machine, clock = self._call, self._machine, self._clock
        while True:
            try:
                message = received(await call.read())
            except CALL_ENDED:
                return
            except ProtocolError as error:
                log.warning("agent sends what is no message", extra=fields(agent_id=self._presence.agent_id))
                self._denied["invalid"] += 1
                self.end_with(deny(agent_pb2.Deny.CODE_INVALID, str(error)))
                return
            if message is None:
                return
            if machine.stream != self.number:
                return  # superseded, or given up: what it still says comes again on the next stream
            machine.heard_at = clock()
            if machine.state is SessionState.SUSPECT:
                self._presence.perform(machine.awake(machine.heard_at))
            kind = message.WhichOneof("message")
            handler = _HANDLERS.get(kind or "")
            if handler is None:
                continue  # a Hello in the middle, or something newer than us
            try:
                handler(self, message)
            except Exception as error:
                self._broken(kind or "", message, error)

    def _wake(self) -> None:
        """See to it that what waits is written. The task lives until `_written`."""
        if self._writer is None and not self._outbox.closed:
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        call, outbox = self._call, self._outbox
        over = True
        try:
            while (message := outbox.take()) is not None:
                await call.write(message)
                if faults.ARMED:
                    faults.at(f"after_{message.WhichOneof('message')}_sent")
            over = outbox.closed
        except CALL_ENDED:
            pass
        finally:
            if not over:
                self._writer = None
            elif self._reading is not None and not self._reading.expired():
                self._reading.reschedule(0)

    async def _written(self) -> None:
        """Take nothing more, and wait until the writer is done."""
        self._outbox.close()
        if self._writer is None:
            return
        try:
            await asyncio.wait((self._writer,))
        finally:
            self._writer.cancel()
        if not self._writer.cancelled():
            self._writer.result()

    def _put(self, message: agent_pb2.ControllerMessage) -> None:
        try:
            self._outbox.put(message)
        except OutboxFull:
            log.warning("agent does not read, stream ended", extra=fields(agent_id=self._presence.agent_id))
            if self._writer is not None:
                self._writer.cancel()
        self._wake()

    def _acknowledge(self, attempt_id: str) -> None:
        self._outbox.ack(attempt_id)
        self._machine.acknowledged(attempt_id)
        self._wake()

    # --- what the agent says

    def _accepted(self, message: agent_pb2.AgentMessage) -> None:
        faults.at("after_accepted")
        attempt = self._machine.accepted(message.accepted.attempt_id)
        if attempt is not None:
            attempt.owner.progressed(attempt)

    def _started(self, message: agent_pb2.AgentMessage) -> None:
        attempt = self._machine.started(message.started.attempt_id)
        if attempt is not None:
            attempt.owner.progressed(attempt)

    def _rejected(self, message: agent_pb2.AgentMessage) -> None:
        rejected = message.rejected
        self._finish(rejected.attempt_id, lambda attempt: read_rejected(attempt, rejected))

    def _output(self, message: agent_pb2.AgentMessage) -> None:
        attempt = self._machine.out.get(message.output.attempt_id)
        if attempt is None:
            return
        output = self._meter.pass_on(attempt, message.output, self._machine.heard_at)
        if output is not None:
            attempt.owner.output(attempt, output)

    def _result(self, message: agent_pb2.AgentMessage) -> None:
        result = message.result
        attempt_id = result.attempt_id
        if len(attempt_id) > TEXT_LENGTH:
            return
        faults.at("before_verdict")
        first = self._finish(attempt_id, lambda _attempt: read_result(result))
        faults.at("after_verdict")
        if not first:
            # After every reconnection agents offer again what was not acknowledged: that it is here is no news.
            log.debug("a result came after its verdict", extra=attempt_fields(attempt_id))

        def settle() -> None:
            self._ledger.settle(attempt_id, late=not first, durable=self._acknowledge)

        if first or not self._recovery.keep(attempt_id, settle):
            settle()

    def _finish(self, attempt_id: str, read: Callable[[Attempt], Verdict]) -> bool:
        """End an attempt with what `read` makes of the agent's words. False when it has its verdict already."""
        attempt = self._machine.finish(attempt_id)
        if attempt is None:
            return False
        try:
            verdict = read(attempt)
        except Exception as error:
            log.exception("a result could not be read", extra=fields(**attempt.names))
            verdict = internal_error(error)
        self._presence.end(attempt, verdict)
        self._presence.refill()
        return True

    def _heartbeat(self, message: agent_pb2.AgentMessage) -> None:
        self._machine.beats += 1
        self._presence.load = message.heartbeat.load
        self._outbox.heartbeat(message.heartbeat.sequence)
        self._wake()

    def _facts_changed(self, message: agent_pb2.AgentMessage) -> None:
        agent_id = self._presence.agent_id
        try:
            facts = self._presence.take_facts(message.facts_changed)
        except ProtocolError as error:
            log.warning("facts are not kept", extra=fields(agent_id=agent_id, error=str(error)))
            return
        self._ledger.keep_facts(agent_id, facts, age=self._presence.age_of(facts))

    def _draining(self, _message: agent_pb2.AgentMessage) -> None:
        self._presence.perform(self._machine.draining())

    def _goodbye(self, message: agent_pb2.AgentMessage) -> None:
        self.goodbye = True
        reason = message.goodbye.reason[:TEXT_LENGTH]
        log.info("agent says goodbye", extra=fields(agent_id=self._presence.agent_id, reason=reason))

    def _broken(self, kind: str, message: agent_pb2.AgentMessage, error: Exception) -> None:
        """A bug of ours met a message: it becomes that attempt's failed result, and the session goes on."""
        attempt_id = str(getattr(getattr(message, kind), "attempt_id", ""))
        attempt = self._machine.out.get(attempt_id)
        names = attempt.names if attempt is not None else {}
        extra = fields(agent_id=self._presence.agent_id, kind=kind, **names)
        log.exception("a message could not be handled", extra=extra)
        self._finish(attempt_id, lambda _attempt: internal_error(error))


_HANDLERS: Mapping[str, Callable[[AgentSession, agent_pb2.AgentMessage], None]] = {
    "accepted": AgentSession._accepted,
    "rejected": AgentSession._rejected,
    "started": AgentSession._started,
    "output": AgentSession._output,
    "result": AgentSession._result,
    "heartbeat": AgentSession._heartbeat,
    "facts_changed": AgentSession._facts_changed,
    "draining": AgentSession._draining,
    "goodbye": AgentSession._goodbye,
}
