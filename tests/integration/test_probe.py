"""test_probe: where nobody answers, an agent asks with a plain connection first, and says what became of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import grpc.aio
import pytest

from pybible.agent import state
from pybible.agent.config import Config
from pybible.agent.daemon import Agent
from pybible.agent.dial import Dialer
from pybible.agent.probe import unreachable
from pybible.v1 import agent_pb2
from pybible.wire.backoff import Backoff
from tests.support.fake_controller import fake_controller
from tests.support.fault_proxy import FaultProxy
from tests.support.processes import until

SECONDS = 20.0


@pytest.fixture
def unused() -> Iterator[str]:
    """Give an address that is nobody's."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


async def test_a_port_that_nobody_listens_on_is_refused(unused: str) -> None:
    assert await unreachable(unused) == f"can't reach {unused}: Connection refused"


async def test_a_connection_that_is_taken_is_closed_at_once() -> None:
    said: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.set_result(await reader.read())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await unreachable(f"127.0.0.1:{port}") == ""
        assert await asyncio.wait_for(said, SECONDS) == b""
        # By a name of which not every address need take it.
        said = asyncio.get_running_loop().create_future()
        assert await unreachable(f"localhost:{port}") == ""
        assert await asyncio.wait_for(said, SECONDS) == b""


async def test_who_does_not_answer_is_not_waited_for_without_end() -> None:
    with socket.socket() as listener, closing(socket.socket()) as first, closing(socket.socket()) as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        # Nobody takes connections, and there is room for no more: what comes now is not answered.
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        target = f"127.0.0.1:{listener.getsockname()[1]}"
        assert await unreachable(target, seconds=0.2) == f"can't reach {target}: no answer within 0.2 s"


async def test_of_many_addresses_each_has_its_reason(monkeypatch: pytest.MonkeyPatch, unused: str) -> None:
    port = int(unused.rpartition(":")[2])
    real = socket.getaddrinfo

    def two(host: str, *given: object, **more: object) -> object:
        if host != "controller.example":
            return real(host, *given, **more)  # type: ignore[arg-type]
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", port)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    told = await unreachable(f"controller.example:{port}")
    assert told == f"can't reach controller.example:{port}: Connection refused (127.0.0.1, 127.0.0.2)"


async def test_a_name_without_an_address_is_told() -> None:
    told = await unreachable("nowhere.invalid:7150")
    assert told.startswith("can't reach nowhere.invalid:7150: the name is not resolved")
    told = await unreachable(f"{'a' * 70}.example:1")
    assert told.startswith(f"can't reach {'a' * 70}.example:1: the name is not resolved: encoding with 'idna'")


@pytest.mark.parametrize("target", ["unix:/run/there.sock", "dns:///there:1", "ipv4:127.0.0.1:1", "", "::1", "a:b"])
async def test_what_only_grpc_understands_is_left_to_it(target: str) -> None:
    assert await unreachable(target) == ""


@asynccontextmanager
async def _dialling(folder: Path, target: str) -> AsyncIterator[tuple[Agent, _Counted]]:
    """Run an agent that tries again and again."""
    async with Agent.start(folder, Config(controller=target, facts_interval=0.0)) as agent:
        counted = _Counted(agent)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(agent.run())
            yield agent, counted
            running.cancel()


class _Counted:
    """The agent's way to the controller, and how often it went by each."""

    def __init__(self, agent: Agent) -> None:
        self.channels = self.probes = 0
        self._channel, self._unreachable = agent.dialer.channel, agent.dialer.unreachable
        agent.dialer.channel = self.channel  # type: ignore[method-assign]
        agent.dialer.unreachable = self.unreachable  # type: ignore[method-assign]
        agent.backoff = Backoff(first=1e-6, limit=0.01)

    def channel(self) -> grpc.aio.Channel:
        self.channels += 1
        return self._channel()

    async def unreachable(self) -> str:
        self.probes += 1
        return await self._unreachable()


async def test_a_controller_that_is_down_costs_one_channel(
    tmp_path: Path, unused: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with fake_controller() as fake:
        folder = fake.enrol(tmp_path / "web01")
    async with _dialling(folder, unused) as (agent, counted):
        await until(lambda: agent.dials >= 20)
    assert (counted.channels, counted.probes >= 18) == (1, True)
    reasons = [record.fields["why"] for record in caplog.records if hasattr(record, "fields")]
    assert f"can't reach {unused}: Connection refused" in reasons


async def test_who_had_a_session_dials_again_without_a_probe(tmp_path: Path) -> None:
    async with (
        fake_controller() as fake,
        _dialling(fake.enrol(tmp_path / "web01"), fake.address) as (agent, counted),
    ):
        for _ in range(3):
            session = await fake.session()
            await session.send(reconnect=agent_pb2.Reconnect())
        await fake.session()
        assert (agent.dials, counted.channels, counted.probes) == (4, 4, 0)


async def test_who_is_turned_away_does_not_probe(tmp_path: Path) -> None:
    async with fake_controller() as fake:
        fake.deny = agent_pb2.Deny(code=agent_pb2.Deny.CODE_OVERLOADED, message="later")
        async with _dialling(fake.enrol(tmp_path / "web01"), fake.address) as (agent, counted):
            await until(lambda: agent.dials >= 4)
    assert (counted.channels >= 3, counted.probes) == (True, 0)


async def test_a_controller_that_is_there_again_is_found(tmp_path: Path) -> None:
    async with fake_controller() as fake:
        with socket.socket() as port:
            port.bind(("127.0.0.1", 0))
            target = "{}:{}".format(*port.getsockname())
            async with _dialling(fake.enrol(tmp_path / "web01"), target) as (_agent, counted):
                await until(lambda: counted.probes >= 3)
                assert counted.channels == 1
                host, _, number = fake.address.rpartition(":")
                async with await asyncio.start_server(FaultProxy(host, int(number)).serve, sock=port):
                    await fake.session()
                    assert counted.channels == 2


async def test_behind_a_proxy_there_is_no_probe(tmp_path: Path, unused: str) -> None:
    async with fake_controller() as fake:
        folder = fake.enrol(tmp_path / "web01")
    identity = state.load_identity(folder)
    assert await Dialer(identity, controller=unused).unreachable()
    assert not await Dialer(identity, controller=unused, proxy=f"http://{unused}").unreachable()
