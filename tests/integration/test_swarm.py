"""test_swarm: a fleet in a box attaches, answers as its script says, and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pybible.agent.config import Config
from pybible.agent.swarm.identities import enrol_all
from pybible.v1 import fleet_pb2
from pybible.wire.values import loads_object
from tests.load.swarm.agent import SwarmAgent, Terms
from tests.load.swarm.script import Act, Deed, Script
from tests.support import fake_ctl
from tests.support.controller import RunningController, controller
from tests.support.fake_agent import until

READY = fleet_pb2.SESSION_STATE_READY


@asynccontextmanager
async def fleet(
    folder: Path, *, agents: int, script: str = "", **settings: object
) -> AsyncIterator[tuple[RunningController, list[str], list[str]]]:
    """Run a controller and a swarm; give the agents' names and the marks of what was run."""
    async with controller(folder, **settings) as running:
        token = await running.controller.create_token(uses=agents)
        folders = [folder / f"swarm{number}" for number in range(agents)]
        await enrol_all(folders, token)
        marks: list[str] = []
        terms = Terms(
            Config(restart_after=0.0, facts_interval=0.0, reconnect_limit=1.0),
            Script(script),
            lambda attempt_id, _agent: marks.append(attempt_id),
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(SwarmAgent(each, terms).run()) for each in folders]
            for each in folders:
                await until(running, each.name, READY)
            yield running, [each.name for each in folders], marks
            for task in tasks:
                task.cancel()


async def test_every_agent_of_a_swarm_answers(tmp_path: Path) -> None:
    async with fleet(tmp_path, agents=20) as (running, names, marks), fake_ctl.run(running, forks=20) as ctl:
        for attempt in await ctl.submit(*names):
            assert await ctl.result_of(attempt) == ANSWER
        assert len(set(marks)) == len(marks) == 20


# What an agent of a swarm answers, whatever it is asked.
ANSWER = {
    "changed": False,
    "ping": "pong",
    "rc": 0,
    "stdout": "",
    "stat": {"exists": True, "size": 1, "isdir": False},
}


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("fail=1", {"changed": False, "failed": True, "msg": "the script says so"}),
        ("lag=1:0.05", ANSWER),
        ("twice=1", ANSWER),
        ("disconnect=1:0.05", ANSWER),
    ],
)
async def test_agents_do_what_the_script_says(tmp_path: Path, script: str, wanted: dict[str, object]) -> None:
    async with fleet(tmp_path, agents=3, script=script) as (running, names, marks), fake_ctl.run(running) as ctl:
        for attempt in await ctl.submit(*names):
            assert await ctl.result_of(attempt) == wanted
        assert len(set(marks)) == len(marks) == 3


async def test_an_agent_that_is_killed_early_was_interrupted(tmp_path: Path) -> None:
    script = Script("restart=1:0.05")
    number = next(number for number in range(1, 50) if script.act("swarm0", number).early)
    async with (
        fleet(tmp_path, agents=1, script="restart=1:0.05") as (running, names, marks),
        fake_ctl.run(running) as ctl,
    ):
        for _ in range(number):
            [attempt] = await ctl.submit(*names)
            result = await ctl.result_of(attempt)
            await until(running, names[0], READY)
        assert result["reason"] == "interrupted"
        assert len(set(marks)) == len(marks)


async def test_what_is_late_is_not_a_second_result(tmp_path: Path) -> None:
    async with (
        fleet(tmp_path, agents=1, script="late=1:0.5", disconnect_grace=0.1) as (running, names, marks),
        fake_ctl.run(running, grace=0.1) as ctl,
    ):
        [attempt] = await ctl.submit(*names)
        result = loads_object((await ctl.end_of(attempt)).inline)
        assert result.get("agent_lost", False) or result["ping"] == "pong"
        await until(running, names[0], READY)
        assert ctl.endings == [attempt]
        assert len(marks) == 1


def test_the_same_seed_does_the_same_deeds() -> None:
    deeds = [Script("fail=0.3,lag=0.3:2", seed=7).act("web01", number) for number in range(50)]
    assert deeds == [Script("fail=0.3,lag=0.3:2", seed=7).act("web01", number) for number in range(50)]
    assert {act.deed for act in deeds} == {Deed.OK, Deed.FAIL, Deed.LAG}
    assert Script().act("web01", 1) == Act()


@pytest.mark.parametrize("text", ["fail=2", "sleep=0.1", "fail"])
def test_what_is_no_script_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Script(text)
