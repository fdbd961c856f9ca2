"""test_live_output: what tasks print is seen while they run: on the operator's terminal, by watchers, in the JSON."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import Lab, lab

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def running() -> Iterator[Lab]:
    with lab(agents=2, prefix="edge") as started:
        yield started


def play(folder: Path, task: str) -> str:
    path = folder / "site.yml"
    path.write_text(f"- hosts: all\n  gather_facts: false\n  tasks:\n  - name: speak\n    {task}\n")
    return str(path)


# A task that goes on only when somebody has seen what it said.
ASKS = "echo first of $HOSTNAME; for i in $(seq 300); do test -e {gate} && break; sleep 0.1; done; echo second"


def at_a_terminal(running: Lab, *words: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start pybible-ctl on a terminal of its own; return the terminal's other end, too."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYBIBLE_CONTROLLER": running.controller, "TERM": "dumb", "COLUMNS": "200"}
    process = subprocess.Popen(
        ["pybible-ctl", *words], env=environment, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    return process, ours


def read_until(terminal: int, *texts: str) -> str:
    """Read a terminal until all of these came."""
    seen = ""
    deadline = time.monotonic() + 30
    while not all(text in seen for text in texts):
        assert time.monotonic() < deadline, seen
        try:
            seen += os.read(terminal, 4096).decode()
        except OSError:
            break
    return seen


@pytest.mark.parametrize("module", ["shell", "script"])
def test_an_operator_with_v_sees_what_tasks_print(running: Lab, tmp_path: Path, module: str) -> None:
    gate = tmp_path / "gate"
    command = ASKS.format(gate=gate)
    if module == "script":
        (tmp_path / "ask.sh").write_text(f"#!/bin/bash\n{command}\n")
        command = "ask.sh"
    process, terminal = at_a_terminal(running, "run", "-v", play(tmp_path, f"{module}: {command}"))
    seen = read_until(terminal, "edge01 | first of", "edge02 | first of")
    assert "changed:" not in seen
    gate.touch()
    seen += read_until(terminal, "PLAY RECAP", "edge02 ")
    process.wait(timeout=30)
    os.close(terminal)
    assert seen.index("edge01 | second") < seen.index("changed: [edge01]")


def test_without_v_nothing_is_shown_before_the_result(running: Lab, tmp_path: Path) -> None:
    process, terminal = at_a_terminal(running, "run", play(tmp_path, "shell: echo first; sleep 0.5; echo second"))
    seen = read_until(terminal, "PLAY RECAP", "edge02 ")
    process.wait(timeout=30)
    os.close(terminal)
    assert "| first" not in seen


def test_a_watcher_sees_it_under_the_host_s_name(running: Lab, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    process = running.spawn("run", play(tmp_path, f"shell: {ASKS.format(gate=gate)}"))
    deadline = time.monotonic() + 30
    while not any(run["state"] == "running" for run in json.loads(running.ctl("runs", "--json").stdout)):
        assert time.monotonic() < deadline
    watcher, terminal = at_a_terminal(running, "runs", "watch", "latest")
    time.sleep(0.5)
    gate.touch()
    seen = read_until(terminal, "PLAY RECAP", "edge02 ")
    os.close(terminal)
    watcher.wait(timeout=30)
    process.communicate(timeout=30)
    assert "edge01 | second" in seen
    assert "edge02 | second" in seen


def test_the_json_has_it_bounded_and_marked_where_it_is_cut(running: Lab, tmp_path: Path) -> None:
    site = play(tmp_path, "shell: yes | head -c 1000000; sleep 0.3; echo end")
    done = running.ctl("run", site, "--json", "--limit", "edge01", check=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    outputs = [event for event in events if event["type"] == "output"]
    assert {event["host"] for event in outputs} == {"edge01"}
    assert sum(len(event["text"]) for event in outputs) == 256 * 1024
    assert sum(event.get("dropped", 0) for event in outputs) == 1_000_004 - 256 * 1024
    [result] = [event for event in events if event["type"] == "host_result"]
    assert len(result["result"]["stdout"]) == len("y\n") * 500_000 + len("end")
    assert events.index(outputs[0]) < events.index(result)


def test_other_modules_that_run_programs_show_them(running: Lab, tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("all:\n\t@echo making; sleep 0.4; echo made\n")
    site = play(tmp_path, f"community.general.make: {{chdir: {tmp_path}}}")
    done = running.ctl("run", site, "--json", "--limit", "edge01", check=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert "making\n" in "".join(event["text"] for event in events if event["type"] == "output")


def test_what_no_log_hides_is_not_shown_live(running: Lab, tmp_path: Path) -> None:
    site = play(tmp_path, "shell: echo planted; sleep 0.4; echo planted\n    no_log: true")
    done = running.ctl("run", site, "--json", "--limit", "edge01", check=True)
    assert "output" not in {json.loads(line)["type"] for line in done.stdout.splitlines()}
