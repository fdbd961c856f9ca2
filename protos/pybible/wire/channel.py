"""channel: the gRPC options and TLS settings of both ends, each measured: docs/explanation/wire.md says how."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

import grpc

from pybible.wire.identity import CONTROLLER_NAME
from pybible.wire.importing import check_told
from pybible.wire.limits import BLOB_CHUNK_BYTES as BLOB_CHUNK_BYTES
from pybible.wire.limits import INLINE_ATTACHMENT_BYTES as INLINE_ATTACHMENT_BYTES
from pybible.wire.limits import INLINE_RESULT_BYTES as INLINE_RESULT_BYTES
from pybible.wire.limits import MESSAGE_BYTES as MESSAGE_BYTES
from pybible.wire.limits import OUTPUT_CHUNK_BYTES as OUTPUT_CHUNK_BYTES
from pybible.wire.limits import RESULT_BYTES as RESULT_BYTES
from pybible.wire.tickets import METADATA_KEY

check_told()

Options: TypeAlias = list[tuple[str, int | str]]

_both_ends: Options = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 65536),
]


def proxy_options(proxy: str) -> Options:
    """Return the options of a channel for that proxy. Without one none is used, whatever the environment says."""
    if not proxy:
        return [("grpc.enable_http_proxy", 0)]
    return [("grpc.http_proxy", proxy)]


def client_options(*, keepalive_ms: int = 20_000) -> Options:
    """Return the options of a dialling end. The keepalive time is spread by 10 %: a fleet must not ping at once."""
    spread = int(keepalive_ms * random.uniform(0.9, 1.1))  # noqa: S311  not a secret
    return [
        *_both_ends,
        ("grpc.keepalive_time_ms", spread),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.ping_timeout_ms", 10_000),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.ssl_target_name_override", CONTROLLER_NAME),
    ]


def server_options() -> Options:
    """Return the options of a controller's ports."""
    return [
        *_both_ends,
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 15_000),
        ("grpc.http2.ping_timeout_ms", 15_000),
        # The default of 300000 would punish the agents' pings.
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        # The defaults of 1000 and 3000 drop a reconnect storm.
        ("grpc.server.max_pending_requests", 20_000),
        ("grpc.server.max_pending_requests_hard_limit", 30_000),
        # Else a second controller silently shares the port.
        ("grpc.so_reuseport", 0),
        # Nobody asks for it, and it keeps something of every connection.
        ("grpc.enable_channelz", 0),
    ]


def unix_target(path: Path) -> str:
    """Return what gRPC calls the Unix socket at `path`, for both ends. A path is part of a URI there."""
    return f"unix:{quote(str(path))}"


def client_credentials(
    *, authority: bytes, key: bytes | None = None, certificate: bytes | None = None
) -> grpc.ChannelCredentials:
    """Return TLS credentials that trust `authority` alone. All PEM; with a key and certificate, mTLS."""
    return grpc.ssl_channel_credentials(root_certificates=authority, private_key=key, certificate_chain=certificate)


def ticket_credentials(ticket: Callable[[], str]) -> grpc.ChannelCredentials:
    """Return the credentials of an operator on the controller's own machine: each call asks for a ticket and shows it.

    Nothing is encrypted, and gRPC uses them for a Unix socket alone.
    """
    return grpc.composite_channel_credentials(
        grpc.local_channel_credentials(grpc.LocalConnectionType.UDS),
        grpc.metadata_call_credentials(_Ticketed(ticket), name=METADATA_KEY),
    )


class _Ticketed(grpc.AuthMetadataPlugin):
    """Asked by gRPC for each call, on a thread of its own."""

    def __init__(self, ticket: Callable[[], str]) -> None:
        self._ticket = ticket

    def __call__(self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:
        """Answer at once."""
        callback(((METADATA_KEY, self._ticket()),), None)


def server_credentials(*, key: bytes, certificate: bytes, client_authority: bytes | None) -> grpc.ServerCredentials:
    """Return a port's TLS credentials. With a client authority every caller must show a certificate of it."""
    return grpc.ssl_server_credentials(
        [(key, certificate)],
        root_certificates=client_authority,
        require_client_auth=client_authority is not None,
    )
