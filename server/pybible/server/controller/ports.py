"""ports: binds gRPC servers to addresses, with a reason when that fails; and room for the connections that come."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import grpc
import grpc.aio

from pybible.server.controller.config import Address
from pybible.server.controller.pki.authority import KeyPair
from pybible.server.controller.requests import Reading
from pybible.server.controller.server import server
from pybible.server.controller.state import prepare_socket, share_socket
from pybible.wire.channel import Options, server_options, unix_target
from pybible.wire.errors import ConfigError
from pybible.wire.tickets import door_path

_WAITING_VISITORS = 128


def new_server(own: Options | None = None) -> grpc.aio.Server:
    """Return a server with the options of every port, and its own over them."""
    options = {**dict(server_options()), **dict(own or [])}
    return server(list(options.items()), [Reading()])


def raise_file_limit() -> None:
    """Let this process have as many connections as it may: the usual limit is low, for the sake of old programs."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Shown(Protocol):
    """Whose certificate a port shows. It may be another one at any time."""

    @property
    def server(self) -> KeyPair:
        """The key and the certificate for the next connection."""


def credentials(shown: Shown, *, client_authority: bytes | None = None) -> grpc.ServerCredentials:
    """Return a port's TLS credentials. With a client authority (PEM) every caller must show a certificate of it."""
    used = shown.server

    def configuration() -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([(used.key, used.certificate)], client_authority)

    def newer() -> grpc.ServerCertificateConfiguration | None:
        # gRPC asks before every handshake, on threads of its own.
        nonlocal used
        if shown.server is used:
            return None
        used = shown.server
        return configuration()

    return grpc.dynamic_ssl_server_credentials(
        configuration(),
        newer,  # type: ignore[arg-type]  # None: as before, which the stubs don't know
        require_client_authentication=client_authority is not None,
    )


def bind(server: grpc.aio.Server, address: Address, credentials: grpc.ServerCredentials) -> Address:
    """Bind a TLS port and return its address, the port chosen if it was 0. ConfigError when it can't be had."""
    try:
        port = server.add_secure_port(str(address), credentials)
    except RuntimeError:
        port = 0
    if not port:
        raise ConfigError(f"can't listen on {address}: {_why(address)}")
    return Address(address.host, port)


def bind_socket(server: grpc.aio.Server, path: Path, *, group: str = "") -> None:
    """Bind the operators' socket, for its owner and a group. ConfigError when it can't be had."""
    prepare_socket(path, group=group)
    with _private(path, group):
        server.add_insecure_port(unix_target(path))


def bind_door(path: Path, *, group: str = "") -> socket.socket:
    """Bind the door of the operators' socket `path`, for the same people. ConfigError when it can't be had."""
    door = door_path(path)
    prepare_socket(door, group=group)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _private(door, group):
            listener.bind(str(door))
        listener.setblocking(False)
        listener.listen(_WAITING_VISITORS)
    except BaseException:
        listener.close()
        raise
    return listener


@contextmanager
def _private(path: Path, group: str) -> Iterator[None]:
    """Let the block make a socket that is its owner's alone, and give it to the group then."""
    # There must be no moment in which the file's mode is wider.
    before = os.umask(0o177)
    try:
        yield
        share_socket(path, group)
    except (RuntimeError, OSError) as error:
        raise ConfigError(f"can't listen on {path}: {error}") from error
    finally:
        os.umask(before)


def _why(address: Address) -> str:
    """Return what the system says to the same wish: gRPC keeps it to itself."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(place)
            probe.listen()
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return "the port is taken"
