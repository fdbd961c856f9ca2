"""test_door: users of the controller's machine at its sockets: who they are is what the kernel says."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import os
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pybible.server.client.connection import Endpoint
from pybible.server.client.door import OpenDoor
from pybible.server.controller import parts, ports
from pybible.server.controller.door import VISITORS_OF_ONE, Door
from pybible.server.controller.local_users import LocalUser, Peer
from pybible.server.controller.services.access import ACCESS, READINESS
from pybible.server.controller.tickets import Tickets
from pybible.v1 import fleet_pb2, fleet_pb2_grpc
from pybible.wire.channel import client_options, ticket_credentials, unix_target
from pybible.wire.errors import AccessDenied, ConfigError, ConnectionFailed
from pybible.wire.identity import OperatorRole
from pybible.wire.tickets import DoorAnswer, door_path
from tests.support.controller import RunningController, controller, local_operator

ADA = 54321
# Any group but root's, in which she is not.
GROUP = next(group for group in grp.getgrall() if group.gr_gid not in {0, ADA})
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


class Visitor:
    """A connection to a door."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def answer(self) -> DoorAnswer:
        return DoorAnswer.decode(await self._reader.readline())

    async def again(self) -> DoorAnswer:
        self.writer.write(b"x")
        return await self.answer()

    async def gone(self) -> bool:
        return not await self._reader.read(1)

    async def leave(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


@asynccontextmanager
async def visiting(path: Path) -> AsyncIterator[Visitor]:
    async with asyncio.timeout(20):
        visitor = Visitor(*await asyncio.open_unix_connection(door_path(path)))
        try:
            yield visitor
        finally:
            await visitor.leave()


class CountedTickets(Tickets):
    """Says when none is in force any more."""

    def __init__(self) -> None:
        super().__init__()
        self.empty = asyncio.Event()

    def forget(self, ticket: str) -> None:
        super().forget(ticket)
        if not len(self):
            self.empty.set()


class House:
    """A door without a controller behind it. `role` is that of whoever comes."""

    def __init__(self) -> None:
        self.tickets = CountedTickets()
        self.role: OperatorRole | None = OperatorRole.RUNNER
        self.refused: list[tuple[LocalUser, str]] = []
        self.peers: list[Peer] = []

    def find(self, peer: Peer) -> LocalUser:
        self.peers.append(peer)
        return LocalUser(uid=ADA, pid=peer.pid, name="ada", role=self.role)

    async def emptied(self) -> None:
        """Wait until the last ticket is forgotten."""
        async with asyncio.timeout(10):
            await self.tickets.empty.wait()
        assert not len(self.tickets)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House()
    door = Door(house.tickets, house.find, refused=lambda user, why: house.refused.append((user, why)))
    async with door.open(ports.bind_door(tmp_path / "c.sock")):
        yield house


async def test_whoever_has_a_role_gets_a_ticket_that_ends_with_his_connection(house: House, tmp_path: Path) -> None:
    async with visiting(tmp_path / "c.sock") as visitor:
        answer = await visitor.answer()
        user = house.tickets.holder(answer.ticket)
        assert user == LocalUser(uid=ADA, pid=os.getpid(), name="ada", role=OperatorRole.RUNNER)
        assert house.peers == [Peer(pid=os.getpid(), uid=os.geteuid(), gid=os.getegid())]
    await house.emptied()


async def test_whoever_has_none_is_told_and_sent_away(house: House, tmp_path: Path) -> None:
    house.role = None
    async with visiting(tmp_path / "c.sock") as visitor:
        answer = await visitor.answer()
        assert await visitor.gone()
    assert answer.refusal == "user 'ada' (uid 54321) has no role here"
    assert '[local_users], for example runner = ["ada"]' in answer.hint
    assert [(user.uid, why) for user, why in house.refused] == [(ADA, answer.refusal)]
    assert not len(house.tickets)


async def test_a_new_ticket_leaves_the_last_one_in_force_and_no_older_one(house: House, tmp_path: Path) -> None:
    async with visiting(tmp_path / "c.sock") as visitor:
        given = [(await visitor.answer()).ticket, (await visitor.again()).ticket]
        assert all(house.tickets.holder(ticket) for ticket in given)
        given += [(await visitor.again()).ticket for _ in range(5)]
        assert [bool(house.tickets.holder(ticket)) for ticket in given] == [False] * 5 + [True] * 2


async def test_a_role_that_was_taken_away_is_gone_with_the_next_ticket(house: House, tmp_path: Path) -> None:
    async with visiting(tmp_path / "c.sock") as visitor:
        await visitor.answer()
        house.role = None
        assert (await visitor.again()).refusal
        await house.emptied()


async def test_one_user_can_not_take_all_the_room(house: House, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(VISITORS_OF_ONE):
            visitor = await stack.enter_async_context(visiting(tmp_path / "c.sock"))
            assert (await visitor.answer()).ticket
        async with visiting(tmp_path / "c.sock") as visitor:
            assert (await visitor.answer()).refusal == "too many operators are connected already"
            assert await visitor.gone()
        assert len(house.tickets) == VISITORS_OF_ONE
    await house.emptied()
    async with visiting(tmp_path / "c.sock") as visitor:
        assert (await visitor.answer()).ticket


async def test_a_bug_at_the_door_costs_one_visit(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(house.tickets, "issue", lambda _user, *, lifetime: lifetime / 0)
        async with visiting(tmp_path / "c.sock") as visitor:
            assert await visitor.gone()
    async with visiting(tmp_path / "c.sock") as visitor:
        assert (await visitor.answer()).ticket


async def test_what_is_no_ticket_request_is_one_all_the_same(house: House, tmp_path: Path) -> None:
    async with visiting(tmp_path / "c.sock") as visitor:
        await visitor.answer()
        visitor.writer.write(b"\x00\xff" * 100_000)
        for _ in range(10):
            assert (await visitor.answer()).ticket
    await house.emptied()


async def refusal(channel: grpc.aio.Channel, method: str) -> str:
    """Call any rpc with an empty message: who calls is decided before anything is read."""
    call = channel.unary_unary(f"/{method}", request_serializer=bytes, response_deserializer=bytes)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"", timeout=10)
    return f"{caught.value.code().name}: {caught.value.details()}"


def raw_channel(running: RunningController) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(unix_target(running.socket_path), options=client_options())


async def test_the_socket_without_a_ticket_is_good_for_nothing_but_readiness(tmp_path: Path) -> None:
    async with controller(tmp_path) as running, raw_channel(running) as channel:
        for method in ACCESS.keys() - READINESS:
            if "EnrollmentService" in method or "AgentService" in method:
                continue
            assert (await refusal(channel, method)).startswith("UNAUTHENTICATED: a call on this socket needs a ticket")
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=""))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_ticket_is_nobodys_once_the_door_was_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tickets = CountedTickets()
    monkeypatch.setattr(parts, "Tickets", lambda: tickets)
    async with controller(tmp_path) as running:
        async with visiting(running.socket_path) as visitor:
            ticket = (await visitor.answer()).ticket
            assert await whoami(running, ticket) == (local_operator(), "admin")
        async with asyncio.timeout(10):
            await tickets.empty.wait()
        with pytest.raises(grpc.aio.AioRpcError, match="not good any more"):
            await whoami(running, ticket)


