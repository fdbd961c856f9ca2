"""bounds: what the ports bear from peers that nobody knows yet: how many connections, how much, and for how long.

gRPC keeps to these before any of our code is asked. What it can't tell apart, one address from another, is left to a
firewall (docs/how-to/install-the-daemons.md), and to the limits of each call where the address is known.
"""

from __future__ import annotations

import resource

from pybible.server.controller.config import ControllerConfig
from pybible.wire.channel import Options

# Calls at once on one connection to the enrolment port, where a host makes one after the other. Not for the others: of
# more calls than that gRPC fails some, whatever the two ends agreed on.
_ENROLMENT_CALLS = 16
# A connection with no call is closed after so many seconds; who needs it opens another.
_IDLE_SECONDS = 300.0
# A key, a token, a name and a few facts are smaller.
_ENROLMENT_BYTES = 64 * 1024


def agents_port(config: ControllerConfig) -> Options:
    """Return the options of the port for agents."""
    return [
        *_handshakes(config),
        ("grpc.max_allowed_incoming_connections", min(config.connections, _files() * 3 // 4)),
        ("grpc.max_connection_idle_ms", _milliseconds(_IDLE_SECONDS)),
    ]


def operators_port(config: ControllerConfig) -> Options:
    """Return the options of the port for operators with a certificate. A run keeps two connections."""
    return [
        *_handshakes(config),
        ("grpc.max_allowed_incoming_connections", min(config.operators_connections, _files() // 8)),
        ("grpc.max_connection_idle_ms", _milliseconds(_IDLE_SECONDS)),
    ]


def enrolment_port(config: ControllerConfig) -> Options:
    """Return the options of the port for hosts without a certificate: nobody stays there."""
    return [
        *_handshakes(config),
        ("grpc.max_allowed_incoming_connections", min(config.enroll_connections, _files() // 8)),
        ("grpc.max_concurrent_streams", _ENROLMENT_CALLS),
        ("grpc.max_receive_message_length", _ENROLMENT_BYTES),
        ("grpc.max_connection_idle_ms", _milliseconds(2 * config.handshake_timeout)),
        ("grpc.max_connection_age_ms", _milliseconds(4 * config.handshake_timeout)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(config.handshake_timeout)),
    ]


def _handshakes(config: ControllerConfig) -> Options:
    # From the connection on until TLS and HTTP/2 are agreed on.
    return [("grpc.server_handshake_timeout_ms", _milliseconds(config.handshake_timeout))]


def _files() -> int:
    """Return how many files and connections this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
