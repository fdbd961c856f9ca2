"""test_faults: PYBIBLE_FAULT does what it says, once, and nothing when it is unset."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pybible.wire import faults
from pybible.wire.faults import POINTS, FaultRaised, Faults

ROOT = Path(__file__).resolve().parents[2]
PASSES = "from pybible.wire import faults\nfor _ in range(3): faults.at('after_accept'); print('passed', flush=True)\n"


def _process(fault: str, *, record: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYBIBLE_FAULT": fault, "PYBIBLE_FAULT_RECORD": record}
    return subprocess.run(
        [sys.executable, "-c", PASSES], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_without_it_nothing_happens() -> None:
    assert not faults.ARMED
    for point in POINTS:
        faults.at(point)


def test_a_process_is_killed_where_it_says() -> None:
    done = _process("after_accept:kill9@2")
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == "passed\n"


def test_what_comes_about_is_written_down_before(tmp_path: Path) -> None:
    record = tmp_path / "record"
    for fault in ("after_accept:kill9@2", "before_start:kill9", "after_accept:delay=0"):
        _process(fault, record=str(record))
    assert record.read_text() == "after_accept\n" * 2


def test_other_points_are_passed_by() -> None:
    assert _process("before_start:kill9").stdout == "passed\n" * 3


def test_it_happens_once() -> None:
    found = Faults("after_accept:raise@2,before_start:delay=0.0")
    found.at("after_accept")
    with pytest.raises(FaultRaised, match="after_accept"):
        found.at("after_accept")
    found.at("after_accept")
    found.at("before_start")


@pytest.mark.parametrize("text", ["after_acept:kill9", "after_accept", "after_accept:explode", "after_accept:kill9@x"])
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Faults(text)


def test_every_point_is_somewhere_in_the_product() -> None:
    placed: list[str] = []
    for root in ("protos", "server", "agent"):
        for path in (ROOT / root).rglob("*.py"):
            placed += re.findall(r'faults\.at\("(\w+)"\)', path.read_text())
    # The controller's writer makes their names of the messages that it sends.
    placed += ["after_dispatch_sent", "after_ack_sent"]
    assert sorted(placed) == sorted(POINTS)
