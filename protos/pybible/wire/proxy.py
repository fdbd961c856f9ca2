"""proxy: the way out of a network that lets only its HTTP proxy through (CONNECT)."""

from __future__ import annotations

import base64
import http.client
import socket
from urllib.parse import unquote, urlsplit

from pybible.wire.errors import ConnectionFailed, UsageError


def check_proxy(proxy: str) -> str:
    """Return the URL of a proxy as it is given; empty is none. UsageError when it can't be one."""
    try:
        parts = urlsplit(proxy)
        usable = not proxy or (parts.scheme == "http" and bool(parts.hostname) and parts.port is not None)
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"{proxy!r} is not a proxy", hint="Write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT.")
    return proxy


def connect_through(proxy: str, host: str, port: int, *, seconds: float) -> socket.socket:
    """Return a connection to HOST:PORT through the proxy; without one it is direct. ConnectionFailed, OSError."""
    if not proxy:
        return socket.create_connection((host, port), timeout=seconds)
    parts = urlsplit(proxy)
    headers = {}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(login.encode()).decode("ascii")
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)
    connection.set_tunnel(host, port, headers)
    try:
        connection.connect()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        # Without the login that may be in the URL.
        where = f"{parts.hostname}:{parts.port}"
        reason = getattr(error, "strerror", None) or error
        raise ConnectionFailed(f"the proxy {where} does not connect to {host}:{port}: {reason}") from error
    # Taken over: closing the connection object would close it.
    return connection.sock
