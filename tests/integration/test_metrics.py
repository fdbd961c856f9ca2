"""test_metrics: what a monitoring system sees of a real controller, over HTTP."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from pathlib import Path

import grpc.aio
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from pybible.server.controller.config import Address
from pybible.server.controller.metrics import http
from pybible.server.controller.metrics.catalog import CATALOG
from pybible.server.controller.metrics.http import Answer, serving
from pybible.v1 import fleet_pb2, fleet_pb2_grpc
from pybible.wire.errors import ConfigError
from pybible.wire.identity import OperatorRole
from tests.support.controller import Holder, RunningController, controller
from tests.support.fake_agent import attached
from tests.support.fake_ctl import run
from tests.support.http import got, sent

_ANY = {"metrics_listen": "127.0.0.1:0"}


def _address(running_controller: RunningController) -> Address:
    monitor = running_controller.controller.monitor
    assert monitor is not None
    return monitor.address


async def _families(running_controller: RunningController) -> dict[str, Metric]:
    status, headers, text = await got(_address(running_controller), "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    return {family.name: family for family in text_string_to_metric_families(text)}


async def _values(running_controller: RunningController) -> dict[str, float]:
    """Return every sample by its name and the values of its labels: "name value value"."""
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in (await _families(running_controller)).values()
        for sample in family.samples
    }


async def _operator(running_controller: RunningController) -> Holder:
    return await running_controller.enrol("ada", operator_role=OperatorRole.ADMIN)


async def _written(running_controller: RunningController) -> None:
    """Wait until all that has happened is stored, and with that counted."""
    await running_controller.controller._parts.history.flush()


async def test_a_run_is_counted_as_it_went(tmp_path: Path) -> None:
    async with controller(tmp_path, **_ANY, disconnect_grace=0.0) as c:
        web, lost, ada = await c.enrol("web01"), await c.enrol("web02"), await _operator(c)
        async with attached(c, web) as agent, attached(c, lost) as other, run(c, forks=3, operator=ada) as ctl:
            names = await ctl.submit("web01", "web01", "web01", "web02", "web09")
            dispatches = [await agent.dispatch() for _ in range(3)]
            during = await _values(c)
            for dispatch, content in zip(dispatches, (b"{}", b"{}", b'{"failed":true}'), strict=True):
                await agent.result(dispatch.attempt_id, content)
            await other.accept(await other.dispatch())
            await other.cut()
            for name in names:
                await ctl.end_of(name)
            await ctl.finish()
            await _written(c)
            after = await _values(c)
    assert during["pybible_open_runs"] == 1
    assert during["pybible_window_slots"] == 3
    assert during["pybible_window_attempts out"] == 3
    assert during["pybible_window_attempts waiting"] == 2
    assert (during["pybible_certificates agent"], during["pybible_certificates operator"]) == (2, 1)
    assert during["pybible_certificate_expiry_timestamp_seconds agent"] > time.time()
    assert during["pybible_sessions ready"] == during["pybible_agents"] == 2
    assert after["pybible_open_runs"] == after["pybible_window_attempts out"] == 0
    assert after["pybible_runs_total finished"] == 1
    assert after["pybible_sessions ready"] == after["pybible_sessions lost"] == 1
    attempts = {name: value for name, value in after.items() if name.startswith("pybible_attempts_total")}
    assert attempts == {
        "pybible_attempts_total ok ": 2,
        "pybible_attempts_total failed ": 1,
        "pybible_attempts_total failed lost_mid_task": 1,
        "pybible_attempts_total unreachable not_connected": 1,
    }
    assert after["pybible_window_wait_seconds_count"] == after["pybible_attempt_duration_seconds_count"] == 5
    assert after["pybible_dispatch_latency_seconds_count"] == 4
    assert after["pybible_sessions_opened_total"] == 2
    assert after["pybible_store_batch_works_count"] > 0


async def test_what_a_host_says_never_names_anything(tmp_path: Path) -> None:
    async with controller(tmp_path, **_ANY) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c, operator=await _operator(c)) as ctl:
            [name] = await ctl.submit("web01")
            await agent.result((await agent.dispatch()).attempt_id, b'{"failed":true}', reason="of web01's own making")
            await ctl.end_of(name)
            await _written(c)
        values = await _values(c)
    assert values["pybible_attempts_total failed bad_result"] == 1
    assert not [name for name in values if "web01" in name or "making" in name]


async def test_refusals_are_counted_by_their_reason(tmp_path: Path) -> None:
    async with controller(tmp_path, **_ANY) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as first, attached(c, holder) as second:
            await first.ended.wait()
            await second.heartbeat()
        async with c.channel(holder) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await fleet_pb2_grpc.FleetServiceStub(channel).ListAgents(fleet_pb2.ListAgentsRequest())
        assert "request" in (await c.ask_to_enrol("", csr=b"")).message
        values = await _values(c)
    assert values["pybible_sessions_denied_total superseded"] == 1
    assert values["pybible_calls_refused_total agents not_served"] == 1
    assert values["pybible_calls_refused_total enrolment enrollment"] == 1


async def test_every_metric_of_the_catalog_is_there_and_no_other(tmp_path: Path) -> None:
    async with controller(tmp_path, **_ANY) as c:
        families = await _families(c)
    shown = {name: family for name, family in families.items() if name.startswith("pybible_")}
    kinds = {name.removesuffix("_total"): described.kind for name, described in CATALOG.items()}
    assert {name: family.type for name, family in shown.items()} == kinds
    for family in shown.values():
        described = CATALOG.get(f"{family.name}_total") or CATALOG[family.name]
        assert family.documentation == described.text
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(described.labels)


async def test_names_and_units_follow_the_conventions(tmp_path: Path) -> None:
    async with controller(tmp_path, **_ANY) as c:
        families = await _families(c)
    for name, family in families.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*[a-z]", name), name
        assert family.documentation, name
        assert not re.search(r"_(ms|millis\w*|minutes|hours|kb|kib|mb|mib|percent)(_|$)", name), name
        if name.startswith("pybible_"):
            exposed = {sample.name for sample in family.samples}
            assert all(each.endswith("_total") for each in exposed) == (family.type == "counter") or not exposed


async def test_a_controller_shows_nothing_unless_it_is_told_to(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        assert c.controller.monitor is None


async def test_it_is_healthy_and_ready_while_it_serves(tmp_path: Path) -> None:
    async with controller(tmp_path, **_ANY) as c:
        assert (await got(_address(c), "/healthz"))[::2] == (200, "ok\n")
        assert (await got(_address(c), "/readyz"))[::2] == (200, "ready\n")
        status, headers, text = await got(_address(c), "/readyz", method="HEAD")
        assert (status, headers["content-length"], text) == (200, "6", "")


async def test_it_is_not_ready_when_the_store_takes_no_writes(tmp_path: Path) -> None:
    async with controller(tmp_path, **_ANY) as c:
        engine = c.controller._parts.database.engine
        with engine.connect() as other:
            # Somebody else holds the store.
            other.execution_options(writes=True)
            other.exec_driver_sql("SELECT 1")
            other.rollback()
            other.exec_driver_sql("UPDATE alembic_version SET version_num = version_num")
            status, _, text = await got(_address(c), "/readyz")
            other.rollback()
    assert (status, text) == (503, "the store did not take a write within 2 s\n")


async def test_it_is_not_ready_when_the_store_is_read_only(tmp_path: Path) -> None:
    async with controller(tmp_path, **_ANY) as c:
        database = c.controller._parts.database
        await database.write(lambda connection: connection.exec_driver_sql("PRAGMA query_only = ON"))
        refused = await got(_address(c), "/readyz")
        failures = (await _values(c))["pybible_store_failed_batches_total"]
        # New connections know nothing of it.
        database.engine.dispose()
        async with asyncio.timeout(10):
            while (await got(_address(c), "/readyz"))[0] != 200:
                pass
    assert refused[::2] == (503, "the store can't be written to: attempt to write a readonly database\n")
    assert failures == 1


async def test_it_is_not_ready_any_more_when_it_drains(tmp_path: Path) -> None:
    async with controller(tmp_path, **_ANY, drain_timeout=5.0) as c:
        holder = await c.enrol("web01")
        address = _address(c)
        async with attached(c, holder) as agent, run(c, operator=await _operator(c)) as ctl:
            await ctl.submit("web01")
            await agent.accept(await agent.dispatch())
            async with asyncio.TaskGroup() as group:
                assert (await got(address, "/readyz"))[0] == 200
                assert c.controller.monitor is not None
                c.controller.monitor.drain()
                group.create_task(c.controller._parts.runs.shutdown(seconds=5))
                assert (await got(address, "/readyz"))[::2] == (503, "the controller is stopping\n")
                assert (await got(address, "/healthz"))[0] == 200
                await ctl.gone()


async def test_an_address_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"can't listen on 127.0.0.1:{port}: address already in use"):
            async with controller(tmp_path, metrics_listen=f"127.0.0.1:{port}"):
                pass


async def _hello() -> Answer:
    return Answer(b"hello\n")


async def _broken() -> Answer:
    raise RuntimeError("no")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /hello HTTP/1.1", b"200"),
        (b"GET /hello?a=b HTTP/1.0", b"200"),
        (b"POST /hello HTTP/1.1", b"405"),
        (b"GET /other HTTP/1.1", b"404"),
        (b"GET /broken HTTP/1.1", b"500"),
        (b"GET http://elsewhere/hello HTTP/1.1", b"400"),
        (b"GET /hello", b"400"),
        (b"\x16\x03\x01\x02", b"400"),
        (b"GET /" + b"a" * 2 * http.REQUEST_BYTES, b"400"),
    ],
    ids=lambda value: str(value[:30]),
)
async def test_requests_are_answered_within_bounds(request_line: bytes, status: bytes) -> None:
    async with serving(Address("127.0.0.1", 0), {"/hello": _hello, "/broken": _broken}) as address:
        answer = await sent(address, request_line + b"\r\nHost: here\r\n\r\n")
    assert answer.split(b" ", 2)[1] == status


async def test_who_dawdles_is_sent_away(tmp_path: Path) -> None:
    async with serving(Address("127.0.0.1", 0), {"/hello": _hello}, seconds=0.05) as address:
        assert await sent(address, b"GET /hello") == b""


async def test_so_many_connections_at_once_and_no_more() -> None:
    async with serving(Address("127.0.0.1", 0), {"/hello": _hello}) as address:
        held = [await asyncio.open_connection(address.host, address.port) for _ in range(http.CONNECTIONS)]
        assert await sent(address, b"GET /hello HTTP/1.1\r\n\r\n") == b""
        for _, writer in held:
            writer.close()
        for reader, _ in held:
            await reader.read()
        assert b"hello" in await sent(address, b"GET /hello HTTP/1.1\r\n\r\n")
