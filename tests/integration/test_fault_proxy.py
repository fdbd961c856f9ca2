"""test_fault_proxy: what the proxy does to a connection is what its two ends see."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tests.support.fault_proxy import FaultProxy, Way, fault_proxy

SECONDS = 10.0
MOMENT = 0.1


@dataclass(slots=True)
class Echo:
    """What the server behind the proxy has seen."""

    got: bytearray = field(default_factory=bytearray)
    ends: list[str] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def has(self, count: int) -> bytes:
        """Wait until so much came, and return all."""
        while len(self.got) < count:
            self.more.clear()
            await self.more.wait()
        return bytes(self.got)


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[FaultProxy, Echo, asyncio.StreamReader, asyncio.StreamWriter]]:
    """Give a proxy, the server behind it, and a connection through it that has carried a word already."""
    echo = Echo()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                echo.got += data
                echo.more.set()
                writer.write(data)
                await writer.drain()
            echo.ends.append("end")
        except ConnectionResetError:
            echo.ends.append("reset")
        writer.close()
        echo.ended.set()

    async with asyncio.timeout(SECONDS), await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        target = "{}:{}".format(*server.sockets[0].getsockname())
        async with fault_proxy(target) as proxy:
            host, _, port = proxy.address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            try:
                yield proxy, echo, reader, writer
            finally:
                writer.transport.abort()


async def quiet(reader: asyncio.StreamReader) -> bool:
    """Whether nothing comes for a moment, not even an end."""
    try:
        async with asyncio.timeout(MOMENT):
            await reader.read(1)
    except TimeoutError:
        return True
    return False


async def test_a_cut_is_an_end_for_both() -> None:
    async with connected() as (proxy, echo, reader, _):
        proxy.cut()
        assert await reader.read() == b""
        await echo.ended.wait()
        assert echo.ends == ["end"]


async def test_a_reset_is_one_for_both() -> None:
    async with connected() as (proxy, echo, reader, _):
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await echo.ended.wait()
        assert echo.ends == ["reset"]


@pytest.mark.parametrize("at", [1, 7, 100_000])
async def test_a_connection_is_reset_at_the_byte(at: int) -> None:
    async with connected() as (proxy, echo, reader, writer):
        proxy.reset_at = {Way.UP: 5 + at}
        writer.write(b"x" * 200_000)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await reader.readexactly(200_000)
        await echo.ended.wait()
        assert len(echo.got) == 5 + at


async def test_bytes_come_late() -> None:
    async with connected() as (proxy, _, reader, writer):
        proxy.delay = 0.05
        began = time.monotonic()
        writer.write(b"later")
        assert await reader.readexactly(5) == b"later"
        assert time.monotonic() - began >= 0.1


async def test_bytes_come_slowly() -> None:
    async with connected() as (proxy, _, reader, writer):
        proxy.rate = 1_000_000
        began = time.monotonic()
        writer.write(b"x" * 200_000)
        await reader.readexactly(200_000)
        assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize("way", list(Way))
async def test_one_direction_stalls_and_nothing_is_lost(way: Way) -> None:
    async with connected() as (proxy, echo, reader, writer):
        proxy.stall(way)
        writer.write(b"wait")
        assert await quiet(reader)
        wanted = b"hello" if way is Way.UP else b"hellowait"
        assert await echo.has(len(wanted)) == wanted
        proxy.resume()
        assert await reader.readexactly(4) == b"wait"


@pytest.mark.parametrize("way", list(Way))
async def test_one_direction_drops_what_comes(way: Way) -> None:
    async with connected() as (proxy, echo, reader, writer):
        proxy.drop(way)
        writer.write(b"lost")
        assert await quiet(reader)
        proxy.resume()
        writer.write(b"more")
        assert await quiet(reader)
        wanted = b"hello" if way is Way.UP else b"hellolostmore"
        assert await echo.has(len(wanted)) == wanted


async def test_a_half_open_connection_is_silent() -> None:
    async with connected() as (proxy, echo, reader, writer):
        proxy.half_open()
        await echo.ended.wait()
        assert echo.ends == ["reset"]
        writer.write(b"anybody?")
        assert await quiet(reader)


async def test_new_connections_are_refused_or_meet_nobody() -> None:
    async with connected() as (proxy, _, _, _):
        host, _, port = proxy.address.rpartition(":")
        proxy.refuse = True
        reader, writer = await asyncio.open_connection(host, int(port))
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        proxy.refuse, proxy.mute = False, True
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"anybody?")
        assert await quiet(reader)
        writer.transport.abort()
        assert proxy.came == 3


async def test_nobody_behind_the_proxy_is_a_reset() -> None:
    async with fault_proxy("127.0.0.1:1") as proxy:
        host, _, port = proxy.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
