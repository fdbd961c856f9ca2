"""agents: all that an agent is told, by a foreign controller over real gRPC: Welcome, Dispatch, Cancel, ..."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeAlias

import grpc
import grpc.aio
from cryptography import x509
from google.protobuf.message import DecodeError
from hypothesis import strategies as st

from pybible.agent import state
from pybible.agent.config import Config
from pybible.agent.daemon import Agent
from pybible.agent.stream import Ended, Stream
from pybible.v1 import agent_pb2
from pybible.wire.channel import server_credentials, server_options
from pybible.wire.identity import CONTROLLER_NAME
from pybible.wire.outcomes import Reason
from tests.fuzz.hunt import Finding, Target, Trial
from tests.fuzz.material import encoded
from tests.fuzz.service import served
from tests.support.fake_controller import FakeAuthority

_Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
_SECONDS = 15.0
_LONGEST_PAUSE = 3600.0
# What may be run of all that a foreign controller asks for: it only looks.
_MODULES = ("ping", "stat", "slurp", "nosuch", "ansible.builtin.ping", "@0")


@dataclass(slots=True)
class Puppet:
    """A controller that sends what an example says. `sane`: whether a task behind it was answered."""

    payloads: list[bytes] = field(default_factory=list)
    answered: bool = False

    async def attach(self, _requests: object, context: _Context) -> None:
        """Serve one stream."""
        await context.read()
        reading = asyncio.ensure_future(self._read(context))
        try:
            with suppress(grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError):
                for payload in self.payloads:
                    await context.write(payload)
                await context.write(_task("sane"))
                async with asyncio.timeout(_SECONDS):
                    await asyncio.wait((reading,))
        except TimeoutError:
            pass
        finally:
            reading.cancel()

    async def _read(self, context: _Context) -> None:
        while isinstance(data := await context.read(), bytes):
            message = agent_pb2.AgentMessage.FromString(data)
            said = getattr(message, message.WhichOneof("message") or "", None)
            if isinstance(said, agent_pb2.Result | agent_pb2.Rejected) and said.attempt_id == "sane":
                self.answered = True
                return


def _task(attempt_id: str) -> bytes:
    task = agent_pb2.TaskSpec(module="ping", args=b"{}")
    dispatch = agent_pb2.Dispatch(attempt_id=attempt_id, epoch=2**63, task=task)
    return agent_pb2.ControllerMessage(dispatch=dispatch).SerializeToString()


def _welcome() -> bytes:
    welcome = agent_pb2.Welcome(session_id="s", epoch=1, protocol=1, name="web01")
    welcome.heartbeat_interval.FromTimedelta(timedelta(seconds=5))
    welcome.lease.FromTimedelta(timedelta(seconds=60))
    return agent_pb2.ControllerMessage(welcome=welcome).SerializeToString()


@dataclass(frozen=True, slots=True)
class Field:
    """An agent in this process, its workers beside it, and the controller that it dials."""

    agent: Agent
    puppet: Puppet

    async def attach(self, example: tuple[bytes | None, list[bytes]]) -> Ended:
        """Have the agent attach once. Return how that ended."""
        first, payloads = example
        self.puppet.payloads = [_welcome() if first is None else first, *payloads]
        self.puppet.answered = False
        attempts, stream = self.agent.session.attempts, Stream(self.agent.session)
        self.agent.dialer.redirect("")
        channel = self.agent.dialer.channel()
        try:
            async with asyncio.timeout(2 * _SECONDS):
                ended = await stream.serve(channel)
        except TimeoutError as error:
            raise Finding("the stream does not end") from error
        finally:
            await channel.close()
        await self._go_on(ended, was_ready=stream.ready_at > 0)
        attempts.pool.cancel_all(Reason.CANCELLED, "the next example", grace=0)
        try:
            async with asyncio.timeout(_SECONDS):
                await attempts.pool.idle()
        except TimeoutError as error:
            raise Finding("a task does not end") from error
        attempts.acknowledge([attempt_id for attempt_id, _ in attempts.journal.open_entries()])
        return ended

    async def _go_on(self, ended: Ended, *, was_ready: bool) -> None:
        """See that the agent did its work, or left, and can dial again, wherever it was sent."""
        reasons = ("no Welcome", "can't be read", "heartbeats")
        by_itself = ended.deny or ended.after is not None or any(reason in ended.why for reason in reasons)
        if was_ready and not self.puppet.answered and not by_itself:
            raise Finding(f"the task behind the others was not answered; the stream: {ended}")
        if ended.after is not None and not 0 <= ended.after <= _LONGEST_PAUSE:
            raise Finding(f"the agent would wait for {ended.after} s")
        self.agent.dialer.redirect(ended.target)
        await self.agent.dialer.channel().close()


@asynccontextmanager
async def arena(folder: Path) -> AsyncIterator[Field]:
    """Start both."""
    puppet, authority = Puppet(), FakeAuthority()
    server = grpc.aio.server(options=server_options())
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(puppet.attach)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("pybible.v1.AgentService", {"Attach": handler}),)
    )
    key, certificate = authority.issue(x509.DNSName(CONTROLLER_NAME))
    credentials = server_credentials(key=key, certificate=certificate, client_authority=authority.pem)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    mine, certificate = authority.issue(x509.UniformResourceIdentifier("pybible://agent/fuzzed"))
    state.prepare(folder / "agent")
    identity = state.AgentIdentity(
        id="fuzzed",
        name="web01",
        controller=f"127.0.0.1:{port}",
        key=mine,
        certificate=certificate,
        authority=authority.pem,
        renew_at=0.0,
    )
    state.save_identity(folder / "agent", identity)
    try:
        async with Agent.start(folder / "agent", Config(slots=2, facts_interval=0.0)) as agent:
            yield Field(agent, puppet)
    finally:
        await server.stop(0)


def _harmless(payload: bytes) -> bytes:
    """Leave only modules that look: whoever is let in here runs what he likes, that is no flaw."""
    try:
        message = agent_pb2.ControllerMessage.FromString(payload)
    except DecodeError:
        return payload
    if message.HasField("dispatch"):
        task = message.dispatch.task
        if task.module not in _MODULES:
            task.module = _MODULES[len(task.module) % len(_MODULES)]
        # Whoever is named there must not be anybody's user.
        if task.HasField("become"):
            task.become.user = f"no-{task.become.user}"
        message.dispatch.epoch = max(message.dispatch.epoch, 2**62)
        return message.SerializeToString()
    return payload


def _told() -> st.SearchStrategy[tuple[bytes | None, list[bytes]]]:
    told = encoded(agent_pb2.ControllerMessage, words=_MODULES).map(_harmless)
    return st.tuples(st.none() | st.none() | told, st.lists(told, max_size=8))


@contextmanager
def _opened(folder: Path) -> Iterator[Trial]:
    with served(partial(arena, folder)) as running:
        yield Trial(check=lambda example: running.call(running.value.attach(example), seconds=90.0))


FOREIGN_CONTROLLER = Target(
    name="attach-agent",
    about="Welcome, Dispatch, ... of a foreign controller",
    material=_told,
    open=_opened,
    examples=60,
)
