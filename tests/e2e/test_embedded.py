"""test_embedded: without any controller a playbook for this machine just works, and nothing is left running."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from pathlib import Path

import pytest

from pybible.server.client.processes import started_at

pytestmark = pytest.mark.e2e


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYBIBLE_CONTROLLER"}
    return subprocess.run(
        ["pybible-ctl", *words],
        env={**environment, "XDG_STATE_HOME": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "config")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_localhost_needs_no_agent(tmp_path: Path) -> None:
    playbook = tmp_path / "site.yml"
    playbook.write_text("- hosts: localhost\n  gather_facts: false\n  tasks:\n    - command: echo hi\n")
    done = run(tmp_path, "run", "-i", "localhost,", str(playbook))
    assert done.returncode == 0, done.stderr
    assert "changed: [localhost]" in done.stdout
    assert not (tmp_path / "state/pybible/embedded-1/agent").exists()


def test_this_host_is_the_fleet_and_keeps_its_identity(tmp_path: Path) -> None:
    first = run(tmp_path, "exec", "all", "-a", "sh -c 'echo $PPID'")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith(f"{socket.gethostname()} | CHANGED | rc=0 >>\n")
    pid = int(re.findall(r"^\d+$", first.stdout, re.MULTILINE)[0])
    assert started_at(pid) == -1
    identity = tmp_path / "state/pybible/embedded-1/agent/agent.pem"
    before = identity.read_bytes()
    assert run(tmp_path, "exec", "all", "-m", "ping").returncode == 0
    assert identity.read_bytes() == before
    # It is good for longer than anybody pauses.
    assert json.loads((identity.parent / "agent.json").read_bytes())["expires"] > time.time() + 5 * 365 * 86400


def test_a_host_that_is_not_this_one_is_unreachable(tmp_path: Path) -> None:
    done = run(tmp_path, "exec", "-i", "elsewhere,", "all", "-m", "ping")
    assert done.returncode == 4
    assert "elsewhere | UNREACHABLE! => {" in done.stdout
