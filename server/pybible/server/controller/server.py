"""server: a gRPC server that answers calls of methods that it has not, whatever their names are.

grpc.aio decodes the name of such a call in the loop that takes all calls, and when it is not UTF-8 the whole server
ends (grpcio 1.85.1): one packet would close a port. Calls of known methods never come that way. There is no option for
it; what is overridden here is gRPC's own, so a test makes such calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import grpc
import grpc.aio
from grpc._cython import cygrpc
from grpc.aio import _server

from pybible.wire.channel import Options

_NO_METHOD = "this port has no such method"


class _Calls(cygrpc.AioServer):  # type: ignore[misc]  # a class without stubs
    """Takes calls. Those of methods that were not registered end here."""

    def __init__(self, *given: object) -> None:
        super().__init__(*given)
        self._refusals: set[asyncio.Task[None]] = set()

    async def _request_call(self) -> object:
        """Wait for ever: gRPC goes on with what this returns, and no call of an unknown method is to go on."""
        while True:
            call = await super()._request_call()
            refusal = asyncio.get_running_loop().create_task(_refuse(call), name="no such method")
            self._refusals.add(refusal)
            refusal.add_done_callback(self._refusals.discard)


async def _refuse(call: object) -> None:
    context = cygrpc._ServicerContext(call, None, None, asyncio.get_running_loop())
    try:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, _NO_METHOD)
    except cygrpc.AbortError as error:
        # That is how an abort ends. The call keeps it, it would keep the call, and the stream would stay open.
        error.__traceback__ = None
    except (grpc.aio.BaseError, cygrpc.ExecuteBatchError):
        pass  # nobody waits for it any more


class _Server(_server.Server):
    """grpc.aio's server over `_Calls`."""

    def __init__(self, options: Options, interceptors: Sequence[grpc.aio.ServerInterceptor]) -> None:
        self._loop = cygrpc.get_working_loop()
        self._server = _Calls(self._loop, None, (), tuple(interceptors), tuple(options), None)


def server(options: Options, interceptors: Sequence[grpc.aio.ServerInterceptor]) -> grpc.aio.Server:
    """Return a server, as grpc.aio's own function of this name does."""
    return cast("grpc.aio.Server", _Server(options, interceptors))
