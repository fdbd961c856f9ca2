"""http: asks an HTTP server as a monitoring system does, or with any bytes at all."""

from __future__ import annotations

import asyncio

from pybible.server.controller.config import Address

PATIENCE = 10.0


async def sent(address: Address, request: bytes) -> bytes:
    """Send bytes, and return all that comes back until the connection ends."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(request)
        try:
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


async def got(address: Address, path: str, *, method: str = "GET") -> tuple[int, dict[str, str], str]:
    """Ask for a path. Return status, headers by their lower-case names, and text."""
    answer = await sent(address, f"{method} {path} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("ascii").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(status.split()[1]), headers, body.decode()
