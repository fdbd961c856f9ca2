"""connection: where a controller is, and channels to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

from pybible.server.client.identity import OperatorIdentity, load_identity
from pybible.wire.channel import Options, client_credentials, client_options, unix_target
from pybible.wire.errors import UsageError

_UNIX = "unix:"
# A controller on this machine that was started a moment ago is waited for so long, in seconds.
_START_SECONDS = 2.0
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A controller: `unix:PATH`, where the kernel says who calls, or HOST:PORT with an operator's identity."""

    target: str
    identity: OperatorIdentity | None = None
    # Of a Unix socket.
    socket: Path | None = None

    async def listening(self) -> None:
        """Wait a moment for a controller on this machine that has just been started. Whether it came, a call shows."""
        if self.socket is not None and not _answers(self.socket):
            await asyncio.to_thread(self.blocking_listening)

    def blocking_listening(self) -> None:
        """Wait as `listening` does."""
        end = time.monotonic() + _START_SECONDS
        while self.socket is not None and not _answers(self.socket) and time.monotonic() < end:
            # Nothing tells when another process listens.
            time.sleep(_LOOK_SECONDS)

    def channel(self) -> grpc.aio.Channel:
        """Open a channel for asyncio."""
        if self.identity is None:
            return grpc.aio.insecure_channel(self.target, options=self._options())
        return grpc.aio.secure_channel(self.target, _credentials(self.identity), options=self._options())

    def blocking_channel(self) -> grpc.Channel:
        """Open a channel for the commands that make one call."""
        if self.identity is None:
            return grpc.insecure_channel(self.target, options=self._options())
        return grpc.secure_channel(self.target, _credentials(self.identity), options=self._options())

    def _options(self) -> Options:
        return client_options()


def parse_endpoint(text: str, *, identity_folder: Path) -> Endpoint:
    """Read `unix:PATH` or `HOST:PORT`. UsageError when it is neither, ConfigError without an identity."""
    text = text.strip()
    if text.startswith(_UNIX):
        path = Path(text.removeprefix(_UNIX)).expanduser()
        if not path.name:
            raise UsageError(f"'{text}' names no socket", hint="Write unix:PATH.")
        return Endpoint(target=unix_target(path.absolute()), socket=path.absolute())
    host, colon, port = text.rpartition(":")
    if not host or not colon or not port.isdigit():
        raise UsageError(f"'{text}' is not the address of a controller", hint="Write unix:PATH or HOST:PORT.")
    return Endpoint(target=text, identity=load_identity(identity_folder))


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, contextlib.suppress(OSError):
        probe.settimeout(_START_SECONDS)
        probe.connect(str(path))
        return True
    return False


def _credentials(identity: OperatorIdentity) -> grpc.ChannelCredentials:
    return client_credentials(authority=identity.authority, key=identity.key, certificate=identity.certificate)
