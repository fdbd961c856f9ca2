"""probe: whether anybody takes a plain TCP connection, asked before a channel is made to where nobody did.

gRPC's core keeps some 140 bytes of every dial that fails (grpcio 1.85), for as long as the process lives. What is asked
here costs nothing that stays: a controller that is down, unreachable or without a name never gets as far as gRPC.
"""

from __future__ import annotations

import asyncio
import os
import socket
from urllib.parse import urlsplit

_SECONDS = 10.0
# Of a name with many addresses each has at least so long: a SYN that was lost comes again after one second.
_LEAST_SECONDS = 3.0
# gRPC's own, for a target that names none.
_DEFAULT_PORT = 443


async def unreachable(target: str, *, seconds: float = _SECONDS) -> str:
    """Return why no address of `target` (HOST:PORT) takes a connection, empty when one does.

    Its addresses are tried one after the other, which takes about so many seconds at most. A connection is closed at
    once. Empty, too, for what is no HOST:PORT but one of gRPC's URIs: only gRPC knows what that means.
    """
    place = _place(target)
    if place is None:
        return ""
    host, port = place
    try:
        async with asyncio.timeout(seconds):
            addresses = await _addresses(host, port)
    except TimeoutError:
        return f"can't reach {target}: the name is not resolved within {seconds:g} s"
    except (OSError, UnicodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return f"can't reach {target}: the name is not resolved: {reason}"
    each = max(min(seconds, _LEAST_SECONDS), seconds / len(addresses))
    reasons: dict[str, list[str]] = {}
    for family, address in addresses:
        reason = await _refusal(family, address, seconds=each)
        if not reason:
            return ""
        reasons.setdefault(reason, []).append(str(address[0]))
    told = (reason if len(addresses) == 1 else f"{reason} ({', '.join(at)})" for reason, at in reasons.items())
    return f"can't reach {target}: {'; '.join(told)}"


def _place(target: str) -> tuple[str, int] | None:
    """Take HOST:PORT apart; None for another kind of target."""
    try:
        parts = urlsplit(f"//{target}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or parts.path:
        return None
    return host, _DEFAULT_PORT if port is None else port


async def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[object, ...]]]:
    """Return the addresses of a host, in the order in which they are to be tried. OSError when it has none."""
    try:
        # Takes no thread, and no time.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _kind, _protocol, _name, address in found]


async def _refusal(family: socket.AddressFamily, address: tuple[object, ...], *, seconds: float) -> str:
    """Return why an address takes no connection, empty when it does."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.setblocking(False)
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().sock_connect(tried, address)
    except OSError as error:
        # asyncio's own texts give the address and not the reason, and a time limit is no errno.
        return os.strerror(error.errno) if error.errno else f"no answer within {seconds:.3g} s"
    return ""
