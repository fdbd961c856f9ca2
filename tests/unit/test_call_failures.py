"""test_call_failures: how a call to the controller ended: whether the controller has gone, or said no."""

from __future__ import annotations

import grpc
import grpc.aio
import pytest

from pybible.server.client.failures import is_gone


@pytest.mark.parametrize(
    ("code", "details", "gone"),
    [
        (grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses", True),
        (grpc.StatusCode.UNKNOWN, "Stream removed", True),
        (grpc.StatusCode.INTERNAL, "Internal error from Core", True),
        (grpc.StatusCode.INTERNAL, "this is a bug", False),
        (grpc.StatusCode.FAILED_PRECONDITION, "the run is over", False),
    ],
)
def test_a_controller_that_has_gone_is_told_from_one_that_refuses(
    code: grpc.StatusCode, details: str, gone: bool
) -> None:
    error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details)
    assert is_gone(error) is gone
