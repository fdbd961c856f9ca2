"""large_copy: one large file to several agents: how long it takes, and by how much the memory of each process rises.

`python -m tests.load.large_copy [--megabytes 1024] [--agents 3]` prints a line for each process, for a first copy, for
one that finds the file there, and for a fetch of it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from tests.load.processes import descendants, memory_bytes
from tests.support.lab import Lab, lab

_MEGABYTE = 1024 * 1024
_SAMPLE_SECONDS = 0.05


def measure(running: Lab, title: str, *words: str) -> None:
    """Run ctl and print what it took."""
    watched = dict(running.pids)
    before = {name: memory_bytes([pid]) for name, pid in watched.items()}
    peaks = dict(before)
    sent = {name: _sent(running, name) for name in watched if name != "controller"}
    began = time.monotonic()
    process = running.spawn(*words)
    first: dict[int, int] = {}
    rises: dict[str, int] = {}
    while process.poll() is None:
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
    if process.returncode:
        print(out, errors)
    for name, peak in peaks.items():
        more = f", {(_sent(running, name) - sent[name]) / _MEGABYTE:7.1f} MiB of content sent" if name in sent else ""
        print(f"  {name:20} rose by {(peak - before[name]) / _MEGABYTE:6.1f} MiB to {peak / _MEGABYTE:6.1f} MiB{more}")
    for name, peak in sorted(rises.items()):
        print(f"  {name:20} at most {peak / _MEGABYTE:6.1f} MiB in all")


def _sent(running: Lab, name: str) -> int:
    return int(str(running.agent(name)["content_bytes_sent"]))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--agents", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, lab(agents=options.agents) as running:
        folder = Path(name)
        with (folder / "large").open("wb") as file:
            for _ in range(options.megabytes):
                file.write(os.urandom(_MEGABYTE))
        target = f"{folder}/{{{{ inventory_hostname }}}}"
        start = "- hosts: all\n  gather_facts: false\n  tasks:\n  - "
        (folder / "copy.yml").write_text(f"{start}copy: {{src: {folder}/large, dest: '{target}', mode: '0600'}}\n")
        (folder / "fetch.yml").write_text(f"{start}fetch: {{src: '{target}', dest: '{folder}/got'}}\n")
        (folder / "ping.yml").write_text(f"{start}ping:\n")
        measure(running, "nothing to speak of", "run", f"{folder}/ping.yml")
        measure(running, f"{options.megabytes} MiB to each", "run", f"{folder}/copy.yml")
        measure(running, "the same again", "run", f"{folder}/copy.yml")
        measure(running, "fetched from each", "run", f"{folder}/fetch.yml")


if __name__ == "__main__":
    main()
