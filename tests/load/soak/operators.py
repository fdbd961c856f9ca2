"""operators: runs one after the other, at a steady rate, each counted to the last result."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import grpc.aio

from pybible.server.client.processes import command_path
from pybible.server.results.events import HostResult, Status, encode_event
from pybible.v1 import fleet_pb2, fleet_pb2_grpc, run_pb2, run_pb2_grpc
from pybible.wire.values import dumps
from tests.load.chaos.operators import operators_channel

_Call: TypeAlias = "grpc.aio.StreamStreamCall[run_pb2.ExecuteRequest, run_pb2.ExecuteResponse]"

_TASKS = 4
_WIDTH = 20
_TASK_SECONDS = 10
# No host may take longer, with all that happens to it.
_LONGEST = 240.0
# Every so many runs: one result that goes as a blob; a watcher beside the run; the history is read.
_LARGE, _WATCHED, _READ = 10, 5, 5
_LARGE_BYTES = 400_000
_CTL_SECONDS = 240.0


class _CallEnded(Exception):
    """The controller ended a call."""


@dataclass(slots=True)
class Tally:
    """What came of all runs. Nothing in `wrong`: everything holds."""

    runs: int = 0
    attempts: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    watched: int = 0
    ctls: int = 0
    lists: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Site:
    """Whom operators work with. `marks`: where tasks of real workers write their names."""

    socket: str
    swarm: Sequence[str]
    real: Sequence[str]
    marks: Path
    draw: random.Random
    tally: Tally = field(default_factory=Tally)
    calm: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Lead:
    """One run."""

    run_id: str = ""
    asked: dict[str, str] = field(default_factory=dict)
    ends: Counter[str] = field(default_factory=Counter)
    statuses: dict[str, Counter[Status]] = field(default_factory=dict)


async def lead_runs(site: Site, rate: float) -> None:
    """Lead one run after the other, `rate` attempts a second in all, until it is to be calm."""
    async with operators_channel(site.socket) as channel:
        began, asked, number = time.monotonic(), 0, 0
        while not site.calm.is_set():
            number += 1
            lead = _Lead()
            await _lead(site, channel, lead, number)
            asked += len(lead.asked)
            site.tally.runs += 1
            site.tally.attempts += len(lead.asked)
            await asyncio.sleep(max(0.0, began + asked / rate - time.monotonic()))


async def _lead(site: Site, channel: grpc.aio.Channel, lead: _Lead, number: int) -> None:
    stub: run_pb2_grpc.RunServiceAsyncStub = run_pb2_grpc.RunServiceStub(channel)
    call = stub.Execute()
    try:
        await call.write(
            run_pb2.ExecuteRequest(start=run_pb2.StartRun(name="soak.yml", forks=site.draw.randint(5, 50)))
        )
        lead.run_id = (await _read(call)).started.run_id
    except (_CallEnded, grpc.aio.AioRpcError) as error:
        site.tally.wrong.append(f"a run did not begin: {error}")
        return
    async with asyncio.TaskGroup() as group:
        if number % _WATCHED == 0:
            group.create_task(_watch(site, stub, lead))
        try:
            async with asyncio.timeout(_LONGEST):
                for task in range(_TASKS):
                    await _task(site, call, lead, f"t{task}", large=number % _LARGE == 0 and task == 1)
                await call.write(run_pb2.ExecuteRequest(finish=run_pb2.FinishRun()))
                while not (response := await _read(call)).HasField("finished"):
                    pass
                _check(site, lead, response.finished)
                while isinstance(await call.read(), run_pb2.ExecuteResponse):
                    pass
        except TimeoutError:
            left = [host for name, host in lead.asked.items() if not lead.ends[name]]
            site.tally.wrong.append(f"{lead.run_id} is stuck: no end on {left[:5]}")
            call.cancel()
        except _CallEnded as error:
            site.tally.wrong.append(f"{lead.run_id}: {error}")
    if number % _READ == 0:
        with _noted(site, f"the history of {lead.run_id}"):
            await _history(site, stub, lead)


@contextmanager
def _noted(site: Site, what: str) -> Iterator[None]:
    """Count a call that fails as something wrong, and go on."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        site.tally.wrong.append(f"{what}: {error.code().name}: {error.details()}")


async def _task(site: Site, call: _Call, lead: _Lead, task: str, *, large: bool) -> None:
    batch = run_pb2.AttemptBatch()
    names = set()
    for host in [*site.draw.sample(site.swarm, min(_WIDTH, len(site.swarm))), *site.real]:
        name = f"a{len(lead.asked)}"
        names.add(name)
        lead.asked[name] = host
        message = batch.attempts.add(attempt_id=name, task_id=task, host=host, agent=host)
        message.task.module, message.task.args = "ping", b"{}"
        if host in site.real:
            line = f"echo {lead.run_id}:{name} >> {site.marks}"
            if large:
                line += f"; head -c {_LARGE_BYTES} /dev/zero | tr '\\0' x"
            message.task.module, message.task.args = "shell", dumps({"_raw_params": line, "_uses_shell": True})
        message.task.timeout.FromTimedelta(timedelta(seconds=_TASK_SECONDS))
    await call.write(run_pb2.ExecuteRequest(attempts=batch))
    while names - lead.ends.keys():
        response = await _read(call)
        events = run_pb2.EventBatch()
        for update in response.updates.updates:
            if update.HasField("ended"):
                events.events.append(_ended(site, lead, task, update))
        if events.events:
            await call.write(run_pb2.ExecuteRequest(events=events))


