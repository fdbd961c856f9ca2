"""bare: what gRPC alone keeps of calls, for comparison with what a target grows by: `python -m tests.fuzz.bare`.

An echo of bytes over a Unix socket, server and client in this process, none of the product's code. Prints how many
bytes of resident memory each call leaves behind, by the line through all but the first third: for calls that end, that
are cancelled after the answer and before it, over one channel, and over a channel for each, as a command has.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from pybible.wire.channel import unix_target
from tests.fuzz.growth import Growth, resident

_OVER = {"over one channel": 40_000, "over a channel each": 6_000}
_ENDS = ("ended", "cancelled", "cancelled before the answer")
_READINGS = 24


async def _echo(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


@asynccontextmanager
async def _served() -> AsyncIterator[str]:
    """Serve the echo; give its target."""
    handler = grpc.method_handlers_generic_handler("bare.Echo", {"Say": grpc.stream_stream_rpc_method_handler(_echo)})
    with tempfile.TemporaryDirectory() as folder:
        target = unix_target(Path(folder) / "socket")
        server = grpc.aio.server(handlers=[handler])
        server.add_insecure_port(target)
        await server.start()
        try:
            yield target
        finally:
            await server.stop(0)


@asynccontextmanager
async def _stub(target: str) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(target) as channel:
        yield channel.stream_stream("/bare.Echo/Say")


async def _say(stub: Any, end: str) -> None:
    """Say something, and end the call in one of the ways."""
    call = stub()
    await call.write(b"x")
    if end != "cancelled before the answer":
        await call.read()
    if end == "ended":
        await call.done_writing()
    else:
        call.cancel()
    await call.code()


async def _measured(target: str, *, over: str, end: str, calls: int) -> Growth:
    growth = Growth()
    async with _stub(target) as shared:
        for number in range(calls):
            if over == "over one channel":
                await _say(shared, end)
            else:
                async with _stub(target) as own:
                    await _say(own, end)
            if number % (calls // _READINGS) == 0:
                growth.readings.append((number, resident()))
    return growth


async def main() -> None:
    """Measure all of them."""
    async with _served() as target:
        for over, calls in _OVER.items():
            for end in _ENDS:
                growth = await _measured(target, over=over, end=end, calls=calls)
                sys.stdout.write(f"{calls} calls {over}, {end}: {growth.each:.0f} bytes each ({growth.course})\n")
                sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
