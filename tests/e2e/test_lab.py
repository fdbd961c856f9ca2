"""test_lab: a lab comes up whole, says how to reach it, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from pybible.server.client.processes import started_at
from tests.support.lab import Lab, lab

pytestmark = pytest.mark.e2e


def ctl(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["pybible-ctl", *words],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_lab_comes_up_ready_and_goes_down_whole(tmp_path: Path) -> None:
    state = tmp_path / "lab"
    up = ctl("lab", "up", "--agents", "2", "--prefix", "edge", "--state", str(state))
    assert up.returncode == 0, up.stderr
    try:
        address = up.stdout.strip().removeprefix("export PYBIBLE_CONTROLLER=")
        assert address.startswith("unix:/")
        listed = json.loads(ctl("agents", "--json", "--controller", address).stdout)
        assert [(agent["name"], agent["state"]) for agent in listed] == [("edge01", "ready"), ("edge02", "ready")]
        again = ctl("lab", "up", "--agents", "1", "--state", str(state))
        assert (again.returncode, "there is a lab" in again.stderr) == (1, True)
        pids = [daemon["pid"] for daemon in json.loads((state / "lab.json").read_text())["daemons"]]
        assert len(pids) == 3
    finally:
        began = time.monotonic()
        down = ctl("lab", "down", "--state", str(state))
    assert (down.returncode, down.stderr) == (0, "")
    assert time.monotonic() - began < 20
    assert all(started_at(pid) == -1 for pid in pids)
    assert not state.exists()
    assert ctl("lab", "down", "--state", str(state)).returncode == 1


def test_a_swarm_is_a_group_that_answers_and_goes_with_its_lab(tmp_path: Path) -> None:
    state = tmp_path / "lab"
    up = ctl("lab", "up", "--swarm", "5", "--state", str(state))
    assert up.returncode == 0, up.stderr
    try:
        address = up.stdout.strip().partition("=")[2]
        listed = json.loads(ctl("agents", "--json", "--controller", address).stdout)
        names = [f"swarm{number:05}" for number in range(1, 6)]
        assert [(agent["name"], agent["state"]) for agent in listed] == [(name, "ready") for name in names]
        pinged = ctl("exec", "kind_swarm", "-m", "ping", PYBIBLE_CONTROLLER=address)
        assert (pinged.returncode, pinged.stdout.count("SUCCESS")) == (0, 5), pinged.stdout + pinged.stderr
        pids = [daemon["pid"] for daemon in json.loads((state / "lab.json").read_text())["daemons"]]
        assert len(pids) == 2
    finally:
        assert ctl("lab", "down", "--state", str(state)).returncode == 0
    assert all(started_at(pid) == -1 for pid in pids)
    assert not state.exists()


def test_a_folder_that_was_there_keeps_what_is_not_the_labs(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    assert ctl("lab", "up", "--agents", "0", "--state", str(tmp_path)).returncode == 0
    assert ctl("lab", "down", "--state", str(tmp_path)).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_socket_of_a_lab_in_a_deep_folder_is_elsewhere(tmp_path: Path) -> None:
    state = tmp_path / ("d" * 90) / "lab"
    up = ctl("lab", "up", "--agents", "1", "--state", str(state))
    try:
        assert up.returncode == 0, up.stderr
        address = up.stdout.strip().partition("=")[2]
        assert ctl("exec", "all", "-m", "ping", PYBIBLE_CONTROLLER=address).returncode == 0
    finally:
        ctl("lab", "down", "--state", str(state))
    assert not Path(address.removeprefix("unix:")).parent.exists()


def test_a_controller_that_does_not_start_is_explained_and_nothing_is_left(tmp_path: Path) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text("forks = 'many'\n")
    up = ctl("lab", "up", "--agents", "1", "--state", str(tmp_path / "lab"), "--config", str(config))
    assert up.returncode == 1
    assert "forks must be a whole number" in up.stderr
    assert not (tmp_path / "lab").exists()


def test_an_interrupted_run_is_cancelled_and_says_what_was_out(tmp_path: Path) -> None:
    with lab(agents=2, prefix="edge") as running:
        process = running.spawn("exec", "all", "-a", "sleep 60")
        wait_until_something_is_out(running.folder, running.controller)
        process.send_signal(signal.SIGINT)
        _out, errors = process.communicate(timeout=20)
        assert process.returncode == 99
        assert "tasks were out on edge01, edge02" in errors
        assert state_at_the_end(running) == "cancelled"


def state_at_the_end(running: Lab) -> str:
    """Return what became of the only run. Its ctl does not wait for a controller that is slow to note it."""
    deadline = time.monotonic() + 30
    while True:
        (run,) = json.loads(running.ctl("runs", "--json").stdout)
        if run["state"] != "running":
            return str(run["state"])
        assert time.monotonic() < deadline, run
        time.sleep(0.1)


def wait_until_something_is_out(folder: Path, address: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        listed = json.loads(ctl("agents", "--json", "--controller", address).stdout)
        if all(agent["running"] for agent in listed):
            return
        assert time.monotonic() < deadline, folder
        time.sleep(0.1)