def _ended(site: Site, lead: _Lead, task: str, update: run_pb2.AttemptUpdate) -> bytes:
    """Count an end, and return the event that says so."""
    ended = update.ended
    host = lead.asked[update.attempt_id]
    lead.ends[update.attempt_id] += 1
    site.tally.reasons[ended.reason or "answered"] += 1
    failed = ended.reason or b'"failed":true' in ended.inline
    status = Status.UNREACHABLE if ended.unreachable else Status.FAILED if failed else Status.OK
    lead.statuses.setdefault(host, Counter())[status] += 1
    return encode_event(HostResult(task_id=task, host=host, status=status, result={"changed": False}))


def _check(site: Site, lead: _Lead, finished: run_pb2.RunFinished) -> None:
    """Check that everything has one end, and that the recap says so."""
    wrong = site.tally.wrong
    wrong += [f"{lead.run_id}: {name} ended {lead.ends[name]} times" for name in lead.asked if lead.ends[name] != 1]
    recap = {each.host: (each.ok, each.failed, each.unreachable) for each in finished.recap}
    kinds = (Status.OK, Status.FAILED, Status.UNREACHABLE)
    expected = {host: tuple(counts[kind] for kind in kinds) for host, counts in lead.statuses.items()}
    if recap != expected:
        wrong.append(f"{lead.run_id}: the recap is not what was told: {recap} instead of {expected}")
    if finished.state != run_pb2.RUN_STATE_FINISHED:
        wrong.append(f"{lead.run_id} ended as {run_pb2.RunState.Name(finished.state)}")


async def _watch(site: Site, stub: run_pb2_grpc.RunServiceAsyncStub, lead: _Lead) -> None:
    """Follow the run, and check that no event is missing."""
    seen = 0
    with _noted(site, f"the watcher of {lead.run_id}"):
        async for news in stub.WatchRun(run_pb2.WatchRunRequest(run_id=lead.run_id), timeout=_LONGEST):
            seen += bool(news.event.seq)
    site.tally.watched += 1
    if seen != sum(lead.ends.values()):
        site.tally.wrong.append(f"{lead.run_id}: a watcher saw {seen} events of {sum(lead.ends.values())}")


async def _history(site: Site, stub: run_pb2_grpc.RunServiceAsyncStub, lead: _Lead) -> None:
    """Check that the history has every attempt, at its end."""
    found = await stub.GetRun(run_pb2.GetRunRequest(run_id=lead.run_id), timeout=_LONGEST)
    done = sum(attempt.state == "done" for attempt in found.attempts)
    if done != len(lead.asked):
        site.tally.wrong.append(f"{lead.run_id}: {done} attempts of {len(lead.asked)} are done in the history")


async def ask_lists(site: Site, pause: float) -> None:
    """Ask for what operators look at, again and again, until it is to be calm."""
    while not site.calm.is_set():
        async with operators_channel(site.socket) as channel:
            fleet: fleet_pb2_grpc.FleetServiceAsyncStub = fleet_pb2_grpc.FleetServiceStub(channel)
            runs: run_pb2_grpc.RunServiceAsyncStub = run_pb2_grpc.RunServiceStub(channel)
            with _noted(site, "a list"):
                await fleet.ListAgents(fleet_pb2.ListAgentsRequest(), timeout=_LONGEST)
                await runs.ListRuns(run_pb2.ListRunsRequest(), timeout=_LONGEST)
                site.tally.lists += 1
        await asyncio.sleep(pause)


async def run_ctl(site: Site, folder: Path, pause: float) -> None:
    """Run a playbook with pybible-ctl again and again, until it is to be calm."""
    hosts = [*site.real, *site.swarm[:10]]
    inventory, playbook = folder / "inventory.ini", folder / "site.yml"
    inventory.write_text("".join(f"{host}\n" for host in hosts))
    playbook.write_text("- hosts: all\n  gather_facts: false\n  tasks: [{ping: }, {command: id}]\n")
    words = ("run", "--controller", f"unix:{site.socket}", "-i", str(inventory), str(playbook))
    while not site.calm.is_set():
        process = await asyncio.create_subprocess_exec(
            command_path("pybible-ctl"),
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        screen = ""
        try:
            async with asyncio.timeout(_CTL_SECONDS):
                screen = (await process.communicate())[0].decode()
        except TimeoutError:
            process.kill()
            await process.wait()
        site.tally.ctls += 1
        told = sum(f"{host} " in screen.partition("PLAY RECAP")[2] for host in hosts)
        if told != len(hosts) or process.returncode not in (0, 2, 4):
            site.tally.wrong.append(f"pybible-ctl ended with {process.returncode}, and a recap of {told} hosts")
        await asyncio.sleep(pause)


async def running_runs(socket: str) -> AsyncIterator[str]:
    """Give the runs that the controller says go on."""
    async with operators_channel(socket) as channel:
        stub: run_pb2_grpc.RunServiceAsyncStub = run_pb2_grpc.RunServiceStub(channel)
        listed = await stub.ListRuns(run_pb2.ListRunsRequest(limit=1000), timeout=_LONGEST)
    for run in listed.runs:
        if run.state == run_pb2.RUN_STATE_RUNNING:
            yield run.run_id


async def _read(call: _Call) -> run_pb2.ExecuteResponse:
    """Return what the controller says next. _CallEnded."""
    try:
        response = await call.read()
    except grpc.aio.AioRpcError as error:
        raise _CallEnded(f"{error.code().name}: {error.details()}") from error
    if not isinstance(response, run_pb2.ExecuteResponse):
        raise _CallEnded("the controller ended the call")
    return response
