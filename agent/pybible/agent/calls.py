"""calls: how a call is ended so that nothing of it stays.

When the other end has ended a call already, a write on it fails, and grpc.aio takes the call as done from then on: its
`cancel` does nothing (grpcio 1.85). But gRPC's core has what the other end said before, which nobody reads any more,
and keeps the call, its connection and the other end's half of both until that is gone. A controller that refuses an
agent does just that. There is no option for it; what is called here is gRPC's own, so a test makes such a call.
"""

from __future__ import annotations

from typing import Protocol


class Call(Protocol):
    """What is to be ended: a call of grpc.aio."""

    def cancel(self) -> bool:
        """Cancel it. False when it is done, or taken for it."""


def end_for_good(call: Call) -> None:
    """End a call, whatever became of it."""
    core = getattr(call, "_cython_call", None)
    if not call.cancel() and core is not None:
        core.cancel("ended")
