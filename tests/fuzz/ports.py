"""ports: raw bytes on a controller's ports and socket: noise, broken TLS, and broken HTTP/2 inside good TLS."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from hypothesis import strategies as st

from pybible.wire.identity import OperatorRole
from tests.fuzz.controllers import Field, field
from tests.fuzz.hunt import Target, Trial
from tests.fuzz.material import mutated
from tests.fuzz.service import Served, served
from tests.support.controller import Holder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_LOOK = 25
# How long the other end may take to answer before the next example; it need not.
_SECONDS = 0.02
_KINDS = 12


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream & 0x7FFFFFFF) + payload


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def call(path: bytes) -> bytes:
    """Return the headers of a call of the method of that name, as a frame."""
    pairs = (
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":path", path),
        (b":authority", b"a"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    )
    return _frame(1, 4, 1, b"".join(_literal(*pair) for pair in pairs))


_PATHS = (
    b"/pybible.v1.AgentService/Attach",
    b"/pybible.v1.EnrollmentService/Enroll",
    b"/pybible.v1.RunService/Execute",
    b"/pybible.v1.FleetService/ListAgents",
    b"/nothing",
    b"/\xff\xff",
    b"x",
)
SETTINGS = _frame(4, 0, 0, b"")
_message = st.binary(max_size=40).map(lambda body: _frame(0, 0, 1, b"\0" + struct.pack(">I", len(body)) + body))
_any_frame = st.builds(_frame, st.integers(0, _KINDS), st.integers(0, 255), st.integers(0, 5), st.binary(max_size=40))
_frames = st.lists(st.sampled_from(_PATHS).map(call) | _message | _any_frame, max_size=6).map(
    lambda frames: PREFACE + SETTINGS + b"".join(frames)
)
HTTP = _frames | mutated(_frames)


def _client_hello() -> bytes:
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context.set_alpn_protocols(["h2"])
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="controller").do_handshake()
    return outgoing.read()


HELLO = _client_hello()
_cut = st.integers(0, len(HELLO)).map(lambda at: HELLO[:at])
NOISE = st.binary(max_size=200) | _cut | mutated(st.just(HELLO)) | HTTP
# Which port; whether inside a TLS connection that is good; what.
EXAMPLES = st.tuples(st.sampled_from(["agents", "enrolment", "operators", "socket"]), st.booleans(), NOISE | HTTP)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


@contextmanager
def _connected(arena: Field, port: str, context: ssl.SSLContext | None) -> Iterator[socket.socket]:
    if port == "socket":
        with socket.socket(socket.AF_UNIX) as plain:
            plain.settimeout(5)
            plain.connect(str(arena.running.socket_path))
            yield plain
        return
    running = arena.running
    addresses = {
        "agents": running.agent_address,
        "enrolment": running.enroll_address,
        "operators": running.operator_address,
    }
    with socket.create_connection(_address(addresses[port]), timeout=5) as plain:
        if context is None:
            yield plain
            return
        with context.wrap_socket(plain) as wrapped:
            yield wrapped


def _context(holder: Holder, folder: Path) -> ssl.SSLContext:
    """Return what lets this process in as `holder`."""
    for name in ("key", "certificate"):
        (folder / f"{name}.pem").write_bytes(getattr(holder, name))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


def _send(arena: Field, contexts: Mapping[str, ssl.SSLContext], example: tuple[str, bool, bytes]) -> None:
    port, inside, data = example
    # The other end may hang up whenever it likes.
    with suppress(OSError), _connected(arena, port, contexts.get(port) if inside else None) as connection:
        connection.sendall(data)
        connection.settimeout(_SECONDS)
        while connection.recv(65536):
            pass


@contextmanager
def _opened(folder: Path) -> Iterator[Trial]:
    with served(partial(field, folder)) as arena:
        viewer = arena.call(arena.value.running.enrol("viewer", operator_role=OperatorRole.VIEWER), seconds=60.0)
        agent = _context(arena.value.foreign, folder)
        contexts = {"agents": agent, "enrolment": agent, "operators": _context(viewer, folder)}
        yield Trial(check=_checks(arena, contexts))


def _checks(arena: Served[Field], contexts: Mapping[str, ssl.SSLContext]) -> partial[None]:
    sent = iter(range(2**62))

    def check(example: tuple[str, bool, bytes]) -> None:
        _send(arena.value, contexts, example)
        if next(sent) % _LOOK == _LOOK - 1:
            arena.call(arena.value.is_well(), seconds=60.0)

    return partial(check)


RAW = Target(
    name="ports", about="raw bytes on the ports and the socket", material=lambda: EXAMPLES, open=_opened, examples=100
)
