"""requests: bytes on a port that are no message end their call with a status, not with an exception and a traceback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar, cast

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from pybible.wire.errors import ProtocolError

_MessageT = TypeVar("_MessageT")
_RequestT = TypeVar("_RequestT")
_AnswerT = TypeVar("_AnswerT")
_UNREADABLE: Final = "what was sent is no message of this call"


class Unreadable:
    """Stands for bytes that are no message of the call they came on."""


UNREADABLE: Final = Unreadable()


def readable(message: object) -> None:
    """Raise ProtocolError for a message of a stream that could not be read."""
    if message is UNREADABLE:
        raise ProtocolError(_UNREADABLE)


async def all_readable(messages: AsyncIterator[_MessageT]) -> AsyncIterator[_MessageT]:
    """Yield them. ProtocolError for one that could not be read."""
    async for message in messages:
        readable(message)
        yield message


class Reading(grpc.aio.ServerInterceptor):
    """Has requests read without exceptions: of a stream comes UNREADABLE, any other call is refused.

    Only the way a call is found goes through here, not the call itself: streams that are long stay as they are.
    """

    def __init__(self) -> None:
        # One for each method, not one for each call that is open.
        self._handlers: dict[object, object] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[_RequestT, _AnswerT] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[_RequestT, _AnswerT] | None:
        """Return the handler of a call, with a way of reading that does not raise."""
        handler = await continuation(handler_call_details)
        # For a method that there is not, there is no handler.
        if handler is None or handler.request_deserializer is None:
            return handler
        known = self._handlers.get(handler)
        if known is None:
            known = self._handlers[handler] = _reading(handler, handler.request_deserializer)
        return cast("grpc.RpcMethodHandler[_RequestT, _AnswerT]", known)


def _reading(
    handler: grpc.RpcMethodHandler[_RequestT, _AnswerT], deserialize: Callable[[bytes], _RequestT]
) -> grpc.RpcMethodHandler[_RequestT, _AnswerT]:
    def read(data: bytes) -> _RequestT:
        try:
            return deserialize(data)
        except DecodeError:
            return UNREADABLE  # type: ignore[return-value]  # grpc hands on whatever this returns

    write = handler.response_serializer
    if handler.stream_stream is not None:
        return grpc.stream_stream_rpc_method_handler(handler.stream_stream, read, write)
    if handler.stream_unary is not None:
        return grpc.stream_unary_rpc_method_handler(handler.stream_unary, read, write)
    if handler.unary_stream is not None:
        return grpc.unary_stream_rpc_method_handler(_refusing(handler.unary_stream), read, write)
    return grpc.unary_unary_rpc_method_handler(_refusing(handler.unary_unary), read, write)


def _refusing(behaviour: object) -> Callable[..., Any]:
    # Every one of ours is a coroutine, whatever grpc's types say of it.
    answer = cast("Callable[[object, object], Awaitable[object]]", behaviour)

    async def checked(request: object, context: grpc.aio.ServicerContext[object, object]) -> object:
        if request is UNREADABLE:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, _UNREADABLE)
        return await answer(request, context)

    return checked
