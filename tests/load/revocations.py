"""revocations: how long the stream of an agent lives after it was revoked.

`python -m tests.load.revocations [--times 100] [--others 20]` enrols an agent, attaches it, gives it a task and revokes
it, again and again, with others attached meanwhile. Prints the largest and the median time from the operator's call to
the end of the stream as the agent sees it; ends with 1 if one took longer than a second, or if an agent came back.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import grpc.aio

from pybible.v1 import fleet_pb2, fleet_pb2_grpc
from tests.support.controller import Holder, RunningController, controller
from tests.support.fake_agent import attached
from tests.support.fake_ctl import run

_ALLOWED = 1.0


async def _once(running: RunningController, fleet: fleet_pb2_grpc.FleetServiceAsyncStub, name: str) -> float:
    """Revoke an agent with a task out, and return how long its stream lived on, in seconds."""
    holder = await running.enrol(name)
    async with attached(running, holder) as agent, run(running, grace=0) as ctl:
        await ctl.submit(name)
        await agent.accept(await agent.dispatch())
        began = time.perf_counter()
        revoking = fleet.RevokeAgent(fleet_pb2.RevokeAgentRequest(agent=name))
        await agent.ended.wait()
        took = time.perf_counter() - began
        await revoking
        await ctl.finish()
    if not await _is_refused(running, holder):
        raise RuntimeError(f"{name} came back")
    return took


async def _is_refused(running: RunningController, holder: Holder) -> bool:
    async with running.channel(holder) as channel:
        try:
            await fleet_pb2_grpc.FleetServiceStub(channel).WhoAmI(fleet_pb2.WhoAmIRequest())
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.UNAUTHENTICATED
    return False


async def measure(*, times: int, others: int) -> bool:
    """Do it and print the figures. Say whether each was quick enough."""
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            running = await stack.enter_async_context(controller(Path(folder)))
            for number in range(others):
                holder = await running.enrol(f"other{number:03}")
                await stack.enter_async_context(attached(running, holder))
            channel = await stack.enter_async_context(running.operator_channel())
            fleet: fleet_pb2_grpc.FleetServiceAsyncStub = fleet_pb2_grpc.FleetServiceStub(channel)
            took = [await _once(running, fleet, f"web{number:03}") for number in range(times)]
    good = [each for each in took if each <= _ALLOWED]
    print(
        f"{len(good)} of {times} streams ended within {_ALLOWED:g} s of the call: "
        f"median {statistics.median(took) * 1000:.1f} ms, at most {max(took) * 1000:.1f} ms"
    )
    return len(good) == times


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--others", type=int, default=20)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    return 0 if asyncio.run(measure(times=options.times, others=options.others)) else 1


if __name__ == "__main__":
    sys.exit(main())
