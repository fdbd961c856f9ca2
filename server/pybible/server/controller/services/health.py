"""health: grpc.health.v1 and reflection, guarded by the access table like every other service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TypeAlias

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from pybible.server.controller.requests import all_readable
from pybible.server.controller.services.access import Access
from pybible.wire.errors import ProtocolError

_HealthContext: TypeAlias = "grpc.aio.ServicerContext[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]"
_ReflectionContext: TypeAlias = (
    "grpc.aio.ServicerContext[reflection_pb2.ServerReflectionRequest, reflection_pb2.ServerReflectionResponse]"
)


class GuardedHealth:
    """The library's health service for one port: for callers who may come there, and of what is served there."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._health = health.aio.HealthServicer()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve it on `server`."""
        health_pb2_grpc.add_HealthServicer_to_server(self, server)

    async def serving(self, services: Iterable[str]) -> None:
        """Say that these are ready."""
        for service in services:
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def stopping(self) -> None:
        """Say that nothing is ready any more, for good."""
        await self._health.enter_graceful_shutdown()

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: _HealthContext
    ) -> health_pb2.HealthCheckResponse:
        """Return the state of one service."""
        await self._access.require(context, "grpc.health.v1.Health/Check")
        return await self._health.Check(request, context)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: _HealthContext) -> None:
        """Send the state of one service, and every change of it."""
        await self._access.require(context, "grpc.health.v1.Health/Watch")
        await self._health.Watch(request, context)


class GuardedReflection:
    """The library's reflection service."""

    def __init__(self, access: Access, services: Iterable[str]) -> None:
        self._access = access
        self._reflection = reflection.aio.ReflectionServicer([*services, reflection.SERVICE_NAME])

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve it on `server`."""
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(self, server)

    async def ServerReflectionInfo(
        self, request_iterator: AsyncIterator[reflection_pb2.ServerReflectionRequest], context: _ReflectionContext
    ) -> None:
        """Answer each question about the services of this port."""
        await self._access.require(context, "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        requests = all_readable(request_iterator)
        try:
            async for response in self._reflection.ServerReflectionInfo(requests, context):
                await context.write(response)
        except ProtocolError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
