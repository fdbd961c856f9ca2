"""test_reboot_and_synchronize: a host that goes down on purpose, and trees to a host and back: real daemons."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import Lab, lab

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def running() -> Iterator[Lab]:
    with lab(agents=1) as started:
        yield started


def play(folder: Path, *tasks: str) -> Path:
    path = folder / "site.yml"
    listed = "".join(f"  - {task}\n" for task in tasks)
    path.write_text(f"- hosts: all\n  gather_facts: false\n  tasks:\n{listed}")
    return path


def test_an_agent_that_goes_down_with_its_host_is_waited_for(running: Lab, tmp_path: Path) -> None:
    boot, down = tmp_path / "boot", tmp_path / "down"
    boot.write_text("first")
    arguments = f"reboot_command: /usr/bin/touch {down}, boot_time_command: cat {boot}, reboot_timeout: 60"
    site = play(tmp_path, f"reboot: {{{arguments}}}", f"command: cat {boot}")
    process = running.spawn("run", "-v", str(site))
    deadline = time.monotonic() + 60
    while not down.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.kill("lab01")
    boot.write_text("second")
    running.start_agent("lab01")
    shown, _ = process.communicate(timeout=90)
    assert process.returncode == 0, shown
    assert '"rebooted": true' in shown
    assert '"stdout": "second"' in shown


@pytest.mark.skipif(shutil.which("rsync") is None, reason="this machine has no rsync")
def test_a_tree_goes_to_a_host_once_and_comes_back(running: Lab, tmp_path: Path) -> None:
    source, there, back = tmp_path / "tree", tmp_path / "there", tmp_path / "back"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "large").write_bytes(bytes(range(256)) * 4096)
    (source / "skipped.log").write_text("x")
    push = f"synchronize: {{src: {source}/, dest: {there}, rsync_opts: ['--exclude=*.log']}}"
    site = play(tmp_path, push)
    first = running.ctl("run", str(site), check=True)
    sent = running.agent("lab01")["content_bytes_sent"]
    second = running.ctl("run", str(site), check=True)
    assert ("changed=1" in first.stdout, "changed=0" in second.stdout) == (True, True)
    assert running.agent("lab01")["content_bytes_sent"] == sent
    assert (there / "sub" / "large").read_bytes() == (source / "sub" / "large").read_bytes()
    assert not (there / "skipped.log").exists()
    pull = f"synchronize: {{src: {there}/, dest: {back}, mode: pull, delete: true}}"
    running.ctl("run", str(play(tmp_path, pull, pull)), check=True)
    assert (back / "sub" / "large").stat().st_size == 1024 * 1024
