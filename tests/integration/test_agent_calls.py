"""test_agent_calls: of a call that the other end has ended first nothing stays, nor of its connection."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import grpc.aio
import pytest

from pybible.agent.calls import end_for_good
from tests.support.processes import until

_METHOD = "/test.Refusing/Attach"


class Refusing(grpc.GenericRpcHandler):
    """Says a word and ends every call, before anything is sent on it."""

    def service(self, _details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Return how."""
        return grpc.stream_stream_rpc_method_handler(self._refuse)

    async def _refuse(self, _messages: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        await context.write(b"no")


def connections(port: int) -> int:
    """Return how many ends of connections to a port there are on this machine."""
    lines = [line for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return sum(
        any(end.endswith(f":{port:04X}") for end in fields[1:3]) and fields[3] == "01"
        for fields in map(str.split, lines)
    )


async def refused(port: int) -> None:
    """Make a call that is over before it is written to, and end it."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(_METHOD)()
        await call.wait_for_connection()
        # The refusal is there, and was not read.
        await asyncio.sleep(0.1)
        try:
            await call.write(b"hello")
            pytest.fail("the call was not over")
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            assert connections(port) == 2, "one, seen from both ends"
        end_for_good(call)


async def test_a_call_that_was_refused_before_it_was_written_to_leaves_no_connection() -> None:
    server = grpc.aio.server(handlers=[Refusing()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        await refused(port)
        await until(lambda: not connections(port))
    finally:
        await server.stop(None)
