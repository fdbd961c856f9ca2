"""controllers: all that a controller is told by foreign agents, operators and hosts, an honest agent beside them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from pybible.v1 import agent_pb2, blob_pb2, enrollment_pb2, fleet_pb2, run_pb2
from pybible.wire.identity import JoinToken
from tests.fuzz.hunt import Finding, Target, Trial
from tests.fuzz.material import ODD_BYTES, encoded, messages, mutated
from tests.fuzz.service import Served, served
from tests.support.controller import Holder, RunningController, controller, key_and_request
from tests.support.fake_agent import FakeAgent, attached
from tests.support.fake_ctl import FakeCtl, run

_Call: TypeAlias = "grpc.aio.StreamStreamCall[bytes, bytes]"
_SECONDS = 15.0
_ATTACH = "/pybible.v1.AgentService/Attach"
# Stand for the attempts that are out: their ids are known only once they are.
_OUT = ("@0", "@1")
HONEST = "good"


@dataclass(slots=True)
class Field:
    """A controller, an honest agent that answers every task, and a foreign one with its channel."""

    running: RunningController
    operators: grpc.aio.Channel
    foreign: Holder
    channel: grpc.aio.Channel
    incarnation: str = "11111111-2222-3333-4444-555555555555"

    async def anew(self) -> None:
        """Give the foreign agent another identity."""
        await self.channel.close()
        self.foreign = await self.running.enrol(f"foreign-{uuid.uuid4().hex[:8]}")
        self.channel = self.running.channel(self.foreign)

    async def is_well(self) -> None:
        """See that a task on the honest agent has its result."""
        async with run(self.running, channel=self.operators) as ctl:
            [name] = await ctl.submit(HONEST)
            await _ended(ctl, name, reason="")
            await ctl.finish()


@asynccontextmanager
async def field(folder: Path) -> AsyncIterator[Field]:
    """Start it."""
    settings: dict[str, object] = {"heartbeat_interval": 3600.0, "enroll_rate": 1e6}
    async with controller(folder, **settings) as running:
        honest = await running.enrol(HONEST)
        foreign = await running.enrol("foreign")
        async with attached(running, honest) as agent, asyncio.TaskGroup() as group:
            working = group.create_task(_work(agent))
            async with running.operator_channel() as operators:
                yield Field(running, operators, foreign, running.channel(foreign))
            working.cancel()


async def _work(agent: FakeAgent) -> None:
    while True:
        with suppress(TimeoutError):
            dispatch = await agent.dispatch()
            await agent.accept(dispatch)
            await agent.result(dispatch.attempt_id)
            agent.forget("ack")
            agent.forget("cancel")


async def _ended(ctl: FakeCtl, name: str, *, reason: str | None = None) -> None:
    try:
        ended = await ctl.end_of(name)
    except TimeoutError as error:
        raise Finding(f"attempt {name} has no result") from error
    if reason is not None and ended.reason != reason:
        raise Finding(f"attempt {name} ended with {ended.reason!r}: {ended.inline!r}")


async def _write(call: _Call, payload: bytes) -> bool:
    try:
        await call.write(payload)
    except (grpc.RpcError, asyncio.InvalidStateError):
        return False
    return True


async def _read(call: _Call, inbox: asyncio.Queue[bytes | None]) -> None:
    with suppress(grpc.RpcError, asyncio.InvalidStateError):
        while isinstance(message := await call.read(), bytes):
            inbox.put_nowait(message)
    inbox.put_nowait(None)


async def _code(call: Any, what: str) -> None:
    """See that a call ended, and not by an exception of the other end's."""
    try:
        async with asyncio.timeout(_SECONDS):
            code, details = await call.code(), await call.details()
    except TimeoutError as error:
        raise Finding(f"{what} does not end") from error
    if code is grpc.StatusCode.UNKNOWN:
        raise Finding(f"{what} ended by an exception: {details}")


# -- a foreign agent ---------------------------------------------------------------------------------------------------


def _hello(incarnation: str) -> bytes:
    hello = agent_pb2.Hello(
        protocol_min=1, protocol_max=1, version="0", incarnation=incarnation, boot_id="b", modules=["ping"], slots=10
    )
    return agent_pb2.AgentMessage(hello=hello).SerializeToString()


def _of_attempts(payload: bytes, ids: Sequence[str]) -> bytes:
    """Put in the ids of attempts that are out."""
    try:
        message = agent_pb2.AgentMessage.FromString(payload)
    except DecodeError:
        return payload
    said = getattr(message, message.WhichOneof("message") or "", None)
    if said is not None and ids and getattr(said, "attempt_id", "") in _OUT:
        said.attempt_id = ids[_OUT.index(said.attempt_id) % len(ids)]
        return message.SerializeToString()
    return payload


