"""failures: what a call to the controller ended with, in the operator's words."""

from __future__ import annotations

import grpc

from pybible.wire.errors import AccessDenied, ConnectionFailed, PybibleError

_SAID_BY_THE_CONTROLLER = frozenset(
    {
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
    }
)
# What a stream is told that was open when the connection broke; the second when it was just being read or written.
_BROKEN = ("stream removed", "internal error from core")
_WRONG_PORT = (
    "Is that the operators' port? It is named by --controller, by PYBIBLE_CONTROLLER, or as `controller` in"
    " ~/.config/pybible/config.toml."
)


def call_failure(error: grpc.RpcError, target: str) -> PybibleError:
    """Return the error to raise for a call that failed."""
    code, details = _code_of(error), _details_of(error)
    if code in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}:
        return AccessDenied(f"the controller at {target} refuses: {details or code.name.lower()}")
    if code in _SAID_BY_THE_CONTROLLER:
        return PybibleError(details or code.name.lower())
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return ConnectionFailed(
            f"the controller at {target} does not take that call: {details or code.name.lower()}", hint=_WRONG_PORT
        )
    if code is grpc.StatusCode.UNAVAILABLE:
        return ConnectionFailed(f"the controller at {target} can't be reached: {short_reason(error)}")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ConnectionFailed(f"the controller at {target} does not answer in time")
    return ConnectionFailed(f"the call to the controller at {target} failed: {details or code.name.lower()}")


def is_gone(error: grpc.RpcError) -> bool:
    """Tell whether a call ended because its controller, or the way there, is not there any more."""
    details = _details_of(error).lower()
    return _code_of(error) is grpc.StatusCode.UNAVAILABLE or any(told in details for told in _BROKEN)


def short_reason(error: grpc.RpcError) -> str:
    """Return the end of gRPC's long sentence about a connection: `Connection refused`."""
    return _details_of(error).rpartition("error: ")[2].strip() or "no connection"


def _code_of(error: grpc.RpcError) -> grpc.StatusCode:
    code = error.code() if isinstance(error, grpc.Call | grpc.aio.AioRpcError) else None
    return code if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN


def _details_of(error: grpc.RpcError) -> str:
    if isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return str(error.details() or "")
    return str(error)
