"""lists: how long `pybible-ctl agents` and `runs` wait for the controller: `python -m tests.load.lists --agents 10000`.

The agents are rows of the store, and sessions as far as a list shows them; the runs have had every agent as a host.
Each call comes over mTLS from a process of its own. Then the commands themselves are called, over the socket.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc
from google.protobuf.message import Message
from sqlalchemy import Connection, insert

from pybible.server.client.processes import command_path
from pybible.server.controller.daemon import Controller
from pybible.server.controller.sessions.instructions import Opening
from pybible.server.controller.sessions.presence import AgentPresence
from pybible.server.controller.sessions.refusal import AgentDetails
from pybible.server.controller.store import agents, runs
from pybible.server.controller.store.agents import AgentRecord
from pybible.server.controller.store.run_tables import host_recaps
from pybible.server.controller.store.runs import RunRecord, RunState
from pybible.server.results.recap import COUNTS
from pybible.v1 import fleet_pb2, fleet_pb2_grpc, run_pb2, run_pb2_grpc
from pybible.wire.channel import client_credentials, client_options
from pybible.wire.identity import OperatorRole
from tests.support.controller import Holder, RunningController, loopback_config

_RUNS = 20
_LABELS = {"site": "plant-7", "role": "press"}
_MODULES = tuple(f"ansible.builtin.module_{number}" for number in range(130))


def _id(number: int) -> str:
    return str(uuid.UUID(int=number))


def _fill(connection: Connection, count: int) -> None:
    """Make rows of so many agents, and of runs that had them all as hosts."""
    now = time.time()
    for number in range(count):
        agents.add(connection, AgentRecord(agent_id=_id(number), name=f"host{number:05}", labels=_LABELS, enrolled=now))
    for number in range(_RUNS):
        record = RunRecord(
            run_id=f"{number:026}",
            name="site.yml",
            operator="ada",
            forks=50,
            check_mode=False,
            state=RunState.FINISHED,
            started=now,
            ended=now,
        )
        runs.save_runs(connection, [record])
        counts = dict.fromkeys(COUNTS, 1)
        rows = [{"run_id": record.run_id, "host": f"host{host:05}", **counts} for host in range(count)]
        connection.execute(insert(host_recaps), rows)


def _attach(controller: Controller, count: int) -> None:
    """Make sessions of them, without streams."""
    sessions = controller._parts.sessions
    for number in range(count):
        presence = AgentPresence(_id(number), settings=sessions.settings, clock=time.monotonic)
        presence.name = f"host{number:05}"
        presence.machine.attach(1, incarnation=_id(number), now=time.monotonic())
        presence.machine.welcome(1, Opening(incarnation=_id(number), slots=8, journal=()), now=time.monotonic())
        presence.details = AgentDetails(
            hostname=presence.name,
            version="0.1.0",
            boot_id=_id(number),
            modules=_MODULES,
            address="192.168.100.200:40000",
        )
        sessions._presences[presence.agent_id] = presence


def _ask(address: str, folder: Path, rounds: int) -> None:
    """Ask again and again, and print what it took. In a process of its own."""
    pems = [(folder / name).read_bytes() for name in ("authority", "key", "certificate")]
    credentials = client_credentials(authority=pems[0], key=pems[1], certificate=pems[2])
    with grpc.secure_channel(address, credentials, options=client_options()) as channel:
        fleet, listed = fleet_pb2_grpc.FleetServiceStub(channel), run_pb2_grpc.RunServiceStub(channel)
        fleet.GetController(fleet_pb2.GetControllerRequest())
        calls: dict[str, Callable[[], Sequence[Message]]] = {
            "ListAgents": lambda: _agents(fleet),
            "ListRuns": lambda: [listed.ListRuns(run_pb2.ListRunsRequest(limit=_RUNS))],
        }
        for name, call in calls.items():
            times = []
            try:
                for _ in range(rounds):
                    began = time.monotonic()
                    pages = call()
                    times.append((time.monotonic() - began) * 1000)
            except grpc.RpcError as error:
                print(f"{name}: {error.details()}")
                continue
            size = sum(page.ByteSize() for page in pages) / 1024
            print(
                f"{name}: median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms, "
                f"{size:.0f} KiB in {len(pages)} messages"
            )


def _agents(stub: fleet_pb2_grpc.FleetServiceStub) -> list[fleet_pb2.ListAgentsResponse]:
    """Ask for all pages."""
    pages = [stub.ListAgents(fleet_pb2.ListAgentsRequest())]
    while pages[-1].next:
        pages.append(stub.ListAgents(fleet_pb2.ListAgentsRequest(after=pages[-1].next)))
    return pages


async def _whole(command: str, address: str, rounds: int) -> None:
    """Call the command itself, on this machine's socket, again and again, and print what it took."""
    times = []
    for _ in range(rounds):
        began = time.monotonic()
        called = await asyncio.create_subprocess_exec(
            *(command_path("pybible-ctl"), command, "--controller", address), stdout=asyncio.subprocess.DEVNULL
        )
        if await called.wait():
            print(f"pybible-ctl {command}: exit status {called.returncode}")
            return
        times.append((time.monotonic() - began) * 1000)
    print(f"pybible-ctl {command}: median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms, as a whole")


async def _measure(count: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = loopback_config(folder / "controller")
        async with Controller.start(config) as controller:
            await controller._parts.database.write(lambda connection: _fill(connection, count))
        async with Controller.start(config) as controller:
            _attach(controller, count)
            holder: Holder = await RunningController(controller).enrol("ada", operator_role=OperatorRole.VIEWER)
            for file, pem in (
                ("authority", holder.authority),
                ("key", holder.key),
                ("certificate", holder.certificate),
            ):
                (folder / file).write_bytes(pem)
            words = ("--ask", controller.operator_address, "--folder", name, "--rounds", str(rounds))
            asking = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.load.lists", *words)
            await asking.wait()
            for command in ("agents", "runs"):
                await _whole(command, f"unix:{config.socket_path}", rounds)
            for presence in controller._parts.sessions._presences.values():
                presence.machine.stream = 0


def main() -> None:
    """Measure, or be the process that asks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        _ask(given.ask, given.folder, given.rounds)
    else:
        asyncio.run(_measure(given.agents, given.rounds))


if __name__ == "__main__":
    main()
