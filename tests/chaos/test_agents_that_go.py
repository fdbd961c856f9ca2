"""agents that go: killed, stopped, restarted, or never there, in the middle of a playbook."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import Lab, lab
from tests.support.screens import recap, wait_for_line

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

# Heartbeats of a second: a process that is stopped is noticed within three of them.
SETTINGS = "heartbeat_interval = 1.0\n"
INVENTORY = "[all]\nlab01\nlab02\nlab03\n"
PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Before
      command: echo {{ ansible_play_hosts | length }}
    - name: Long
      shell: echo begun > {{ mark }}; sleep {{ seconds }}; echo ended >> {{ mark }}
      vars: {mark: "{{ marks }}/{{ inventory_hostname }}"}
    - name: After
      command: echo after
"""


@pytest.fixture(scope="module")
def fleet() -> Iterator[Lab]:
    with lab(agents=3, config=SETTINGS) as running:
        yield running


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    (tmp_path / "inventory.ini").write_text(INVENTORY)
    (tmp_path / "site.yml").write_text(PLAYBOOK)
    (tmp_path / "marks").mkdir()
    inventory, marks = f"{tmp_path}/inventory.ini", f"marks={tmp_path}/marks"
    return ["run", "-i", inventory, "-f", "3", "-e", marks, f"{tmp_path}/site.yml"]


def _begun(tmp_path: Path, host: str) -> None:
    """Wait until the long task runs on a host."""
    wait_for_line(tmp_path / "marks" / host, "begun")


@pytest.mark.parametrize("grace", ["0", "2"])
def test_an_agent_that_is_killed_fails_its_task_and_no_other(
    fleet: Lab, command: list[str], tmp_path: Path, grace: str
) -> None:
    # The task would outlive the test: only the loss of its agent can end it in time.
    run = fleet.spawn(*command, "-e", "seconds=600", "--disconnect-grace", grace, "--limit", "lab02")
    _begun(tmp_path, "lab02")
    fleet.kill("lab02")
    screen, _ = run.communicate(timeout=60)
    fleet.start_agent("lab02")
    assert "fatal: [lab02]: FAILED! =>" in screen
    assert '"agent_lost": true' in screen
    assert recap(screen)["lab02"] == {"ok": 1, "changed": 1, "failed": 1}
    assert run.returncode == 2
    _attached(fleet, "lab02")


def test_the_other_hosts_finish_and_go_on(fleet: Lab, command: list[str], tmp_path: Path) -> None:
    run = fleet.spawn(*command, "-e", "seconds=3", "--disconnect-grace", "0")
    for host in ("lab01", "lab02", "lab03"):
        _begun(tmp_path, host)
    fleet.kill("lab03")
    screen, _ = run.communicate(timeout=60)
    fleet.start_agent("lab03")
    counts = recap(screen)
    assert counts["lab01"] == counts["lab02"] == {"ok": 3, "changed": 3}
    assert counts["lab03"] == {"ok": 1, "changed": 1, "failed": 1}
    assert run.returncode == 2
    assert (tmp_path / "marks" / "lab01").read_text() == "begun\nended\n"
    _attached(fleet, "lab03")


def test_an_agent_that_is_stopped_is_noticed(fleet: Lab, command: list[str], tmp_path: Path) -> None:
    run = fleet.spawn(*command, "-e", "seconds=600", "--disconnect-grace", "1", "--limit", "lab01")
    _begun(tmp_path, "lab01")
    fleet.signal("lab01", signal.SIGSTOP)
    try:
        screen, _ = run.communicate(timeout=60)
    finally:
        fleet.signal("lab01", signal.SIGCONT)
    assert '"agent_lost": true' in screen
    assert recap(screen)["lab01"]["failed"] == 1
    assert run.returncode == 2
    _attached(fleet, "lab01")


def test_an_agent_that_comes_back_within_the_grace_is_adopted(fleet: Lab, command: list[str], tmp_path: Path) -> None:
    run = fleet.spawn(*command, "-e", "seconds=8", "--disconnect-grace", "30", "--limit", "lab01")
    _begun(tmp_path, "lab01")
    fleet.signal("lab01", signal.SIGSTOP)
    _state(fleet, "lab01", "suspect")
    fleet.signal("lab01", signal.SIGCONT)
    screen, _ = run.communicate(timeout=60)
    assert recap(screen)["lab01"] == {"ok": 3, "changed": 3}
    assert run.returncode == 0
    assert (tmp_path / "marks" / "lab01").read_text() == "begun\nended\n"


def test_an_agent_that_restarts_has_interrupted_its_task(fleet: Lab, command: list[str], tmp_path: Path) -> None:
    run = fleet.spawn(*command, "-e", "seconds=600", "--disconnect-grace", "30", "--limit", "lab02")
    _begun(tmp_path, "lab02")
    fleet.kill("lab02")
    fleet.start_agent("lab02")
    screen, _ = run.communicate(timeout=60)
    assert '"reason": "interrupted"' in screen
    assert recap(screen)["lab02"] == {"ok": 1, "changed": 1, "failed": 1}
    assert run.returncode == 2
    assert (tmp_path / "marks" / "lab02").read_text() == "begun\n"
    assert fleet.ctl("exec", "lab02", "-m", "ping").returncode == 0


def test_a_host_whose_agent_was_never_there_is_unreachable(fleet: Lab, tmp_path: Path) -> None:
    (tmp_path / "inventory.ini").write_text("lab01\nnowhere\n")
    (tmp_path / "site.yml").write_text("- hosts: all\n  gather_facts: false\n  tasks: [{ping: }]\n")
    done = fleet.ctl("run", "-i", f"{tmp_path}/inventory.ini", f"{tmp_path}/site.yml")
    assert "fatal: [nowhere]: UNREACHABLE! =>" in done.stdout
    assert "ok: [lab01]" in done.stdout
    assert recap(done.stdout) == {"lab01": {"ok": 1}, "nowhere": {"unreachable": 1}}
    assert done.returncode == 4


def test_a_lost_agent_may_count_as_unreachable(fleet: Lab, command: list[str], tmp_path: Path) -> None:
    words = ["--disconnect-grace", "0", "--on-disconnect", "unreachable", "--limit", "lab02"]
    run = fleet.spawn(*command, "-e", "seconds=600", *words)
    _begun(tmp_path, "lab02")
    fleet.kill("lab02")
    screen, _ = run.communicate(timeout=60)
    fleet.start_agent("lab02")
    assert recap(screen)["lab02"] == {"ok": 1, "changed": 1, "unreachable": 1}
    assert run.returncode == 4
    _attached(fleet, "lab02")


def _attached(fleet: Lab, agent: str) -> None:
    _state(fleet, agent, "ready")


def _state(fleet: Lab, agent: str, wanted: str) -> None:
    """Wait until the controller sees an agent in a state."""
    deadline = time.monotonic() + 60
    while fleet.agent(agent)["state"] != wanted:
        assert time.monotonic() < deadline, fleet.agent(agent)
        time.sleep(0.2)
