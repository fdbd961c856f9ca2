"""window: never more than `forks` attempts out, and the window full while hosts wait, as the controller recorded it."""

from __future__ import annotations

import itertools
import json
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.lab import lab

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

# Lengths that keep two tasks from ending at the same moment.
PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - command: "sleep {{ 0.6 + ansible_play_hosts_all.index(inventory_hostname) * 0.17 }}"
"""


def test_two_forks_and_six_hosts(tmp_path: Path) -> None:
    hosts = [f"lab{number:02}" for number in range(1, 7)]
    (tmp_path / "inventory.ini").write_text("\n".join(hosts) + "\n")
    (tmp_path / "site.yml").write_text(PLAYBOOK)
    with lab(agents=6) as fleet:
        fleet.ctl("run", "-i", f"{tmp_path}/inventory.ini", "-f", "2", f"{tmp_path}/site.yml", check=True)
        [run] = json.loads(fleet.ctl("runs", "--json", check=True).stdout)
        shown = json.loads(fleet.ctl("runs", "show", run["run_id"], "--json", check=True).stdout)
    attempts = shown["attempts"]
    assert sorted(attempt["host"] for attempt in attempts) == hosts
    moments = [(datetime.fromisoformat(attempt["dispatched"]), 1) for attempt in attempts]
    moments += [(datetime.fromisoformat(attempt["ended"]), -1) for attempt in attempts]
    depths, depth, waiting = [], 0, len(hosts)
    for _, change in sorted(moments):
        depth += change
        waiting -= change == 1
        depths.append((depth, waiting))
    assert max(depth for depth, _ in depths) == 2
    # Between an end and the next dispatch it is 1 for a moment, never 0 and never 1 twice in a row, while hosts wait.
    busy = [depth for depth, waiting in depths[1:] if waiting]
    assert all(first + second >= 3 for first, second in itertools.pairwise(busy))