async def whoami(running: RunningController, ticket: str) -> tuple[str, str]:
    credentials = ticket_credentials(lambda: ticket)
    async with grpc.aio.secure_channel(
        unix_target(running.socket_path), credentials, options=client_options()
    ) as channel:
        answer = await fleet_pb2_grpc.FleetServiceStub(channel).WhoAmI(fleet_pb2.WhoAmIRequest())
    return answer.operator, answer.role


async def test_ctl_asks_for_a_new_ticket_when_half_of_its_time_is_over(tmp_path: Path) -> None:
    house = House()
    door = Door(house.tickets, house.find, refused=lambda _user, _why: None, lifetime=0.0)
    async with door.open(ports.bind_door(tmp_path / "c.sock")):
        with contextlib.closing(OpenDoor(tmp_path / "c.sock")) as opened:
            await asyncio.to_thread(opened.enter)
            tickets = [await asyncio.to_thread(opened.ticket) for _ in range(3)]
    assert len(set(tickets)) == 3
    house = House()
    async with (
        Door(house.tickets, house.find, refused=lambda _user, _why: None).open(ports.bind_door(tmp_path / "d.sock")),
    ):
        with contextlib.closing(OpenDoor(tmp_path / "d.sock")) as opened:
            await asyncio.to_thread(opened.enter)
            assert len({await asyncio.to_thread(opened.ticket) for _ in range(3)}) == 1


