"""test_large_downloads: much content through get_url, uri, unarchive, slurp and fetch: what fails is said."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_large_files import SIZE, SOME, partials, play, random_file, same, sent, size_of, small_disk, wait
from tests.support.cut_server import cut_server
from tests.support.lab import Lab, lab

pytestmark = pytest.mark.e2e

__all__ = ["small_disk"]


@pytest.fixture(scope="module")
def running() -> Iterator[Lab]:
    with lab(agents=1) as started:
        yield started


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_file(tmp_path_factory.mktemp("large") / "large", 4 * SOME)


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with cut_server() as address:
        yield address


@pytest.fixture(scope="module")
def archive(large: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "large.tar"
    with tarfile.open(path, "w") as made:
        made.add(large, "inside")
    return path


@pytest.mark.parametrize("module", ["get_url", "uri"])
@pytest.mark.parametrize("way", ["half", "chunks"])
def test_a_server_that_ends_half_way_is_said(
    running: Lab, large: Path, web: str, tmp_path: Path, way: str, module: str
) -> None:
    (tmp_path / "old").write_text("old")
    result = running.ctl("run", str(play(tmp_path, f"{module}: {{url: '{web}/{way}{large}', dest: {tmp_path}/old}}")))
    assert result.returncode == 2, result.stdout
    assert "Connection failure: " in result.stdout
    assert (tmp_path / "old").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "site.yml"]


def test_a_download_comes_whole(running: Lab, large: Path, web: str, tmp_path: Path) -> None:
    site = play(tmp_path, f"get_url: {{url: '{web}{large}', dest: {tmp_path}/new}}")
    assert "changed=1" in running.ctl("run", str(site)).stdout
    assert same(large, tmp_path / "new")


def test_a_disk_that_a_download_fills_is_said_and_nothing_is_left(
    running: Lab, large: Path, web: str, small_disk: Path, tmp_path: Path
) -> None:
    (small_disk / "old").write_text("old")
    site = play(tmp_path, f"get_url: {{url: '{web}{large}', dest: {small_disk}/old, force: true}}")
    result = running.ctl("run", str(site))
    assert result.returncode == 2
    assert f"{small_disk}/old can not be written: No space left on device" in result.stdout
    assert [path.name for path in small_disk.iterdir()] == ["old"]
    assert (small_disk / "old").read_text() == "old"


def test_a_disk_that_is_full_while_a_download_comes_is_said(
    running: Lab, large: Path, web: str, small_disk: Path, tmp_path: Path
) -> None:
    site = play(tmp_path, f"get_url: {{url: '{web}{large}', dest: {tmp_path}/new, tmp_dest: {small_disk}}}")
    result = running.ctl("run", str(site))
    assert result.returncode == 2
    assert "No space left on device" in result.stdout
    assert list(small_disk.iterdir()) == []
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "task", ["copy: {{src: {large}, dest: {disk}/new}}", "get_url: {{url: '{web}{large}', dest: {disk}/new}}"]
)
def test_a_target_that_can_not_be_written_is_said(
    running: Lab, large: Path, web: str, small_disk: Path, tmp_path: Path, task: str
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    result = running.ctl("run", str(play(tmp_path, task.format(large=large, web=web, disk=small_disk))))
    assert result.returncode == 2
    assert f"Destination {small_disk} not writable" in result.stdout


def test_an_archive_goes_out_once_and_is_unpacked(running: Lab, archive: Path, large: Path, tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    site = play(tmp_path, f"unarchive: {{src: {archive}, dest: {tmp_path}/into}}")
    before = sent(running, "lab01")
    assert "changed=1" in running.ctl("run", str(site)).stdout
    assert sent(running, "lab01") - before == size_of(archive)
    assert same(large, tmp_path / "into" / "inside")
    assert "changed=0" in running.ctl("run", str(site)).stdout
    assert sent(running, "lab01") - before == size_of(archive)


def test_a_disk_that_an_archive_fills_is_said(running: Lab, archive: Path, small_disk: Path, tmp_path: Path) -> None:
    result = running.ctl("run", str(play(tmp_path, f"unarchive: {{src: {archive}, dest: {small_disk}}}")))
    assert result.returncode == 2
    assert f"failed to unpack {archive} to {small_disk}" in result.stdout
    # As tar says it.
    assert "inside: Wrote only " in result.stdout


def test_an_archive_of_a_server_that_ends_half_way_is_said(
    running: Lab, archive: Path, web: str, tmp_path: Path
) -> None:
    (tmp_path / "into").mkdir()
    task = f"unarchive: {{src: '{web}/half{archive}', dest: {tmp_path}/into, remote_src: true}}"
    result = running.ctl("run", str(play(tmp_path, task)))
    assert result.returncode == 2
    assert "Connection failure: " in result.stdout
    assert list((tmp_path / "into").iterdir()) == []


def test_what_is_too_large_for_a_result_is_said_by_slurp(running: Lab, tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(SIZE)
    result = running.ctl("run", str(play(tmp_path, f"slurp: {{src: {tmp_path}/large}}")))
    assert result.returncode == 2
    assert "the most that a result can hold: use fetch" in result.stdout


@pytest.mark.parametrize("gone", ["src: /nonexistent/file", "src: /nonexistent/file, fail_on_missing: true"])
def test_a_file_that_is_not_there_to_be_fetched_is_said(running: Lab, tmp_path: Path, gone: str) -> None:
    result = running.ctl("run", str(play(tmp_path, f"fetch: {{{gone}, dest: {tmp_path}/got}}")))
    assert result.returncode == 2
    assert "the remote file does not exist" in result.stdout
    assert not (tmp_path / "got").exists()


def test_a_fetch_whose_agent_is_killed_half_way_goes_on_where_it_was(tmp_path: Path) -> None:
    source = random_file(tmp_path / "source", 4 * SIZE)
    with lab(agents=1) as running:
        site = play(tmp_path, f"fetch: {{src: {source}, dest: {tmp_path}/got, flat: true}}")
        process = running.spawn("run", str(site), "--disconnect-grace", "0")
        incoming = running.folder / "controller" / "blobs" / "incoming"
        wait(lambda: any(size_of(path) >= SOME for path in incoming.iterdir()))
        running.kill("lab01")
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 2, out
        assert not (tmp_path / "got").exists()
        wait(lambda: len(list(incoming.iterdir())) == 1)
        [partial] = incoming.iterdir()
        number = partial.stat().st_ino

        running.start_agent("lab01")
        wait(lambda: running.agent("lab01")["state"] == "ready")
        again = running.ctl("run", str(site))
        assert "changed=1" in again.stdout, again.stdout
        # The same file on the controller's disk: it was gone on with, not begun anew.
        [blob] = [path for path in (running.folder / "controller" / "blobs").rglob("*") if path.is_file()]
        assert blob.stat().st_ino == number
        assert same(source, tmp_path / "got")
        assert partials(running.folder) == []
