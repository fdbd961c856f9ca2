"""test_attempts: one task on one agent, through everything that may happen to it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pybible.v1 import agent_pb2, fleet_pb2, run_pb2
from pybible.wire.outcomes import Reason
from tests.support.controller import controller
from tests.support.fake_agent import FINISHED, INTERRUPTED, RUNNING, attached, until
from tests.support.fake_ctl import run


async def test_a_task_goes_out_and_its_result_comes_back(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c, agents=["web01", "web02"]) as ctl:
            assert list(ctl.started.present) == ["web01"]
            [name] = await ctl.submit("web01")
            dispatch = await agent.dispatch()
            assert dispatch.task.module == "ping"
            assert dispatch.epoch == agent.welcome.epoch == 1
            assert dispatch.run_id == ctl.run_id
            await agent.accept(dispatch)
            await agent.result(dispatch.attempt_id, b'{"ping":"pong"}')
            assert await ctl.result_of(name) == {"ping": "pong"}
            assert list((await agent.next("ack")).ack.attempt_ids) == [dispatch.attempt_id]
            finished = await ctl.finish()
            assert finished.state == run_pb2.RUN_STATE_FINISHED


async def test_an_agent_may_be_named_by_its_id(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c) as ctl:
            [name] = await ctl.submit(holder.identity.id)
            await agent.result((await agent.dispatch()).attempt_id)
            assert (await ctl.end_of(name)).reason == ""


async def test_an_agent_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    async with controller(tmp_path) as c, run(c) as ctl:
        [name] = await ctl.submit("web09")
        ended = await ctl.end_of(name)
        assert ended.unreachable
        assert ended.reason == Reason.NOT_CONNECTED
        assert (await ctl.result_of(name))["msg"] == "agent 'web09' is not connected to the controller"


async def test_an_agent_that_said_goodbye_is_unreachable_at_once(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent:
            await agent.goodbye()
            await agent.ended.wait()
        async with run(c, grace=30) as ctl:
            [name] = await ctl.submit("web01")
            assert (await ctl.end_of(name)).reason == Reason.NOT_CONNECTED


@pytest.mark.parametrize("grace", [0.0, 0.3])
async def test_a_task_out_on_an_agent_that_leaves_fails(tmp_path: Path, grace: float) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c, grace=grace) as ctl:
            [name] = await ctl.submit("web01")
            await agent.accept(await agent.dispatch())
            await agent.cut()
            ended = await ctl.end_of(name)
            assert (ended.reason, ended.unreachable) == (Reason.LOST_MID_TASK, False)
            result = await ctl.result_of(name)
            assert (result["failed"], result["agent_lost"]) == (True, True)
            [later] = await ctl.submit("web01")
            assert (await ctl.end_of(later)).unreachable


async def test_a_run_may_count_a_lost_agent_as_unreachable(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c, grace=0, lost_is_unreachable=True) as ctl:
            [name] = await ctl.submit("web01")
            await agent.dispatch()
            await agent.cut()
            ended = await ctl.end_of(name)
            assert (ended.reason, ended.unreachable) == (Reason.LOST_MID_TASK, True)


async def test_a_task_is_adopted_when_its_agent_comes_back(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with run(c, grace=20) as ctl:
            async with attached(c, holder, incarnation="one") as agent:
                [name] = await ctl.submit("web01")
                dispatch = await agent.dispatch()
                await agent.accept(dispatch)
                await agent.heartbeat()
                await agent.next("heartbeat_ack")
            async with attached(c, holder, incarnation="one", journal=[(dispatch.attempt_id, RUNNING)]) as agent:
                assert agent.welcome.epoch == 2
                [verdict] = agent.welcome.verdicts
                assert verdict.decision == agent_pb2.Verdict.DECISION_ADOPT
                assert not agent.waiting("dispatch")
                await agent.result(dispatch.attempt_id, b'{"changed":true}')
                assert await ctl.result_of(name) == {"changed": True}


async def test_a_result_that_waited_for_its_agent_counts(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with run(c, grace=20) as ctl:
            async with attached(c, holder, incarnation="one") as agent:
                [name] = await ctl.submit("web01")
                dispatch = await agent.dispatch()
            async with attached(c, holder, incarnation="two", journal=[(dispatch.attempt_id, FINISHED)]) as agent:
                assert agent.welcome.verdicts[0].decision == agent_pb2.Verdict.DECISION_ADOPT
                await agent.result(dispatch.attempt_id, b'{"changed":true}')
                assert await ctl.result_of(name) == {"changed": True}


async def test_a_dispatch_that_never_arrived_is_sent_again_to_the_same_process(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with run(c, grace=20) as ctl:
            async with attached(c, holder, incarnation="one") as agent:
                [name] = await ctl.submit("web01")
                first = await agent.dispatch()
            async with attached(c, holder, incarnation="one") as agent:
                again = await agent.dispatch()
                assert again.attempt_id == first.attempt_id
                assert again.epoch == first.epoch + 1
                await agent.result(again.attempt_id)
                assert (await ctl.end_of(name)).reason == ""


@pytest.mark.parametrize("in_journal", [True, False])
async def test_a_task_is_interrupted_when_its_agent_was_restarted(tmp_path: Path, in_journal: bool) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with run(c, grace=20) as ctl:
            async with attached(c, holder, incarnation="one") as agent:
                [name] = await ctl.submit("web01")
                dispatch = await agent.dispatch()
                await agent.accept(dispatch)
            journal = [(dispatch.attempt_id, INTERRUPTED)] if in_journal else []
            async with attached(c, holder, incarnation="two", journal=journal) as agent:
                assert (await ctl.end_of(name)).reason == Reason.INTERRUPTED
                [after] = await ctl.submit("web01")
                await agent.result((await agent.dispatch()).attempt_id)
                assert (await ctl.end_of(after)).reason == ""


async def test_a_task_for_an_agent_that_is_away_waits_for_it(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with run(c, grace=20) as ctl:
            async with attached(c, holder, incarnation="one"):
                pass
            await until(c, "web01", fleet_pb2.SESSION_STATE_SUSPECT)
            [name] = await ctl.submit("web01")
            async with attached(c, holder, incarnation="two") as agent:
                await agent.result((await agent.dispatch()).attempt_id)
                assert (await ctl.end_of(name)).reason == ""


async def test_a_result_that_comes_twice_counts_once(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c) as ctl:
            [name] = await ctl.submit("web01")
            dispatch = await agent.dispatch()
            await agent.result(dispatch.attempt_id, b'{"n":1}')
            await agent.next("ack")
            await agent.result(dispatch.attempt_id, b'{"n":2}')
            await agent.next("ack")
            assert await ctl.result_of(name) == {"n": 1}
            await ctl.finish()
            assert ctl.endings == [name]
            shown = await ctl.stub.GetRun(run_pb2.GetRunRequest(run_id=ctl.run_id))
            assert [(item.state, item.late) for item in shown.attempts] == [("done", False)]


async def test_a_late_result_is_kept_and_changes_nothing(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with run(c, grace=0) as ctl:
            async with attached(c, holder, incarnation="one") as agent:
                [name] = await ctl.submit("web01")
                dispatch = await agent.dispatch()
                await agent.accept(dispatch)
                await agent.cut()
                assert (await ctl.end_of(name)).reason == Reason.LOST_MID_TASK
            async with attached(c, holder, incarnation="one", journal=[(dispatch.attempt_id, RUNNING)]) as agent:
                assert agent.welcome.verdicts[0].decision == agent_pb2.Verdict.DECISION_ADOPT
                await agent.result(dispatch.attempt_id)
                assert list((await agent.next("ack")).ack.attempt_ids) == [dispatch.attempt_id]
            await ctl.finish()
            assert ctl.endings == [name]
            shown = await ctl.stub.GetRun(run_pb2.GetRunRequest(run_id=ctl.run_id))
            assert [(item.reason, item.late) for item in shown.attempts] == [("lost_mid_task", True)]


async def test_a_result_of_an_attempt_that_nobody_knows_is_acknowledged(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        journal = [("gone", FINISHED), ("lost", RUNNING), ("dead", INTERRUPTED)]
        async with attached(c, holder, journal=journal) as agent:
            assert {item.attempt_id: item.decision for item in agent.welcome.verdicts} == {
                "gone": agent_pb2.Verdict.DECISION_ADOPT,
                "lost": agent_pb2.Verdict.DECISION_CANCEL,
                "dead": agent_pb2.Verdict.DECISION_DROP,
            }
            await agent.result("gone")
            await agent.output("nobody", b"text")
            assert list((await agent.next("ack")).ack.attempt_ids) == ["gone"]


async def test_an_agent_that_does_not_accept_fails_the_task(tmp_path: Path) -> None:
    async with controller(tmp_path, accept_timeout=0.2) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c) as ctl:
            [name] = await ctl.submit("web01")
            dispatch = await agent.dispatch()
            for _ in range(4):
                await agent.heartbeat()
            assert (await ctl.end_of(name)).reason == Reason.ACCEPT_TIMEOUT
            assert (await agent.next("cancel")).cancel.attempt_id == dispatch.attempt_id


@pytest.mark.parametrize(
    ("refusal", "reason", "unreachable"),
    [
        (agent_pb2.Rejected.REASON_POLICY_DENIED, Reason.POLICY_DENIED, False),
        (agent_pb2.Rejected.REASON_DRAINING, Reason.NOT_CONNECTED, True),
        (agent_pb2.Rejected.REASON_BUSY, Reason.REJECTED, False),
        (agent_pb2.Rejected.REASON_UNSPECIFIED, Reason.REJECTED, False),
    ],
)
async def test_a_refusal_is_the_result(
    tmp_path: Path, refusal: agent_pb2.Rejected.Reason.ValueType, reason: Reason, unreachable: bool
) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c) as ctl:
            [name] = await ctl.submit("web01")
            dispatch = await agent.dispatch()
            rejected = agent_pb2.Rejected(attempt_id=dispatch.attempt_id, reason=refusal)
            await agent.send(agent_pb2.AgentMessage(rejected=rejected))
            ended = await ctl.end_of(name)
            assert (ended.reason, ended.unreachable) == (reason, unreachable)


async def test_cancelling_stops_what_runs_and_what_waits(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c, forks=1) as ctl:
            out, waiting, after = await ctl.submit("web01", "web01", "web01")
            dispatch = await agent.dispatch()
            await agent.accept(dispatch)
            await ctl.cancel(out, waiting)
            assert (await ctl.end_of(waiting)).reason == Reason.CANCELLED
            assert (await agent.next("cancel")).cancel.attempt_id == dispatch.attempt_id
            assert not agent.waiting("dispatch")
            await agent.result(dispatch.attempt_id, b'{"failed":true}', reason="cancelled")
            assert (await ctl.end_of(out)).reason == Reason.CANCELLED
            await agent.result((await agent.dispatch()).attempt_id)
            assert (await ctl.end_of(after)).reason == ""


async def test_output_is_passed_on_up_to_its_limit(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c) as ctl:
            await ctl.submit("web01", output_limit=6)
            dispatch = await agent.dispatch()
            await agent.output(dispatch.attempt_id, b"abcd")
            await agent.output(dispatch.attempt_id, b"efgh")
            await agent.output(dispatch.attempt_id, b"ijkl")
            await agent.result(dispatch.attempt_id)
            outputs = await ctl.output_of(2)
            await ctl.finish()
            assert [(item.data, item.dropped) for item in outputs] == [(b"abcd", 0), (b"ef", 2)]


async def test_a_silent_agent_becomes_suspect_and_its_task_is_lost(tmp_path: Path) -> None:
    async with controller(tmp_path, heartbeat_interval=0.1, disconnect_grace=0.2) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c) as ctl:
            [name] = await ctl.submit("web01")
            await agent.accept(await agent.dispatch())
            assert (await ctl.end_of(name)).reason == Reason.LOST_MID_TASK
            async with asyncio.timeout(5):
                await agent.ended.wait()


async def test_an_agent_gets_no_more_than_its_slots(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder, slots=1) as agent, run(c, forks=5) as ctl:
            names = await ctl.submit("web01", "web01", "web01")
            for name in names:
                dispatch = await agent.dispatch()
                assert not agent.waiting("dispatch")
                await agent.result(dispatch.attempt_id)
                await ctl.end_of(name)