@contextmanager
def somebody_else(*, uid: int = ADA, gid: int = ADA) -> Iterator[None]:
    """Be that user for the system, as long as nothing else is done here."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that others may enter: pytest's are its owner's alone."""
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o755)
        yield Path(path)


async def come_as(path: Path, *, uid: int = ADA, gid: int) -> DoorAnswer:
    """Return what the door of the socket `path` says to that user."""
    with socket.socket(socket.AF_UNIX) as connection:
        with somebody_else(uid=uid, gid=gid):
            connection.connect(str(door_path(path)))
        reader, writer = await asyncio.open_connection(sock=connection)
        async with asyncio.timeout(10):
            answer = DoorAnswer.decode(await reader.readline())
        writer.close()
        await writer.wait_closed()
        return answer


@needs_root
async def test_the_group_of_the_socket_lets_its_members_come_and_nobody_else(tmp_path: Path, folder: Path) -> None:
    settings = {"socket": str(folder / "c.sock"), "socket_group": GROUP.gr_name}
    async with controller(tmp_path, **settings) as running:
        for path in (running.socket_path, door_path(running.socket_path)):
            info = path.stat()
            assert (stat.S_IMODE(info.st_mode), info.st_gid) == (0o660, GROUP.gr_gid)
        with pytest.raises(PermissionError):
            await come_as(running.socket_path, gid=ADA)
        answer = await come_as(running.socket_path, gid=GROUP.gr_gid)
        assert answer.refusal == f"user 'uid:{ADA}' (uid {ADA}) has no role here"


@needs_root
@pytest.mark.parametrize("entry", [f"uid:{ADA}", f"group:{GROUP.gr_name}"])
async def test_a_user_of_the_machine_has_the_role_of_the_configuration(
    tmp_path: Path, folder: Path, entry: str
) -> None:
    settings = {"socket": str(folder / "c.sock"), "socket_group": GROUP.gr_name, "local_users": {"viewer": [entry]}}
    async with controller(tmp_path, **settings) as running:
        with socket.socket(socket.AF_UNIX) as connection:
            with somebody_else(gid=GROUP.gr_gid):
                connection.connect(str(door_path(running.socket_path)))
            reader, writer = await asyncio.open_connection(sock=connection.dup())
        ticket = DoorAnswer.decode(await reader.readline()).ticket
        credentials = ticket_credentials(lambda: ticket)
        async with grpc.aio.secure_channel(
            unix_target(running.socket_path), credentials, options=client_options()
        ) as channel:
            stub = fleet_pb2_grpc.FleetServiceStub(channel)
            answer = await stub.WhoAmI(fleet_pb2.WhoAmIRequest())
            assert (answer.operator, answer.role) == (f"unix:uid:{ADA}", "viewer")
            assert answer.address == f"unix uid={ADA} pid={os.getpid()}"
            with pytest.raises(grpc.aio.AioRpcError, match="a viewer may not call"):
                await stub.CreateToken(fleet_pb2.CreateTokenRequest())
        writer.close()
        await writer.wait_closed()


async def test_a_group_that_there_is_not_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="socket_group: there is no group 'no such'"):
        async with controller(tmp_path, socket_group="no such"):
            pass


async def test_a_user_without_a_role_is_told_by_ctl(tmp_path: Path) -> None:
    house = House()
    house.role = None
    door = Door(house.tickets, house.find, refused=lambda _user, _why: None)
    async with door.open(ports.bind_door(tmp_path / "c.sock")):
        with pytest.raises(AccessDenied, match=r"refuses: user 'ada' \(uid 54321\) has no role here\n.*runner = "):
            async with Endpoint.local(tmp_path / "c.sock").entered():
                pass


async def test_an_operator_need_not_wait_for_a_controller_that_hangs(tmp_path: Path) -> None:
    with ports.bind_door(tmp_path / "c.sock") as listener:
        async with asyncio.timeout(10):
            entering = asyncio.ensure_future(Endpoint.local(tmp_path / "c.sock").entered().__aenter__())
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            with connection:
                entering.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await entering
                assert not await asyncio.get_running_loop().sock_recv(connection, 1)


async def test_no_controller_is_told_by_ctl(tmp_path: Path) -> None:
    with pytest.raises(ConnectionFailed, match="can't be reached: No such file or directory"):
        async with Endpoint.local(tmp_path / "c.sock").entered():
            pass
