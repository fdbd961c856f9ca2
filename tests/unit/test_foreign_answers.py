"""test_foreign_answers: what comes of answers that no controller of this release gives, and of files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from pybible.agent.modules.api import ModuleError
from pybible.agent.modules.npm import parse_list
from pybible.agent.modules.snap import parse_settings
from pybible.server.cli.listing import clock, moment, word
from pybible.server.client.fleet_pages import next_page
from pybible.server.engine.inventory.patterns import BadPattern, read_limit
from pybible.server.results.events import decode_event
from pybible.v1 import fleet_pb2, run_pb2
from pybible.wire.errors import ProtocolError


@pytest.mark.parametrize(
    "event",
    [
        b'{"type": "host_result", "task_id": "t", "host": "h", "status": "ok", "result": 5}',
        b'{"type": "host_result", "task_id": ["t"], "host": "h", "status": "ok"}',
        b'{"type": "included", "task_id": "t", "name": "n", "hosts": "h"}',
        b'{"type": "message", "level": {}, "text": "x"}',
        b'{"type": "playbook_started", "path": "x", "plays": "many"}',
    ],
)
def test_an_event_with_a_field_of_another_shape_is_none(event: bytes) -> None:
    with pytest.raises(ValueError, match=r"not an event|not a valid"):
        decode_event(event)


@pytest.mark.parametrize("seconds", [2**63 - 1, -(2**63), 2**60])
def test_a_time_in_no_calendar_is_a_number(seconds: int) -> None:
    assert clock(seconds) == f"{seconds}Z"
    assert str(seconds) in (moment(Timestamp(seconds=seconds)) or "")


def test_a_state_without_a_name_is_its_number() -> None:
    assert word(run_pb2.RunState.DESCRIPTOR, 77, "RUN_STATE_") == "77"
    assert word(run_pb2.RunState.DESCRIPTOR, run_pb2.RUN_STATE_RUNNING, "RUN_STATE_") == "running"


@pytest.mark.parametrize(
    ("names", "following", "after"), [(["a"], "a", "a"), ([], "z", "a"), (["b"], "b", "b"), (["a"], "a", "b")]
)
def test_a_list_that_never_gets_further_is_an_error(names: list[str], following: str, after: str) -> None:
    answer = fleet_pb2.ListAgentsResponse(agents=[fleet_pb2.Agent(name=name) for name in names], next=following)
    with pytest.raises(ProtocolError, match="end"):
        next_page(answer, after)


def test_a_list_goes_on_after_its_last_name() -> None:
    agents = [fleet_pb2.Agent(name="b")]
    assert next_page(fleet_pb2.ListAgentsResponse(agents=agents, next="b"), "a") == "b"
    assert next_page(fleet_pb2.ListAgentsResponse(agents=agents), "a") == ""


@pytest.mark.parametrize("content", [b"\xff\xfe", b"web01\n\x80"])
def test_a_limit_file_that_is_no_text_is_an_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "limit").write_bytes(content)
    with pytest.raises(BadPattern, match="Unable to read"):
        read_limit(f"@{tmp_path / 'limit'}")


def test_a_limit_file_with_an_endless_name_is_an_error() -> None:
    with pytest.raises(BadPattern, match="Unable to read"):
        read_limit("@" + "a" * 5000)


def test_json_without_end_is_no_list_of_packages() -> None:
    with pytest.raises(ModuleError, match="nested too deeply"):
        parse_list("[" * 100_000)
    assert parse_settings("[" * 100_000) == {}
