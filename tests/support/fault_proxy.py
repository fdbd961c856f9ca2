"""fault_proxy: a TCP proxy that cuts, resets, delays, throttles, stalls, drops and half-opens connections."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from enum import Enum

_CHUNK = 65536
# With this, close() sends RST and forgets what was not sent yet.
_NO_LINGER = struct.pack("ii", 1, 0)


class Way(Enum):
    """A direction: UP is from whoever dialled the proxy to the address behind it."""

    UP = "up"
    DOWN = "down"


class FaultProxy:
    """A running proxy. What is set holds for the connections that are open and for those that come.

    `delay` (seconds) and `rate` (bytes a second, 0: as fast as it goes) are of each direction. `reset_at`: a connection
    that has carried so many bytes in one direction is reset, exactly there; counted for each anew. `refuse`: new
    connections are reset at once. `mute`: new connections are taken, and nobody is behind them.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.delay = 0.0
        self.rate = 0.0
        self.reset_at: dict[Way, int] = {}
        self.refuse = False
        self.mute = False
        # How many connections came so far.
        self.came = 0
        self.address = ""
        # Which of the open connections `cut`, `reset` and `half_open` are about.
        self.pick: Callable[[list[_Link]], list[_Link]] = list
        self._links: set[_Link] = set()
        self._dropped: set[Way] = set()
        self._open = {way: asyncio.Event() for way in Way}
        for event in self._open.values():
            event.set()

    @property
    def links(self) -> int:
        """How many connections are open."""
        return len(self._links)

    def cut(self) -> None:
        """End the connections in good order, on both sides (FIN)."""
        for link in self.pick(list(self._links)):
            link.end(reset=False)

    def reset(self) -> None:
        """Reset the connections, on both sides (RST)."""
        for link in self.pick(list(self._links)):
            link.end(reset=True)

    def half_open(self) -> None:
        """Reset the connections on the side of the address behind the proxy; whoever dialled hears nothing."""
        for link in self.pick(list(self._links)):
            link.half_open()

    def stall(self, *ways: Way) -> None:
        """Carry nothing more in these directions (none named: in both) until `resume`. Nothing is lost."""
        for way in ways or Way:
            self._open[way].clear()

    def resume(self) -> None:
        """Carry everything again; what `drop` has lost stays lost."""
        for event in self._open.values():
            event.set()
        self._dropped.clear()

    def drop(self, *ways: Way) -> None:
        """Lose all that comes in these directions (none named: in both), on connections that are open or come.

        A connection that has lost something is of no more use: it carries nothing more in that direction.
        """
        self._dropped.update(ways or Way)

    async def pass_on(self, link: _Link, way: Way) -> None:
        """Carry one direction of a connection until its end."""
        carried = 0
        lost = False
        while data := await link.read(way):
            if self.delay:
                await asyncio.sleep(self.delay)
            await self._open[way].wait()
            lost = lost or way in self._dropped
            if lost or link.is_half_open:
                continue
            limit = self.reset_at.get(way)
            if limit is not None and carried + len(data) >= limit:
                await link.write(way, data[: limit - carried])
                # What was written is to arrive: a reset overtakes it.
                await link.flushed(way)
                link.end(reset=True)
                return
            carried += len(data)
            await link.write(way, data)
            if self.rate:
                await asyncio.sleep(len(data) / self.rate)
        if not (lost or link.is_half_open):
            link.finish(way)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        self.came += 1
        if self.refuse:
            _reset(writer)
            return
        try:
            there, back = await asyncio.open_connection(*self.target)
        except OSError:
            _reset(writer)
            return
        link = _Link({Way.UP: reader, Way.DOWN: there}, {Way.UP: back, Way.DOWN: writer})
        if self.mute:
            link.half_open()
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as group:
                for way in Way:
                    group.create_task(self.pass_on(link, way))
        finally:
            self._links.discard(link)
            link.end(reset=False)


class _Link:
    """Both ends of one connection. `writers` by the direction that they write."""

    def __init__(self, readers: dict[Way, asyncio.StreamReader], writers: dict[Way, asyncio.StreamWriter]) -> None:
        self.is_half_open = False
        self._readers = readers
        self._writers = writers

    async def read(self, way: Way) -> bytes:
        """Return what comes next, nothing at the end."""
        with suppress(OSError):
            return await self._readers[way].read(_CHUNK)
        return b""

    async def write(self, way: Way, data: bytes) -> None:
        """Send, as far as there is somebody to send to."""
        with suppress(OSError):
            self._writers[way].write(data)
            await self._writers[way].drain()

    async def flushed(self, way: Way) -> None:
        """Wait until the other end's system has what was written."""
        connection: socket.socket = self._writers[way].get_extra_info("socket")
        with suppress(OSError):
            while _under_way(connection):  # noqa: ASYNC110  the system tells nobody
                await asyncio.sleep(0.001)

    def finish(self, way: Way) -> None:
        """Say that this direction is at its end."""
        with suppress(OSError):
            if self._writers[way].can_write_eof():
                self._writers[way].write_eof()

    def half_open(self) -> None:
        """End it on the far side alone."""
        self.is_half_open = True
        _reset(self._writers[Way.UP])

    def end(self, *, reset: bool) -> None:
        """End it on both sides."""
        for writer in self._writers.values():
            if reset:
                _reset(writer)
            else:
                writer.close()


def _under_way(connection: socket.socket) -> int:
    """Return how many segments the other end has not acknowledged: tcpi_unacked, at byte 24 of TCP_INFO."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int(struct.unpack_from("I", info, 24)[0])


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if not writer.transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    writer.transport.abort()


@asynccontextmanager
async def fault_proxy(target: str) -> AsyncIterator[FaultProxy]:
    """Run one on a free port of the loopback interface, before `target` (HOST:PORT)."""
    host, _, port = target.rpartition(":")
    proxy = FaultProxy(host, int(port))
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        proxy.address = "{}:{}".format(*server.sockets[0].getsockname())
        try:
            yield proxy
        finally:
            proxy.resume()
            proxy.pick = list
            proxy.reset()
