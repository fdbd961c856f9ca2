"""registry: every agent that this controller has seen, by id and by name; and how a stream becomes a session."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from pybible.server.controller.expirations import Expirations
from pybible.server.controller.sessions.gate import Gate
from pybible.server.controller.sessions.inbound import Greeting, NoCommonProtocol, read_hello, received
from pybible.server.controller.sessions.instructions import Close, SessionState
from pybible.server.controller.sessions.presence import AgentPresence, AgentStatus, Clock
from pybible.server.controller.sessions.recovery import Recovery
from pybible.server.controller.sessions.refusal import AgentDetails
from pybible.server.controller.sessions.session import AgentCall, AgentSession, ResultLedger, deny
from pybible.server.controller.sessions.settings import SessionSettings
from pybible.server.controller.sessions.storm import Storm
from pybible.server.controller.store import agents
from pybible.server.controller.store.database import Database
from pybible.server.controller.store.writer import WriterClosed, reason_of
from pybible.v1 import agent_pb2
from pybible.wire.errors import ProtocolError
from pybible.wire.logs import agent_id as log_agent_id
from pybible.wire.logs import fields

log = logging.getLogger(__name__)

_RETRY_SECONDS = 5.0
# Whoever comes back in a storm may come so long after the one before, at least.
_PAUSE_SECONDS = 5.0
# How many different lists of modules are told from one another.
_MODULE_LISTS = 100


class SessionRegistry:
    """The sessions of one controller."""

    def __init__(
        self,
        *,
        database: Database,
        ledger: ResultLedger,
        settings: SessionSettings,
        expirations: Expirations,
        clock: Clock = time.monotonic,
    ) -> None:
        self.settings = settings
        self.recovery = Recovery()
        self._database = database
        self._ledger = ledger
        self._expirations = expirations
        self._clock = clock
        self._numbers = itertools.count(1)
        self._presences: dict[str, AgentPresence] = {}
        self._names: dict[str, str] = {}
        self._sessions: dict[int, AgentSession] = {}
        self._closing = False
        # Sessions that were agreed; handshakes refused and sessions ended by the controller, by the reason.
        self.opened = 0
        self.denied: Counter[str] = Counter()
        # The agents of an earlier controller, by name, once somebody asks for one that is not here.
        self._expected: dict[str, str] = {}
        # Streams that have not said hello, by agent.
        self._greeting: Counter[str] = Counter()
        self._modules: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._gate = Gate(
            rate=settings.handshakes,
            burst=settings.handshake_burst,
            patience=settings.handshake_patience,
            now=clock(),
        )
        self._storm = Storm(pause=max(_PAUSE_SECONDS, settings.disconnect_grace))

    # --- asking

    def find(self, name_or_id: str) -> AgentPresence | None:
        """Return the agent of that id or name, if it was ever seen. An id wins."""
        return self._presences.get(name_or_id) or self._presences.get(self._names.get(name_or_id, ""))

    def expect(self, name_or_id: str) -> AgentPresence | None:
        """Return an agent that an earlier controller knew and has no session with this one, None if there is none."""
        directory = self._database.directory
        if not self._expected:
            self._expected = {record.name: record.agent_id for record in directory.after("")}
        agent_id = name_or_id if directory.get(name_or_id) is not None else self._expected.get(name_or_id, "")
        record = directory.get(agent_id)
        presence = self._presences.get(agent_id)
        if record is None or (presence is not None and presence.has_come):
            return None
        # One that has said hello, and whose session is not agreed yet, is not known by its name.
        presence = presence or self._presence(agent_id)
        presence.details = AgentDetails(epoch=record.epoch, labels=record.labels)
        self._bind(presence, record.name)
        return presence

    def give_up(self, run_id: str) -> None:
        """A run of an earlier controller is over: end what agents still do for it, and what was put off."""
        for presence in self._presences.values():
            presence.give_up(run_id)
        self.recovery.over(run_id)

    def status(self, agent_id: str) -> AgentStatus | None:
        """Return an agent as it is now, None for one that never came."""
        presence = self._presences.get(agent_id)
        return presence.status if presence is not None else None

    def statuses(self) -> Mapping[str, AgentStatus]:
        """Return every agent that ever came, by id."""
        return {agent_id: presence.status for agent_id, presence in self._presences.items()}

    def attached_ids(self) -> list[str]:
        """Return the agents that have a live session."""
        return [agent_id for agent_id, presence in self._presences.items() if presence.attached]

    def ask_to_renew(self, agent_id: str) -> bool:
        """Ask an agent for a new certificate. False: it is not attached."""
        presence = self._presences.get(agent_id)
        return presence is not None and presence.ask_to_renew()

    # --- one stream

    async def greet(self, call: AgentCall, *, agent_id: str) -> Greeting | None:
        """Admit one Attach and wait for its Hello. None when it was refused, with its reason, or went away."""
        log_agent_id.set(agent_id)
        if self._closing:
            await call.write(
                self._deny(agent_pb2.Deny.CODE_SHUTTING_DOWN, "the controller shuts down", retry_after=1.0)
            )
            return None
        if self._greeting[agent_id] >= self.settings.silent_streams:
            text = f"{self.settings.silent_streams} streams of this agent have not said hello yet"
            await call.write(self._deny(agent_pb2.Deny.CODE_OVERLOADED, text, retry_after=_wait()))
            return None
        turn = self._gate.admit(self._clock())
        if not turn.admitted:
            denial = self._deny(agent_pb2.Deny.CODE_OVERLOADED, "too many agents at once", retry_after=turn.wait)
            await call.write(denial)
            return None
        self._greeting[agent_id] += 1
        try:
            if turn.wait:
                await asyncio.sleep(turn.wait)
            return await self._hello(call)
        except NoCommonProtocol as error:
            await call.write(self._deny(agent_pb2.Deny.CODE_PROTOCOL, str(error)))
        except ProtocolError as error:
            log.warning("hello refused", extra=fields(reason=str(error)))
            await call.write(self._deny(agent_pb2.Deny.CODE_INVALID, str(error), retry_after=_RETRY_SECONDS))
        finally:
            self._greeting[agent_id] -= 1
            if not self._greeting[agent_id]:
                del self._greeting[agent_id]
        return None

    async def _hello(self, call: AgentCall) -> Greeting | None:
        try:
            async with asyncio.timeout(self.settings.hello_timeout):
                message = received(await call.read())
        except TimeoutError as error:
            raise ProtocolError(f"no Hello within {self.settings.hello_timeout:g} s") from error
        if message is None:
            return None
        greeting = read_hello(message)
        return replace(greeting, modules=self._one_copy(greeting.modules))

    def _one_copy(self, modules: tuple[str, ...]) -> tuple[str, ...]:
        """Return the copy that is there already of a list that nearly all agents have in common."""
        if len(self._modules) >= _MODULE_LISTS:
            self._modules.clear()
        return self._modules.setdefault(modules, modules)

    async def serve(
        self, call: AgentCall, greeting: Greeting, *, agent_id: str, address: str, expires: float | None = None
    ) -> None:
        """Be the session of an agent that has said hello, to its end. The caller has checked its certificate.

        `expires`: when that is not valid any more (seconds since the epoch), and the stream ends.
        """
        presence = self._presences.get(agent_id)
        if presence is None:
            presence = self._presence(agent_id)
        number = next(self._numbers)
        session = AgentSession(
            call,
            presence,
            number=number,
            settings=self.settings,
            ledger=self._ledger,
            recovery=self.recovery,
            clock=self._clock,
            denied=self.denied,
        )
        presence.add_stream(number, session)
        self._sessions[number] = session
        incarnation = greeting.opening.incarnation
        # No context manager: each of ten thousand would be an object or two.
        watch = self._expirations.watch(expires, partial(_expired, session, agent_id))
        try:
            presence.perform(presence.machine.attach(number, incarnation=incarnation, now=self._clock()))
            agreed = presence.machine.stream == number and await self._sync(session, presence, greeting, address)
            # A journal may be long, and the session be there for months.
            del greeting
            await (session.serve() if agreed else session.refuse())
        finally:
            self._expirations.leave(watch)
            del self._sessions[number]
            presence.remove_stream(number, goodbye=session.goodbye)
            self._note_seen(agent_id)

    async def _sync(self, session: AgentSession, presence: AgentPresence, greeting: Greeting, address: str) -> bool:
        """Agree on a session. False: it is refused, and has been told why."""
        try:
            record = await self._open(presence.agent_id, greeting)
        except SQLAlchemyError as error:
            # Without its epoch there is no session; those that are open go on.
            log.warning("no session: the store can't be written to", extra=fields(error=reason_of(error)))
            text = "the controller's store can't be written to"
            session.end_with(self._deny(agent_pb2.Deny.CODE_OVERLOADED, text, retry_after=_RETRY_SECONDS))
            return False
        if record is None:
            session.goodbye = True
            session.end_with(self._deny(agent_pb2.Deny.CODE_UNKNOWN_AGENT, "this agent is not enrolled here"))
            return False
        if greeting.protocol < record.protocol_floor:
            text = f"this agent once spoke protocol {record.protocol_floor} and may not fall back"
            session.end_with(self._deny(agent_pb2.Deny.CODE_PROTOCOL, text))
            return False
        self._bind(presence, record.name)
        presence.details = AgentDetails(
            hostname=greeting.hostname,
            version=greeting.version,
            boot_id=greeting.boot_id,
            modules=greeting.modules,
            policy=greeting.policy,
            address=address,
            epoch=record.epoch,
            labels=record.labels,
        )
        presence.has_come = True
        # What it said before may have changed since.
        presence.facts.doubt()
        reconciled = presence.machine.welcome(session.number, greeting.opening, now=self._clock())
        if reconciled is None:
            return False
        self.opened += 1
        log.info("agent attached", extra=fields(name=record.name, epoch=record.epoch, address=address))
        session.begin(greeting, reconciled, record.epoch)
        if record.incarnation != greeting.opening.incarnation:
            self._ledger.keep_incarnation(presence.agent_id, greeting.opening.incarnation)
        return True

    def _deny(
        self, code: agent_pb2.Deny.Code.ValueType, message: str, *, retry_after: float = 0.0
    ) -> agent_pb2.ControllerMessage:
        self.denied[agent_pb2.Deny.Code.Name(code).removeprefix("CODE_").lower()] += 1
        return deny(code, message, retry_after=retry_after)

    async def _open(self, agent_id: str, greeting: Greeting) -> agents.AgentRecord | None:
        opening = agents.Opening(
            hostname=greeting.hostname[:253],
            version=greeting.version[:64],
            protocol=greeting.protocol,
            moment=time.time(),
        )
        record = await self._database.write(lambda connection: agents.open_session(connection, agent_id, opening))
        if record is not None:
            self._database.directory.put(record)
        return record

    def _presence(self, agent_id: str) -> AgentPresence:
        record = self._database.directory.get(agent_id)
        presence = self._presences[agent_id] = AgentPresence(
            agent_id,
            settings=self.settings,
            clock=self._clock,
            incarnation=(record.incarnation if record is not None else None) or "",
            since=(record.incarnation_since if record is not None else None) or 0.0,
            awaits=self.recovery.awaits,
            storm=self._storm,
        )
        return presence

    def _bind(self, presence: AgentPresence, name: str) -> None:
        if presence.name and self._names.get(presence.name) == presence.agent_id:
            del self._names[presence.name]
        presence.name = name
        self._names[name] = presence.agent_id

    def _note_seen(self, agent_id: str) -> None:
        moment = time.time()
        try:
            noted = self._database.write(lambda connection: agents.seen(connection, agent_id, moment))
        except WriterClosed:
            return
        self._database.directory.seen(agent_id, moment)
        noted.add_done_callback(_report_unseen)

    # --- ending

    def remove(self, agent_id: str) -> None:
        """An agent was shut out: end its session and forget it. What is out there is lost."""
        presence = self._presences.pop(agent_id, None)
        if presence is None:
            return
        presence.end_streams(Close.REVOKED)
        if self._names.get(presence.name) == agent_id:
            del self._names[presence.name]
        presence.perform(presence.machine.revoked())
        presence.close()

    def shutdown(self) -> None:
        """Ask every agent to dial again, and end their streams. New ones are refused."""
        self._closing = True
        for session in list(self._sessions.values()):
            session.goodbye = True
            message = agent_pb2.ControllerMessage()
            # Spread: they must not all come back in the same moment.
            message.reconnect.after.FromTimedelta(timedelta(seconds=_wait()))
            session.end_with(message)

    def close(self) -> None:
        """Stop every timer. After the server has stopped."""
        self._closing = True
        for presence in self._presences.values():
            presence.close()

    def states(self) -> Counter[SessionState]:
        """Return how many agents are in each state, of those that ever came."""
        return Counter(presence.machine.state for presence in self._presences.values())

    def waiting(self) -> list[int]:
        """Return how many messages wait for each agent that has a stream."""
        return [session.waiting for session in self._sessions.values()]

    def attached(self) -> int:
        """Return how many agents have a live session."""
        return sum(presence.machine.state is SessionState.READY for presence in self._presences.values())


def _expired(session: AgentSession, agent_id: str) -> None:
    log.warning("the certificate of an agent has expired, its stream ends", extra=fields(agent_id=agent_id))
    session.end(Close.EXPIRED)


def _wait() -> float:
    return random.uniform(0.5, 2.0)  # noqa: S311  not a secret


def _report_unseen(noted: asyncio.Future[None]) -> None:
    if not noted.cancelled() and isinstance(noted.exception(), SQLAlchemyError):
        log.warning("could not note when an agent was seen", extra=fields(error=str(noted.exception())))
