"""controllers and ctls that go: killed in the middle of a run, which must end all the same."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybible.wire.values import JsonValue
from tests.support.lab import Lab, lab
from tests.support.screens import wait_for_line

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - shell: echo begun > {{ mark }}; sleep 600; echo ended >> {{ mark }}
      vars: {mark: "{{ marks }}/{{ inventory_hostname }}"}
"""


@pytest.fixture
def fleet() -> Iterator[Lab]:
    with lab(agents=2) as running:
        yield running


@pytest.fixture
def impatient() -> Iterator[Lab]:
    with lab(agents=2, config="recovery_window = 1.0\n", agent_config="reconnect_limit = 1.0\n") as running:
        yield running


SHORT = """
- hosts: all
  gather_facts: false
  tasks:
    - {name: before, shell: "echo before >> {{ mark }}"}
    - {name: during, shell: "echo during >> {{ mark }}; sleep 1; echo over >> {{ mark }}"}
    - {name: after, shell: "echo after >> {{ mark }}"}
  vars: {mark: "{{ marks }}/{{ inventory_hostname }}"}
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    (tmp_path / "inventory.ini").write_text("lab01\nlab02\n")
    (tmp_path / "site.yml").write_text(PLAYBOOK)
    return ["run", "-i", f"{tmp_path}/inventory.ini", "-e", f"marks={tmp_path}", f"{tmp_path}/site.yml"]


def test_a_controller_that_is_killed_and_started_again_costs_a_run_nothing(
    fleet: Lab, command: list[str], tmp_path: Path
) -> None:
    (tmp_path / "site.yml").write_text(SHORT)
    run = fleet.spawn(*command)
    for host in ("lab01", "lab02"):
        wait_for_line(tmp_path / host, "during")
    fleet.kill("controller")
    fleet.start_controller()
    screen, errors = run.communicate(timeout=90)
    assert run.returncode == 0, screen + errors
    assert errors.count("went away") == 1
    for host in ("lab01", "lab02"):
        assert (tmp_path / host).read_text().split() == ["before", "during", "over", "after"]
        assert f"{host}                      : ok=3    changed=3 " in screen
    assert _ended(fleet)["state"] == "finished"


def test_what_a_ctl_was_told_of_its_run_is_in_the_history_of_a_controller_that_dies_then(
    fleet: Lab, command: list[str], tmp_path: Path
) -> None:
    (tmp_path / "site.yml").write_text(SHORT.replace("sleep 1", "true"))
    fleet.kill("controller")
    fleet.start_controller(environment={"PYBIBLE_FAULT": "after_finished_sent:kill9"})
    _ready(fleet, 2)
    run = fleet.spawn(*command)
    # Before it can have been written a moment later.
    assert fleet.started["controller"].wait(60) == -signal.SIGKILL
    fleet.start_controller()
    screen, errors = run.communicate(timeout=60)
    assert run.returncode == 0, screen + errors
    shown = _ended(fleet)
    assert shown["state"] == "finished"
    assert [attempt["state"] for attempt in shown["attempts"]] == ["done"] * 6
    assert {host: shown["recap"][host]["ok"] for host in ("lab01", "lab02")} == {"lab01": 3, "lab02": 3}


def test_a_controller_that_is_not_back_within_the_window_ends_the_run_and_the_agents_come_back(
    impatient: Lab, command: list[str], tmp_path: Path
) -> None:
    fleet = impatient
    run = fleet.spawn(*command)
    for host in ("lab01", "lab02"):
        wait_for_line(tmp_path / host, "begun")
    fleet.kill("controller")
    _, errors = run.communicate(timeout=60)
    assert run.returncode not in (0, None)
    assert "the controller" in errors
    assert "Traceback" not in errors

    fleet.start_controller()
    _ready(fleet, 2)
    assert _ended(fleet)["state"] == "interrupted"
    assert fleet.ctl("exec", "all", "-m", "ping").returncode == 0


def test_a_ctl_that_is_killed_interrupts_its_run_and_cancels_what_was_out(
    fleet: Lab, command: list[str], tmp_path: Path
) -> None:
    run = fleet.spawn(*command)
    for host in ("lab01", "lab02"):
        wait_for_line(tmp_path / host, "begun")
    run.kill()
    run.communicate(timeout=10)
    shown = _ended(fleet)
    assert shown["state"] == "interrupted"
    assert {attempt["reason"] for attempt in shown["attempts"]} == {"cancelled"}
    _idle(fleet, "lab01")
    assert (tmp_path / "lab01").read_text() == "begun\n"


def test_an_operator_cancels_a_run(fleet: Lab, command: list[str], tmp_path: Path) -> None:
    run = fleet.spawn(*command)
    wait_for_line(tmp_path / "lab01", "begun")
    [shown] = _runs(fleet)
    fleet.ctl("runs", "cancel", shown["run_id"], check=True)
    screen, _ = run.communicate(timeout=60)
    assert run.returncode != 0
    assert _ended(fleet)["state"] == "cancelled"
    assert "PLAY RECAP" in screen


def test_an_interrupt_at_the_keyboard_cancels_the_run(fleet: Lab, command: list[str], tmp_path: Path) -> None:
    run = fleet.spawn(*command)
    wait_for_line(tmp_path / "lab01", "begun")
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 99
    assert "lab01" in errors
    assert "Traceback" not in errors
    assert _ended(fleet)["state"] in ("cancelled", "interrupted")
    _idle(fleet, "lab01")
    assert (tmp_path / "lab01").read_text() == "begun\n"


def _runs(fleet: Lab) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(fleet.ctl("runs", "--json", check=True).stdout)
    return found


def _ended(fleet: Lab) -> dict[str, JsonValue]:
    """Return the only run, once it has ended."""
    deadline = time.monotonic() + 30
    while True:
        [listed] = _runs(fleet)
        if listed["state"] != "running":
            shown = json.loads(fleet.ctl("runs", "show", listed["run_id"], "--json", check=True).stdout)
            return {**shown.get("run", {}), **shown}
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _ready(fleet: Lab, count: int) -> None:
    deadline = time.monotonic() + 90
    while sum(agent["state"] == "ready" for agent in json.loads(fleet.ctl("agents", "--json").stdout or "[]")) < count:
        assert time.monotonic() < deadline
        time.sleep(0.5)


def _idle(fleet: Lab, agent: str) -> None:
    deadline = time.monotonic() + 30
    while fleet.agent(agent)["running"]:
        assert time.monotonic() < deadline
        time.sleep(0.5)
