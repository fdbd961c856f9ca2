"""elsewhere: what a port says of calls that another port serves: no; where to go; and that somebody tried is noted."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import grpc
import grpc.aio

from pybible.server.controller.services.access import ACCESS, Access


class Elsewhere:
    """Refuses calls. `where` says where their callers ought to go."""

    def __init__(self, access: Access, where: str) -> None:
        self._access = access
        self._where = where

    def add_to(self, server: grpc.aio.Server, services: Iterable[str]) -> None:
        """Refuse every call of these services on `server`."""
        for service in services:
            names = [name.partition("/")[2] for name in ACCESS if name.startswith(f"{service}/")]
            # Of whatever kind a call is: it is refused before anything of it is read.
            refusals: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
                name: grpc.stream_stream_rpc_method_handler(partial(self._refuse, f"{service}/{name}"))
                for name in names
            }
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, refusals),))
            server.add_registered_method_handlers(service, refusals)

    async def _refuse(self, method: str, _requests: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        await self._access.elsewhere(context, method, self._where)
