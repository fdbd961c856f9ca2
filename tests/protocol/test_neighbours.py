"""test_neighbours: sessions of this version with one of before, and with one that is yet to come, at the other end.

Whatever the other end says or hears goes through its own messages: it knows nothing that it did not know, and says what
is new in it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.message import Message
from sqlalchemy import update

from pybible.server.controller.store import schema
from pybible.v1 import agent_pb2, run_pb2
from pybible.wire.identity import OperatorRole
from tests.protocol.spoken import Frozen, Neighbour, Newer, Speaking, Version, frozen
from tests.support.agent import running_agent
from tests.support.controller import controller
from tests.support.fake_agent import FINISHED, RUNNING, FakeAgent, attached
from tests.support.fake_controller import fake_controller
from tests.support.fake_ctl import run

VERSIONS: dict[str, Version] = {**{name: Frozen(files) for name, files in frozen().items()}, "newer": Newer()}

STALE = agent_pb2.Rejected.REASON_STALE_EPOCH

every_version = pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)


@every_version
async def test_an_agent_and_a_ctl_of_another_version_are_served(tmp_path: Path, version: Version) -> None:
    async with controller(tmp_path, disconnect_grace=60.0) as started:
        c = Neighbour(started.controller, version)
        web = await c.enrol("web01")
        ada = await c.enrol("ada", operator_role=OperatorRole.RUNNER)
        async with run(c, operator=ada, agents=["web01"]) as ctl:
            async with attached(c, web, incarnation="one", slots=8) as agent:
                assert (agent.welcome.name, agent.welcome.epoch) == ("web01", 1)
                # To a version that does not know them it is a message like any other that came later.
                await agent.send(agent_pb2.AgentMessage())
                await agent.heartbeat()
                assert (await agent.next("heartbeat_ack")).heartbeat_ack.sequence == 1
                await agent.facts(b"{}")
                [name] = await ctl.submit("web01", module="command", args={"_raw_params": "id"}, output_limit=100)
                dispatch = await agent.dispatch()
                assert (dispatch.epoch, dispatch.task.module, dispatch.task.output_limit) == (1, "command", 100)
                await agent.accept(dispatch)
                await agent.output(dispatch.attempt_id, b"uid=0")
                assert (await ctl.output_of(1))[0].data == b"uid=0"
                await agent.result(dispatch.attempt_id, b'{"changed":true}')
                assert await ctl.result_of(name) == {"changed": True}
                assert list((await agent.next("ack")).ack.attempt_ids) == [dispatch.attempt_id]
                away, refused = await ctl.submit("web01", "web01")
                one, other = await agent.dispatch(), await agent.dispatch()
                await agent.accept(one)
                denied = agent_pb2.Rejected.REASON_POLICY_DENIED
                rejected = agent_pb2.Rejected(attempt_id=other.attempt_id, reason=denied, message="no")
                await agent.send(agent_pb2.AgentMessage(rejected=rejected))
                assert (await ctl.end_of(refused)).reason == "policy_denied"
                await agent.cut()
            async with attached(c, web, incarnation="one", journal=[(one.attempt_id, RUNNING)]) as agent:
                [verdict] = agent.welcome.verdicts
                assert (verdict.attempt_id, verdict.decision) == (one.attempt_id, agent_pb2.Verdict.DECISION_ADOPT)
                await agent.result(one.attempt_id)
                assert (await ctl.end_of(away)).reason == ""
                await ctl.publish(b"{}")
                await agent.goodbye()
                await agent.ended.wait()
            assert (await ctl.finish()).state == run_pb2.RUN_STATE_FINISHED


@every_version
async def test_a_controller_of_another_version_has_an_agents_work(tmp_path: Path, version: Version) -> None:
    async with fake_controller(Speaking(version)) as fake:
        fake.interval = 0.1
        large = fake.store(b"of a controller")
        async with running_agent(fake.enrol(tmp_path / "web01")):
            session = await fake.session()
            assert "command" in session.hello.modules
            await session.send()
            await session.dispatch("a1", "ping", args={"data": "hello"})
            result, reason = await session.result("a1")
            assert (result["ping"], reason) == ("hello", "")
            await session.ack("a1")
            await session.expect("heartbeat")
            attachment = agent_pb2.Attachment(sha256=large, size=15)
            target = tmp_path / "copied"
            await session.dispatch(
                "a2", "copy", args={"dest": str(target), "_content": large}, attachments=[attachment]
            )
            result, reason = await session.result("a2")
            assert (reason, target.read_bytes()) == ("", b"of a controller"), result
            await session.dispatch("a3", "command", args={"_raw_params": "sleep 60"})
            await session.expect("started", "a3")
            session.close()
            fake.verdicts = lambda _hello: {
                "a2": agent_pb2.Verdict.DECISION_ADOPT,
                "a3": agent_pb2.Verdict.DECISION_CANCEL,
            }
            session = await fake.session()
            assert {entry.attempt_id: entry.state for entry in session.hello.journal} == {
                "a2": FINISHED,
                "a3": RUNNING,
            }
            assert (await session.result("a3"))[1] == "cancelled"
            await session.dispatch("a4", "ping", epoch=1)
            assert (await session.expect("rejected", "a4")).rejected.reason == STALE


async def test_an_agent_that_once_spoke_more_may_not_fall_back(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        web = await c.enrol("web01")
        async with attached(c, web):
            pass
        agents = schema.agents
        await c.controller._parts.database.write(
            lambda connection: connection.execute(update(agents).values(protocol_floor=2))
        )
        async with c.channel(web) as channel:
            agent = FakeAgent(channel, incarnation="one")
            await agent.hello()
            await agent.read()
            deny = (await agent.next("deny")).deny
        assert deny.code == agent_pb2.Deny.CODE_PROTOCOL
        assert deny.message == "this agent once spoke protocol 2 and may not fall back"


@pytest.mark.parametrize("name", VERSIONS)
def test_what_is_new_is_there_and_what_was_not_known_is_gone(name: str) -> None:
    """The tests above would prove nothing otherwise."""
    newer = VERSIONS["newer"].through("pybible.v1.AgentMessage", b"")
    assert newer
    spoken = VERSIONS[name].through("pybible.v1.AgentMessage", newer)
    assert bool(spoken) is (name == "newer")
    parsed: Message = agent_pb2.AgentMessage.FromString(newer)
    assert not parsed.ListFields()