async def _attach(arena: Field, example: tuple[bytes | None, list[bytes], bool]) -> None:
    hello, payloads, cancels = example
    # The task of the foreign agent ends at once when its stream does; the honest agent's has its result.
    async with run(arena.running, grace=0.0, forks=10, channel=arena.operators) as ctl:
        call: _Call = arena.channel.stream_stream(_ATTACH)()
        inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(_read(call, inbox))
            try:
                await _write(call, _hello(arena.incarnation) if hello is None else hello)
                welcome = await _next(inbox)
                names = await ctl.submit(arena.foreign.name, arena.foreign.name, HONEST)
                ids = [found for _ in _OUT if (found := await _dispatched(inbox, welcome))]
                for payload in payloads:
                    if not await _write(call, _of_attempts(payload, ids)):
                        break
                if not cancels:
                    with suppress(grpc.RpcError, asyncio.InvalidStateError):
                        await call.done_writing()
                    await _code(call, "Attach")
            finally:
                call.cancel()
                reader.cancel()
        for name in names[:2]:
            await _ended(ctl, name)
        await _ended(ctl, names[2], reason="")
        await ctl.finish()
    if welcome is not None and welcome.deny.code == agent_pb2.Deny.CODE_QUARANTINED:
        await arena.anew()


async def _next(inbox: asyncio.Queue[bytes | None]) -> agent_pb2.ControllerMessage | None:
    try:
        async with asyncio.timeout(_SECONDS):
            payload = await inbox.get()
    except TimeoutError as error:
        raise Finding("neither Welcome nor Deny nor an end") from error
    return None if payload is None else agent_pb2.ControllerMessage.FromString(payload)


async def _dispatched(inbox: asyncio.Queue[bytes | None], welcome: agent_pb2.ControllerMessage | None) -> str:
    if welcome is None or not welcome.HasField("welcome"):
        return ""
    with suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            while (payload := await inbox.get()) is not None:
                message = agent_pb2.ControllerMessage.FromString(payload)
                if message.HasField("dispatch"):
                    return message.dispatch.attempt_id
    return ""


_foreign_words = encoded(agent_pb2.AgentMessage, words=_OUT)
ATTACH = st.tuples(
    st.none() | st.none() | messages(agent_pb2.Hello).map(
        lambda hello: agent_pb2.AgentMessage(hello=hello).SerializeToString()  # type: ignore[arg-type]
    ) | _foreign_words,
    st.lists(_foreign_words, max_size=8),
    st.booleans(),
)  # fmt: skip


# -- a foreign ctl -----------------------------------------------------------------------------------------------------


async def _execute(arena: Field, example: tuple[bytes | None, list[bytes]]) -> None:
    first, payloads = example
    start = run_pb2.ExecuteRequest(start=run_pb2.StartRun(name="x", forks=3, live_output=True)).SerializeToString()
    call: _Call = arena.operators.stream_stream("/pybible.v1.RunService/Execute")()
    inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        reader = group.create_task(_read(call, inbox))
        try:
            for payload in (start if first is None else first, *payloads):
                if not await _write(call, payload):
                    break
            with suppress(grpc.RpcError, asyncio.InvalidStateError):
                await call.done_writing()
            await _code(call, "Execute")
        finally:
            call.cancel()
            reader.cancel()


_ctl_words = encoded(run_pb2.ExecuteRequest, words=(HONEST, "foreign", "a1", "a2", "latest"))
EXECUTE = st.tuples(st.none() | _ctl_words, st.lists(_ctl_words, max_size=6))


# -- single questions, whoever asks ------------------------------------------------------------------------------------

