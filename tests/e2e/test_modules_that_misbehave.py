"""modules that misbehave: each is its host's clear result, the agent stays, and the next task on it works."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import Lab, lab
from tests.support.screens import recap

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def fleet() -> Iterator[Lab]:
    with lab(agents=1) as running:
        yield running


def _play(fleet: Lab, folder: Path, tasks: str) -> str:
    """Run tasks on the one agent, with a ping after them; the agent must be READY and idle at the end."""
    (folder / "inventory.ini").write_text("lab01\n")
    (folder / "site.yml").write_text(f"- hosts: all\n  gather_facts: false\n  tasks:\n{tasks}\n    - ping:\n")
    before = fleet.agent("lab01")
    done = fleet.ctl("run", "-i", f"{folder}/inventory.ini", f"{folder}/site.yml", check=True)
    after = fleet.agent("lab01")
    assert after["state"] == "ready"
    assert after["epoch"] == before["epoch"], "the session broke"
    assert done.stdout.count("ok: [lab01]") >= 1, done.stdout
    return done.stdout


def _failure(screen: str) -> dict[str, object]:
    """Return the result of the task that failed and was ignored."""
    [line] = [line for line in screen.splitlines() if line.startswith("fatal: [lab01]: FAILED! => ")]
    found: dict[str, object] = json.loads(line.partition("=> ")[2])
    return found


def test_one_that_raises(fleet: Lab, tmp_path: Path) -> None:
    screen = _play(fleet, tmp_path, "    - ping: {data: crash}\n      ignore_errors: true")
    assert "boom" in str(_failure(screen))


def test_one_that_kills_its_worker(fleet: Lab, tmp_path: Path) -> None:
    screen = _play(fleet, tmp_path, "    - shell: kill -9 $PPID; sleep 60\n      ignore_errors: true")
    failure = _failure(screen)
    assert failure["reason"] == "worker_died"
    assert "SIGKILL" in str(failure["msg"]) or "9" in str(failure["msg"])


def test_one_that_prints_garbage_where_frames_are_expected(fleet: Lab, tmp_path: Path) -> None:
    tasks = "    - shell: for n in 0 1 2; do echo garbage > /proc/$PPID/fd/$n; done\n      failed_when: false"
    screen = _play(fleet, tmp_path, tasks)
    assert recap(screen)["lab01"]["ok"] == 2


def test_one_that_never_ends(fleet: Lab, tmp_path: Path) -> None:
    screen = _play(fleet, tmp_path, "    - command: sleep 600\n      timeout: 2\n      ignore_errors: true")
    failure = _failure(screen)
    assert "timed" in str(failure["msg"]).lower() or "timeout" in str(failure["msg"]).lower()


def test_one_that_never_ends_and_ignores_the_signal(fleet: Lab, tmp_path: Path) -> None:
    tasks = "    - shell: trap '' TERM; while true; do sleep 1; done\n      timeout: 1\n      ignore_errors: true"
    assert "tim" in str(_failure(_play(fleet, tmp_path, tasks))["msg"]).lower()


def test_one_whose_result_is_twenty_megabytes(fleet: Lab, tmp_path: Path) -> None:
    tasks = """    - shell: head -c 20000000 /dev/zero | tr '\\0' x
      register: large
    - debug: msg="{{ large.stdout | length }}"
"""
    assert '"msg": 20000000' in _play(fleet, tmp_path, tasks)


def test_one_whose_result_is_larger_than_any_may_be(fleet: Lab, tmp_path: Path) -> None:
    tasks = "    - shell: head -c 80000000 /dev/zero | tr '\\0' x\n      ignore_errors: true"
    assert _failure(_play(fleet, tmp_path, tasks))["reason"] == "result_too_large"


def test_arguments_that_are_wrong(fleet: Lab, tmp_path: Path) -> None:
    screen = _play(fleet, tmp_path, "    - file: {path: /tmp, state: nonsense}\n      ignore_errors: true")
    assert "value of state must be one of" in str(_failure(screen)["msg"])
