"""door: the socket beside the operators' own where the kernel says who connects, and he gets a ticket for his calls."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from pybible.server.controller.beside import beside
from pybible.server.controller.local_users import LocalUser, Peer
from pybible.server.controller.tickets import LIFETIME, Tickets
from pybible.wire.logs import fields
from pybible.wire.tickets import DoorAnswer

log = logging.getLogger(__name__)

# Connections that may be open at once: of all, and of one user.
VISITORS = 1024
VISITORS_OF_ONE = 256
# Users that are looked up at once: threads are there for more than that.
_LOOKUPS = 4
_SEND_SECONDS = 5.0
# After an error that is not of one connection: no descriptor is free.
_PAUSE_SECONDS = 1.0
_CREDENTIALS = struct.Struct("iII")
_WHO = "An admin gives roles in the controller's configuration: under [local_users], for example runner = "


class Door:
    """Lets users of this machine in. `find` says who a peer is; `refused` is told who was not let in, and why."""

    def __init__(
        self,
        tickets: Tickets,
        find: Callable[[Peer], LocalUser],
        *,
        refused: Callable[[LocalUser, str], None],
        lifetime: float = LIFETIME,
    ) -> None:
        self._tickets = tickets
        self._lifetime = lifetime
        self._find = find
        self._refused = refused
        self._visitors: Counter[int] = Counter()
        self._lookups = asyncio.Semaphore(_LOOKUPS)

    @asynccontextmanager
    async def open(self, listener: socket.socket) -> AsyncIterator[None]:
        """Serve the socket, which listens and does not block, as long as the block lasts, and close it."""
        with listener:
            async with beside(self._accept(listener), name="door"):
                yield

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    connection, _ = await loop.sock_accept(listener)
                except OSError as error:
                    log.warning("door: can't accept", extra=fields(error=str(error)))
                    await asyncio.sleep(_PAUSE_SECONDS)
                    continue
                group.create_task(self._serve(connection))

    async def _serve(self, connection: socket.socket) -> None:
        """Answer one visitor until he goes."""
        with connection:
            try:
                connection.setblocking(False)
                peer = _peer(connection)
                with self._counted(peer.uid) as counted:
                    if counted:
                        await self._answer(connection, peer)
                    else:
                        await _say(connection, DoorAnswer(refusal="too many operators are connected already"))
            except (OSError, TimeoutError) as error:
                # He left, or does not read.
                log.debug("door: a visitor is gone", extra=fields(error=str(error)))
            except Exception:
                log.exception("door: a visitor was not served")

    @contextmanager
    def _counted(self, uid: int) -> Iterator[bool]:
        """Count a visitor while the block runs. False when there is no room for him."""
        if self._visitors.total() >= VISITORS or self._visitors[uid] >= VISITORS_OF_ONE:
            yield False
            return
        self._visitors[uid] += 1
        try:
            yield True
        finally:
            self._visitors[uid] -= 1
            if not self._visitors[uid]:
                del self._visitors[uid]

    async def _answer(self, connection: socket.socket, peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        # The last is good still while calls with it may be on their way.
        given: list[str] = []
        try:
            asked = b"\n"
            while asked:
                # In a thread: the user database may be a server far away.
                async with self._lookups:
                    user = await asyncio.to_thread(self._find, peer)
                if user.role is None:
                    await _say(connection, self._refusal(user))
                    return
                given.append(self._tickets.issue(user, lifetime=self._lifetime))
                for old in given[:-2]:
                    self._tickets.forget(old)
                del given[:-2]
                await _say(connection, DoorAnswer(ticket=given[-1], seconds=self._lifetime))
                asked = await loop.sock_recv(connection, 64)
        finally:
            for ticket in given:
                self._tickets.forget(ticket)

    def _refusal(self, user: LocalUser) -> DoorAnswer:
        why = f"user '{user.entry}' (uid {user.uid}) has no role here"
        self._refused(user, why)
        return DoorAnswer(refusal=why, hint=f'{_WHO}["{user.entry}"].')


async def _say(connection: socket.socket, answer: DoorAnswer) -> None:
    async with asyncio.timeout(_SEND_SECONDS):
        await asyncio.get_running_loop().sock_sendall(connection, answer.encode())


def _peer(connection: socket.socket) -> Peer:
    """Return who connected, as the kernel kept it then."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(found)
    return Peer(pid=pid, uid=uid, gid=gid)