# Put changes nothing but the store of contents.
_STREAMS_IN = "/pybible.v1.BlobService/Put"
_SHA256 = ("ab" * 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


def _questions(*modules: Any) -> dict[str, MethodDescriptor]:
    return {
        f"/{service.full_name}/{method.name}": method
        for module in modules
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        # An authority that changes all the time is another matter.
        if not method.client_streaming and not method.name.startswith(("Rotate", "Attach"))
    }


_OPERATORS = _questions(fleet_pb2, run_pb2, blob_pb2)
_AGENTS = _questions(agent_pb2, blob_pb2)


def _asked(methods: dict[str, MethodDescriptor]) -> st.SearchStrategy[tuple[str, bytes]]:
    return st.sampled_from(sorted(methods)).flatmap(
        lambda path: st.tuples(
            st.just(path),
            encoded(GetMessageClass(methods[path].input_type), words=("foreign", "latest", "web*", "admin", *_SHA256)),
        )
    )


async def _ask(channel: grpc.aio.Channel, path: str, payload: bytes, *, streams: bool) -> None:
    call: Any = channel.unary_stream(path) if streams else channel.unary_unary(path)
    call = call(payload, timeout=_SECONDS)
    try:
        if streams:
            with suppress(grpc.RpcError):
                async for _ in call:
                    pass
        await _code(call, path)
    finally:
        call.cancel()


async def _single(arena: Field, example: tuple[bool, tuple[str, bytes]]) -> None:
    operator, (path, payload) = example
    channel = arena.operators if operator else arena.channel
    methods = _OPERATORS if operator else _AGENTS
    await _ask(channel, path, payload, streams=methods[path].server_streaming)


SINGLE = st.tuples(st.just(True), _asked(_OPERATORS)) | st.tuples(st.just(False), _asked(_AGENTS))


# -- contents ----------------------------------------------------------------------------------------------------------


async def _put(arena: Field, payloads: list[bytes]) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for payload in payloads:
            yield payload

    put: Any = arena.channel.stream_unary(_STREAMS_IN)
    await _code(put(parts(), timeout=_SECONDS), "Put")


_part = encoded(blob_pb2.PutRequest, words=_SHA256)
PUT = st.lists(_part, max_size=5)


# -- hosts that want to be enrolled ------------------------------------------------------------------------------------

_ENROLMENT = "/pybible.v1.EnrollmentService/"
_CSR = key_and_request()[1]


def _requests() -> st.SearchStrategy[tuple[str, bytes]]:
    csr = mutated(st.just(_CSR)) | st.just(_CSR) | ODD_BYTES

    def asked(kind: type[Message], name: str) -> st.SearchStrategy[tuple[str, bytes]]:
        def with_csr(message: Any, request: bytes) -> tuple[str, bytes]:
            message.csr = request
            return name, message.SerializeToString()

        plain = st.builds(with_csr, messages(kind, words=("@token", "web01", "")), csr)
        return plain | encoded(kind).map(lambda payload: (name, payload))

    enroll = asked(enrollment_pb2.EnrollRequest, "Enroll")
    poll = asked(enrollment_pb2.PollEnrollmentRequest, "PollEnrollment")
    authority = encoded(enrollment_pb2.GetAuthorityRequest).map(lambda payload: ("GetAuthority", payload))
    return enroll | enroll | poll | authority


async def _enroll(arena: Field, example: tuple[str, bytes]) -> None:
    name, payload = example
    if b"@token" in payload:
        with suppress(DecodeError):
            message = enrollment_pb2.EnrollRequest.FromString(payload)
            if message.token == "@token":
                message.token = JoinToken.decode(await arena.running.controller.create_token()).secret
                payload = message.SerializeToString()
    async with arena.running.enrollment_channel() as channel:
        await _ask(channel, _ENROLMENT + name, payload, streams=False)


# -- all of them -------------------------------------------------------------------------------------------------------


def _against(
    example: Callable[[Field, Any], Coroutine[object, object, None]], *, look: int
) -> Callable[[Path], AbstractContextManager[Trial]]:
    """Return what opens a trial: `example` is had with a controller; after every `look` of them a task is run."""

    @contextmanager
    def opened(folder: Path) -> Iterator[Trial]:
        with served(partial(field, folder)) as arena:
            yield Trial(check=_checks(arena, example, look))

    return opened


def _checks(
    arena: Served[Field], example: Callable[[Field, Any], Coroutine[object, object, None]], look: int
) -> Callable[[Any], None]:
    had = 0

    def check(given: Any) -> None:
        nonlocal had
        had += 1
        arena.call(example(arena.value, given), seconds=60.0)
        if had % look == 0:
            arena.call(arena.value.is_well(), seconds=60.0)

    return check


FOREIGN_AGENT = Target(
    name="attach-controller",
    about="Hello, Result, ... of a foreign agent",
    material=lambda: ATTACH,
    open=_against(_attach, look=50),
    examples=60,
)
FOREIGN_CTL = Target(
    name="execute",
    about="the Execute stream of a foreign ctl",
    material=lambda: EXECUTE,
    open=_against(_execute, look=10),
    examples=60,
)
QUESTIONS = Target(
    name="questions", about="every call with one request", material=lambda: SINGLE, open=_against(_single, look=20)
)
CONTENTS = Target(name="blobs", about="Put", material=lambda: PUT, open=_against(_put, look=20))
ENROLMENT = Target(
    name="enrolment",
    about="GetAuthority, Enroll, PollEnrollment",
    material=_requests,
    open=_against(_enroll, look=20),
)
