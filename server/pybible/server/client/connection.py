"""connection: where a controller is, and channels to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

from pybible.server.client.door import OpenDoor
from pybible.server.client.identity import OperatorIdentity, load_identity
from pybible.server.engine.model.paths import expanded
from pybible.wire.channel import client_credentials, client_options, ticket_credentials, unix_target
from pybible.wire.errors import UsageError

_UNIX = "unix:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """The way in to a controller, for as many channels as are needed."""

    target: str
    credentials: grpc.ChannelCredentials

    def channel(self) -> grpc.aio.Channel:
        """Open a channel for asyncio."""
        return grpc.aio.secure_channel(self.target, self.credentials, options=client_options())

    def blocking_channel(self) -> grpc.Channel:
        """Open a channel for the commands that make one call."""
        return grpc.secure_channel(self.target, self.credentials, options=client_options())


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A controller: a Unix socket, where the kernel says who calls, or HOST:PORT with an operator's identity."""

    target: str
    identity: OperatorIdentity | None = None
    socket: Path | None = None
    # For a controller in this process: it has no need to ask the kernel.
    ticket: str = ""

    @staticmethod
    def local(path: Path, *, ticket: str = "") -> Endpoint:
        """Return the controller at the Unix socket `path`."""
        return Endpoint(target=unix_target(path), socket=path, ticket=ticket)

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[Entrance]:
        """Go in, and out with the block. A controller on this machine that has just been started is waited for.

        ConnectionFailed when there is none, AccessDenied when it lets this user have nothing.
        """
        with self._door() as door:
            if door is not None:
                await asyncio.to_thread(door.enter)
            yield Entrance(target=self.target, credentials=self._credentials(door))

    @contextmanager
    def blocking_entered(self) -> Iterator[Entrance]:
        """Go in as `entered` does."""
        with self._door() as door:
            if door is not None:
                door.enter()
            yield Entrance(target=self.target, credentials=self._credentials(door))

    @contextmanager
    def _door(self) -> Iterator[OpenDoor | None]:
        if self.socket is None or self.ticket:
            yield None
            return
        with contextlib.closing(OpenDoor(self.socket)) as door:
            yield door

    def _credentials(self, door: OpenDoor | None) -> grpc.ChannelCredentials:
        if self.identity is not None:
            identity = self.identity
            return client_credentials(authority=identity.authority, key=identity.key, certificate=identity.certificate)
        return ticket_credentials(door.ticket if door is not None else lambda: self.ticket)


def parse_endpoint(text: str, *, identity_folder: Path) -> Endpoint:
    """Read `unix:PATH` or `HOST:PORT`. UsageError when it is neither, ConfigError without an identity."""
    text = text.strip()
    if text.startswith(_UNIX):
        path = expanded(text.removeprefix(_UNIX))
        if not path.name:
            raise UsageError(f"'{text}' names no socket", hint="Write unix:PATH.")
        return Endpoint.local(path.absolute())
    host, colon, port = text.rpartition(":")
    if not host or not colon or not port.isdigit():
        raise UsageError(f"'{text}' is not the address of a controller", hint="Write unix:PATH or HOST:PORT.")
    return Endpoint(target=text, identity=load_identity(identity_folder))
