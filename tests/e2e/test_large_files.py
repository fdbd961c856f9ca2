"""test_large_files: content too large for a message, through real processes: how much travels, what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.lab import Lab, lab
from tests.support.proxied import proxied

pytestmark = pytest.mark.e2e

SIZE = 64 * 1024 * 1024
# As slowly as this (bytes) a file may be on its way when something is to happen to it half-way.
SOME = 4 * 1024 * 1024


@pytest.fixture(scope="module")
def running() -> Iterator[Lab]:
    with lab(agents=2) as started:
        yield started


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_file(tmp_path_factory.mktemp("large") / "large")


def random_file(path: Path, size: int = SIZE) -> Path:
    with path.open("wb") as file:
        for _ in range(size // SOME):
            file.write(os.urandom(SOME))
    return path


def play(folder: Path, *tasks: str, hosts: str = "all") -> Path:
    path = folder / "site.yml"
    listed = "".join(f"  - {task}\n" for task in tasks)
    path.write_text(f"- hosts: {hosts}\n  gather_facts: false\n  tasks:\n{listed}")
    return path


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def same(one: Path, other: Path) -> bool:
    return subprocess.run(["cmp", "-s", one, other], check=False).returncode == 0


def sent(running: Lab, name: str) -> int:
    found = running.agent(name)["content_bytes_sent"]
    assert isinstance(found, int)
    return found


def partials(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.suffix == ".part" or path.parent.name == "incoming"]


def test_a_large_file_goes_out_once_and_unchanged_not_at_all(running: Lab, large: Path, tmp_path: Path) -> None:
    site = play(tmp_path, f"copy: {{src: {large}, dest: '{tmp_path}/{{{{ inventory_hostname }}}}', mode: '0600'}}")
    before = sent(running, "lab01")
    first = running.ctl("run", str(site))
    assert first.stdout.count("changed=1") == 2, first.stdout + first.stderr
    assert sent(running, "lab01") - before == SIZE
    assert same(large, tmp_path / "lab01")
    assert same(large, tmp_path / "lab02")

    again = running.ctl("run", str(site))
    assert again.stdout.count("changed=0") == 2, again.stdout
    assert sent(running, "lab01") - before == SIZE


def test_a_file_that_the_host_has_goes_nowhere(running: Lab, tmp_path: Path) -> None:
    source = random_file(tmp_path / "source", 2 * SOME)
    there = tmp_path / "there"
    there.write_bytes(source.read_bytes())
    there.chmod(0o644)
    site = play(tmp_path, f"copy: {{src: {source}, dest: {there}}}", hosts="lab01")
    before = sent(running, "lab01")
    stored = len(list((running.folder / "controller" / "blobs").rglob("*")))
    result = running.ctl("run", str(site))
    assert "ok=1    changed=0" in result.stdout
    assert sent(running, "lab01") == before
    assert len(list((running.folder / "controller" / "blobs").rglob("*"))) == stored


def test_check_mode_sends_no_content(running: Lab, tmp_path: Path) -> None:
    source = random_file(tmp_path / "source", 2 * SOME)
    site = play(tmp_path, f"copy: {{src: {source}, dest: {tmp_path}/new}}", hosts="lab01")
    before = sent(running, "lab01")
    result = running.ctl("run", str(site), "--check", "--diff")
    assert "ok=1    changed=1" in result.stdout
    assert sent(running, "lab01") == before
    assert not (tmp_path / "new").exists()


def test_a_large_file_is_fetched_whole_and_unchanged_not_at_all(running: Lab, tmp_path: Path) -> None:
    source = random_file(tmp_path / "source")
    site = play(tmp_path, f"fetch: {{src: {source}, dest: {tmp_path}/got}}", hosts="lab01:localhost")
    first = running.ctl("run", str(site), "-i", "lab01,localhost,")
    assert first.stdout.count("changed=1") == 2, first.stdout + first.stderr
    for host in ("lab01", "localhost"):
        assert same(source, tmp_path / "got" / host / source.relative_to("/"))
    again = running.ctl("run", str(site), "-i", "lab01,localhost,")
    assert again.stdout.count("changed=0") == 2, again.stdout
    assert [path for path in (tmp_path / "got").rglob("*") if path.name.startswith(".")] == []


def test_content_that_the_controller_has_is_fetched_without_being_put_again(running: Lab, tmp_path: Path) -> None:
    source = random_file(tmp_path / "source", 4 * SOME)
    for name in ("one", "two"):
        site = play(tmp_path, f"fetch: {{src: {source}, dest: {tmp_path}/{name}, flat: true}}", hosts="lab01")
        result = running.ctl("run", str(site))
        assert "changed=1" in result.stdout, result.stdout
        assert same(source, tmp_path / name)


def test_an_agent_that_is_killed_half_way_goes_on_where_it_was(tmp_path: Path) -> None:
    source = random_file(tmp_path / "source")
    with lab(agents=1) as running:
        site = play(tmp_path, f"copy: {{src: {source}, dest: {tmp_path}/new}}")
        process = running.spawn("run", str(site), "--disconnect-grace", "0")
        blobs = running.folder / "agents" / "lab01" / "blobs"
        wait(lambda: any(size_of(path) >= SOME for path in blobs.glob("*.part")))
        running.kill("lab01")
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 2, out
        assert not (tmp_path / "new").exists()
        [partial] = blobs.glob("*.part")
        had = size_of(partial)
        assert SOME <= had < SIZE

        running.start_agent("lab01")
        wait(lambda: running.agent("lab01")["state"] == "ready")
        before = sent(running, "lab01")
        again = running.ctl("run", str(site))
        assert "changed=1" in again.stdout, again.stdout
        assert sent(running, "lab01") - before == SIZE - had
        assert same(source, tmp_path / "new")
        assert partials(running.folder) == []


def test_a_connection_that_is_slower_than_the_controller_damages_nothing(tmp_path: Path) -> None:
    with lab(agents=1) as running, proxied(running, "lab01"):
        wait(lambda: running.agent("lab01")["state"] == "ready")
        for number in range(2):
            source = random_file(tmp_path / f"source{number}")
            site = play(tmp_path, f"copy: {{src: {source}, dest: {tmp_path}/new}}")
            assert "changed=1" in running.ctl("run", str(site)).stdout
            assert same(source, tmp_path / "new")
        # An agent tries again by itself: that it had to is only in its log.
        assert "content is fetched again" not in (running.folder / "agents" / "lab01.log").read_text()


def test_a_connection_that_breaks_half_way_costs_what_was_on_its_way(tmp_path: Path) -> None:
    source = random_file(tmp_path / "source")
    with lab(agents=1) as running, proxied(running, "lab01") as proxy:
        wait(lambda: running.agent("lab01")["state"] == "ready")
        site = play(tmp_path, f"copy: {{src: {source}, dest: {tmp_path}/new}}")
        process = running.spawn("run", str(site))
        blobs = running.folder / "agents" / "lab01" / "blobs"
        wait(lambda: any(size_of(path) >= SOME for path in blobs.glob("*.part")))
        proxy.reset()
        out, errors = process.communicate(timeout=60)
        assert process.returncode == 0, out + errors
        assert "changed=1" in out
        assert same(source, tmp_path / "new")
        assert SIZE <= sent(running, "lab01") <= SIZE + 4 * SOME
        assert partials(running.folder) == []


def test_a_ctl_that_is_killed_half_way_goes_on_where_it_was(tmp_path: Path) -> None:
    source = random_file(tmp_path / "source")
    with lab(agents=1) as running:
        site = play(tmp_path, f"copy: {{src: {source}, dest: {tmp_path}/new}}")
        process = running.spawn("run", str(site))
        incoming = running.folder / "controller" / "blobs" / "incoming"
        wait(lambda: any(size_of(path) >= SOME for path in incoming.iterdir()))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        [partial] = incoming.iterdir()
        had, number = size_of(partial), partial.stat().st_ino
        assert had < SIZE

        again = running.ctl("run", str(site))
        assert "changed=1" in again.stdout, again.stdout
        # The same file on the controller's disk: it was gone on with, not begun anew.
        [blob] = [path for path in (running.folder / "controller" / "blobs").rglob("*") if path.is_file()]
        assert blob.stat().st_ino == number
        assert same(source, tmp_path / "new")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("needs to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_said_and_nothing_is_left(running: Lab, large: Path, small_disk: Path, tmp_path: Path) -> None:
    (small_disk / "old").write_text("old")
    site = play(tmp_path, f"copy: {{src: {large}, dest: {small_disk}/old}}", hosts="lab01")
    result = running.ctl("run", str(site))
    assert result.returncode == 2
    assert f"{small_disk}/old can not be written: No space left on device" in result.stdout
    assert [path.name for path in small_disk.iterdir()] == ["old"]
    assert (small_disk / "old").read_text() == "old"


def test_a_full_disk_of_the_control_node_is_said_and_nothing_is_left(
    running: Lab, large: Path, small_disk: Path, tmp_path: Path
) -> None:
    site = play(tmp_path, f"fetch: {{src: {large}, dest: {small_disk}/got, flat: true}}", hosts="lab01")
    result = running.ctl("run", str(site))
    assert result.returncode == 2
    assert "No space left on device" in result.stdout
    assert list(small_disk.iterdir()) == []


def test_a_target_that_can_not_be_written_is_said(running: Lab, small_disk: Path, tmp_path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    site = play(tmp_path, f"copy: {{content: x, dest: {small_disk}/new}}", hosts="lab01")
    result = running.ctl("run", str(site))
    assert result.returncode == 2
    assert f"Destination {small_disk} not writable" in result.stdout


def test_a_source_that_shrinks_on_its_way_is_said(running: Lab, tmp_path: Path) -> None:
    source = random_file(tmp_path / "source")
    site = play(tmp_path, f"copy: {{src: {source}, dest: {tmp_path}/new}}", hosts="lab01")
    process = running.spawn("run", str(site))
    incoming = running.folder / "controller" / "blobs" / "incoming"
    wait(lambda: any(size_of(path) >= SOME for path in incoming.iterdir()))
    os.truncate(source, 0)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"{source} was not sent" in out
    assert not (tmp_path / "new").exists()


def test_a_source_that_is_not_there_is_said(running: Lab, tmp_path: Path) -> None:
    site = play(tmp_path, f"copy: {{src: {tmp_path}/gone, dest: {tmp_path}/new}}", hosts="lab01")
    result = running.ctl("run", str(site))
    assert result.returncode == 2
    assert f"Could not find or access '{tmp_path}/gone'" in result.stdout
