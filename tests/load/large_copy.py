"""large_copy: large files to and from several agents: the time, what travels, and how the memory of each process rises.

`python -m tests.load.large_copy [--megabytes 1024] [--agents 3] [--archive 300]` prints a line for each process: for a
copy to all, one that finds the file there, a fetch from all; on one agent, for a copy whose agent is killed half-way,
and the next one, which goes on; for one whose connection breaks half-way; for an archive and for a download.
"""

from __future__ import annotations

import argparse
import os
import tarfile
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.load.processes import descendants, memory_bytes
from tests.support.cut_server import cut_server
from tests.support.lab import Lab, lab
from tests.support.proxied import proxied

_MEGABYTE = 1024 * 1024
_SAMPLE_SECONDS = 0.05


class Halfway:
    """Does something once an agent has half of a file."""

    def __init__(self, running: Lab, name: str, *, size: int, action: Callable[[], None]) -> None:
        self._blobs = running.folder / "agents" / name / "blobs"
        self._half = size // 2
        self._action: Callable[[], None] | None = action

    def look(self) -> None:
        """Do it if it is time."""
        if self._action is not None and any(_size(path) >= self._half for path in self._blobs.glob("*.part")):
            action, self._action = self._action, None
            action()


def measure(running: Lab, title: str, *words: str, halfway: Halfway | None = None, fails: bool = False) -> None:
    """Run ctl and print what it took."""
    watched = _processes(running)
    before = {name: memory_bytes([pid]) for name, pid in watched.items()}
    peaks = dict(before)
    sent = {name: _sent(running, name) for name in watched if name != "controller"}
    began = time.monotonic()
    process = running.spawn(*words)
    first: dict[int, int] = {}
    rises: dict[str, int] = {}
    while process.poll() is None:
        if halfway is not None:
            halfway.look()
        for name, pid in watched.items():
            peaks[name] = max(peaks[name], memory_bytes([pid]))
        # A worker, or ctl, is measured from when it is ready to work.
        others = {pid: f"worker of {name}" for name, pid in watched.items() for pid in descendants([pid])}
        for pid, name in {**others, process.pid: "ctl"}.items():
            used = memory_bytes([pid])
            if used:
                first.setdefault(pid, used)
                rises[name] = max(rises.get(name, 0), used)
        time.sleep(_SAMPLE_SECONDS)
    took = time.monotonic() - began
    out, errors = process.communicate()
    print(f"{title}: exit status {process.returncode}, {took:.1f} s")
    if bool(process.returncode) is not fails:
        print(out, errors)
    for name, peak in peaks.items():
        more = f", {(_sent(running, name) - sent[name]) / _MEGABYTE:7.1f} MiB of content sent" if name in sent else ""
        print(f"  {name:20} rose by {(peak - before[name]) / _MEGABYTE:6.1f} MiB to {peak / _MEGABYTE:6.1f} MiB{more}")
    for name, peak in sorted(rises.items()):
        print(f"  {name:20} at most {peak / _MEGABYTE:6.1f} MiB in all", flush=True)


def broken_off(running: Lab, folder: Path, name: str, *, size: int) -> None:
    """Copy to one agent that is killed half-way, once more, and over a connection that breaks half-way."""
    large, target = folder / "broken", folder / "arrived"
    copy = _play(folder / "broken.yml", f"copy: {{src: {large}, dest: {target}, mode: '0600'}}", hosts=name)
    _fill(large, size)
    before = _sent(running, name)
    killed = Halfway(running, name, size=size, action=lambda: running.kill(name))
    words = ("run", str(copy), "--disconnect-grace", "0")
    measure(running, f"{name} is killed half-way", *words, halfway=killed, fails=True)
    partial = sum(map(_size, (running.folder / "agents" / name / "blobs").glob("*.part")))
    print(f"  {name} had {partial / _MEGABYTE:.1f} MiB; the target is {'there' if target.exists() else 'not there'}")
    running.start_agent(name)
    _ready(running, name)
    measure(running, "the same again", *words)
    _tell_sent(running, name, before, size)
    target.unlink()
    _fill(large, size)
    before = _sent(running, name)
    with proxied(running, name) as proxy:
        _ready(running, name)
        cut = Halfway(running, name, size=size, action=proxy.reset)
        measure(running, f"the connection of {name} breaks half-way", "run", str(copy), halfway=cut)
        _tell_sent(running, name, before, size)


def others(running: Lab, folder: Path, name: str, *, size: int) -> None:
    """Unpack an archive on one agent, and have it download a file."""
    inside, archive = folder / "inside", folder / "archive.tar"
    _fill(inside, size)
    with tarfile.open(archive, "w") as made:
        made.add(inside, "unpacked")
    into = folder / "into"
    into.mkdir()
    unpack = _play(folder / "unpack.yml", f"unarchive: {{src: {archive}, dest: {into}}}", hosts=name)
    measure(running, f"an archive of {size // _MEGABYTE} MiB", "run", str(unpack))
    measure(running, "the same again", "run", str(unpack))
    with cut_server() as address:
        download = f"get_url: {{url: '{address}{inside}', dest: {folder}/downloaded}}"
        play = _play(folder / "download.yml", download, hosts=name)
        measure(running, f"a download of {size // _MEGABYTE} MiB", "run", str(play))


def _play(path: Path, task: str, *, hosts: str = "all") -> Path:
    path.write_text(f"- hosts: {hosts}\n  gather_facts: false\n  tasks:\n  - {task}\n")
    return path


def _fill(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for _ in range(size // _MEGABYTE):
            file.write(os.urandom(_MEGABYTE))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _processes(running: Lab) -> dict[str, int]:
    return {**running.pids, **{name: process.pid for name, process in running.started.items()}}


def _ready(running: Lab, name: str) -> None:
    while running.agent(name)["state"] != "ready":
        time.sleep(_SAMPLE_SECONDS)


def _sent(running: Lab, name: str) -> int:
    return int(str(running.agent(name)["content_bytes_sent"]))


def _tell_sent(running: Lab, name: str, before: int, size: int) -> None:
    sent = _sent(running, name) - before
    print(f"  sent to {name} in all: {sent / _MEGABYTE:.1f} MiB for {size / _MEGABYTE:.0f} MiB", flush=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--archive", type=int, default=300, help="megabytes of the archive and of the download")
    parser.add_argument("--agents", type=int, default=3)
    options = parser.parse_args()
    size = options.megabytes * _MEGABYTE
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        running = stack.enter_context(lab(agents=options.agents))
        large, target = folder / "large", f"{folder}/{{{{ inventory_hostname }}}}"
        _fill(large, size)
        copy = _play(folder / "copy.yml", f"copy: {{src: {large}, dest: '{target}', mode: '0600'}}")
        fetch = _play(folder / "fetch.yml", f"fetch: {{src: '{target}', dest: '{folder}/got'}}")
        measure(running, "nothing to speak of", "run", str(_play(folder / "ping.yml", "ping:")))
        measure(running, f"{options.megabytes} MiB to each", "run", str(copy))
        measure(running, "the same again", "run", str(copy))
        measure(running, "fetched from each", "run", str(fetch))
        broken_off(running, folder, "lab01", size=size)
        others(running, folder, "lab02" if options.agents > 1 else "lab01", size=options.archive * _MEGABYTE)


if __name__ == "__main__":
    main()
