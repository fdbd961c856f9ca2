"""resume: a pybible-ctl that is killed in the middle of a run; what is left is done, and nothing that was done."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.support.lab import Lab, lab

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - {shell: "echo first-{{ inventory_hostname }} | tee -a {{ marks }}", register: first, notify: handler}
    - shell: "echo {{ first.stdout }}-{{ item }} >> {{ marks }}"
      loop: [a, b]
    # The pipe's other end is the test's.
    - {shell: "cat {{ gate }}", register: gate_of}
    - {shell: "echo last-{{ first.stdout }}-{{ secret }} >> {{ marks }}"}
    - {command: "false", when: inventory_hostname == 'lab02'}
  handlers:
    - {name: handler, shell: "echo handler-{{ inventory_hostname }} >> {{ marks }}"}
"""
SECRET = "xyzzy-17"


def test_a_ctl_that_is_killed_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    marks, gate = tmp_path / "marks", tmp_path / "gate"
    os.mkfifo(gate)
    (tmp_path / "inventory.ini").write_text("lab01\nlab02\n")
    (tmp_path / "site.yml").write_text(PLAYBOOK)
    (tmp_path / "vars.yml").write_text(f"marks: {marks}\ngate: {gate}\n")
    with lab(agents=2) as fleet:
        _run_and_kill(fleet, tmp_path)
        assert sorted(Counter(marks.read_text().split()).values()) == [1] * 6

        refused = fleet.ctl("runs", "resume", "latest")
        assert refused.returncode == 5
        assert "whose values are not kept: secret" in refused.stderr
        gate.unlink()
        gate.write_text("")
        resumed = fleet.ctl("runs", "resume", "latest", "-e", f"secret={SECRET}")

        assert resumed.returncode == 2, resumed.stderr
        assert (
            "had begun on lab01, lab02 and its end is not known: it is run again there"
            in resumed.stdout + resumed.stderr
        )
        assert "changed: [lab01, from run " in resumed.stdout
        assert "lab01                      : ok=5    changed=5" in resumed.stdout
        assert "lab02                      : ok=4    changed=4    unreachable=0    failed=1" in resumed.stdout
        done = Counter(marks.read_text().split())
        assert set(done.values()) == {1}
        assert set(done) == {
            *(f"first-lab{number:02}" for number in (1, 2)),
            *(f"first-lab{number:02}-{item}" for number in (1, 2) for item in "ab"),
            *(f"last-first-lab{number:02}-{SECRET}" for number in (1, 2)),
            "handler-lab01",
        }
        retried = fleet.ctl("runs", "retry", "latest", "--failed", "-e", f"secret={SECRET}")
        assert retried.returncode == 2
        assert "lab01" not in retried.stdout
        assert "lab02                      : ok=4    changed=4" in retried.stdout
        listed = fleet.ctl("runs", check=True).stdout
        assert "site.yml (resumes: " in listed
        assert "site.yml (once more: " in listed
    kept = b"".join(path.read_bytes() for path in (tmp_path / "state/pybible/runs").rglob("command.json"))
    assert SECRET.encode() not in kept


def _run_and_kill(fleet: Lab, folder: Path) -> None:
    words = ("-i", f"{folder}/inventory.ini", "-e", f"@{folder}/vars.yml", "-e", f"secret={SECRET}")
    running = fleet.spawn("run", *words, f"{folder}/site.yml")
    # Opening it waits for the first host that reads.
    with (folder / "gate").open("w"):
        running.send_signal(signal.SIGKILL)
        running.communicate()
