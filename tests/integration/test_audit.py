"""test_audit: what a real controller writes down of who did what, and that nobody takes it back unnoticed."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import grpc
import grpc.aio
import pytest
from click.testing import CliRunner, Result

from pybible.server.cli.main import ctl
from pybible.v1 import fleet_pb2, fleet_pb2_grpc
from pybible.wire.identity import OperatorRole
from pybible.wire.values import JsonObject, loads_object
from tests.support.controller import RunningController, controller, local_operator
from tests.support.fake_agent import attached
from tests.support.fake_ctl import run

RULES = {"web": {"operators": ["ada"], "hosts": ["web*"]}}


async def records(running: RunningController) -> list[JsonObject]:
    async with running.operator_channel() as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        return [loads_object(each) for each in (await stub.ListAudit(fleet_pb2.ListAuditRequest())).records]


def audit(*words: str) -> Result:
    return CliRunner().invoke(ctl, ["audit", *words])


async def test_who_did_what_is_written_down(tmp_path: Path) -> None:
    async with controller(tmp_path, rules=RULES) as running:
        web, db = await running.enrol("web01"), await running.enrol("db01")
        ada = await running.enrol("ada", operator_role=OperatorRole.RUNNER)
        async with (
            attached(running, web) as agent,
            attached(running, db),
            run(running, operator=ada, agents=["web01", "db01"]) as ctl_,
        ):
            sent, refused = await ctl_.submit("web01", "db01", module="command", args={"_raw_params": "s3cret"})
            await agent.result((await agent.dispatch()).attempt_id)
            await ctl_.end_of(sent), await ctl_.end_of(refused)
            await ctl_.finish()
        async with running.channel(ada) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await fleet_pb2_grpc.FleetServiceStub(channel).RemoveAgent(fleet_pb2.RemoveAgentRequest(agent="db01"))
        async with running.operator_channel() as channel:
            stub = fleet_pb2_grpc.FleetServiceStub(channel)
            await stub.RemoveAgent(fleet_pb2.RemoveAgentRequest(agent="db01"))
        run_id = ctl_.run_id
        async with run(running) as other:
            await other.finish()
        found = await records(running)
    told = [
        (
            each["entry"]["actor"]["identity"].removeprefix("pybible://"),
            each["entry"]["action"],
            each["entry"]["allowed"],
        )
        for each in found
    ]
    assert told[:3] == [
        (f"agent/{web.identity.id}", "certificate.issue", True),
        (f"agent/{db.identity.id}", "certificate.issue", True),
        ("operator/ada", "certificate.issue", True),
    ]
    of_the_run = [each["entry"] for each in found if each["entry"]["run_id"] == run_id]
    assert [each["action"] for each in of_the_run if each["action"] != "dispatch"] == ["run.start", "run.end"]
    work = {each["details"]["attempts"][0][0]: each for each in of_the_run if each["action"] == "dispatch"}
    assert (work["web01"]["target"], work["web01"]["allowed"]) == ("command", True)
    assert work["web01"]["details"]["attempts"] == [["web01", f"{run_id}:{sent}"]]
    assert work["web01"]["actor"]["serial"]
    assert not work["db01"]["allowed"]
    assert "rule 'web' does not allow tasks on db01" in work["db01"]["reason"]
    assert ("operator/ada", "call", False) in told
    assert (f"operator/{local_operator()}", "agent.remove", True) in told
    assert "s3cret" not in json.dumps(found)


async def test_tokens_and_their_secrets_are_kept_apart(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        async with running.operator_channel() as channel:
            stub = fleet_pb2_grpc.FleetServiceStub(channel)
            made = await stub.CreateToken(fleet_pb2.CreateTokenRequest(name_pattern="web*", role="agent"))
            await stub.RevokeToken(fleet_pb2.RevokeTokenRequest(token_id=made.description.token_id))
        async with run(running) as ctl_:
            await ctl_.finish()
        found = [each["entry"] for each in await records(running)]
    assert [(each["action"], each["target"]) for each in found[:2]] == [
        ("token.create", made.description.token_id),
        ("token.revoke", made.description.token_id),
    ]
    assert made.token not in json.dumps(found)


async def test_a_log_that_was_tampered_with_is_not_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with controller(tmp_path) as running:
        for number in range(6):
            await running.enrol(f"web{number}")
        async with run(running) as ctl_:
            await ctl_.finish()
    store = sqlite3.connect(tmp_path / "controller" / "controller.db")
    for statement in ("UPDATE audit SET target = 'x' WHERE seq = 3", "DELETE FROM audit WHERE seq = 3"):
        with pytest.raises(sqlite3.IntegrityError, match="the audit log is added to only"):
            store.execute(statement)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    rows = store.execute("SELECT * FROM audit ORDER BY seq").fetchall()
    store.close()
    assert len(rows) == 8
    lines = await exported(tmp_path)
    kept = tmp_path / "audit.jsonl"
    kept.write_text("\n".join(lines))
    last = json.loads(lines[-1])["digest"]
    whole = audit("verify", "--file", str(kept))
    assert whole.output == f"8 records, whole; the last digest is {last}\n"
    third = json.loads(lines[2])
    for without, said in (
        ([*lines[:2], *lines[3:]], "record 3 is not there: 4 follows on 2"),
        ([*lines[:2], lines[3], lines[2], *lines[4:]], "record 3 is not there: 4 follows on 2"),
        (
            [*lines[:2], json.dumps({**third, "entry": {**third["entry"], "target": "x"}}), *lines[3:]],
            "record 3, or one before it, is not what was written",
        ),
    ):
        kept.write_text("\n".join(without))
        result = audit("verify", "--file", str(kept))
        assert result.exit_code != 0
        assert said in str(result.exception)
    kept.write_text("\n".join(lines[:-1]))
    assert audit("verify", "--file", str(kept)).exit_code == 0
    cut = audit("verify", "--file", str(kept), "--digest", last)
    assert f"no record has the digest {last}" in str(cut.exception)


async def exported(tmp_path: Path) -> list[str]:
    """Return the log of a store, as `audit export` prints it."""
    async with controller(tmp_path) as running:
        return [json.dumps(each, sort_keys=True) for each in await records(running)]
