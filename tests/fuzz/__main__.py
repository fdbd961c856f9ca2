"""fuzz: `python -m tests.fuzz [--seconds N] [--jobs N] [TARGET...]`: each target for so long; status 1 for findings.

Each target has a process of its own, so many of them at the same time. It prints a line for each, with what was found
below it, and writes the same to the file of --record, with the time and the version.
"""

from __future__ import annotations

import argparse
import platform
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from pybible.wire.protocol import package_version
from tests.fuzz.hunt import hunt
from tests.fuzz.targets import TARGETS

# What starting and ending a target may take, the last example and the making of a finding small included.
_MORE_SECONDS = 600.0
# A target that found something, and one that ended in another way than by saying what it found.
_FOUND = 1


def main() -> int:
    """Run the targets that the arguments name."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all. " + ", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="to do the same again")
    parser.add_argument("--jobs", type=int, default=1, help="how many targets at the same time")
    parser.add_argument("--record", type=Path, help="the file to which what came of it is added")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if unknown := set(asked.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    names = asked.targets or list(TARGETS)
    if asked.alone:
        return _alone(names, seconds=asked.seconds, start=asked.seed)
    heading = (
        f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} pybible {package_version()} {_commit()}, Python "
        f"{platform.python_version()}, {asked.seconds:g} s each, {asked.jobs} at the same time, seed {asked.seed}\n"
    )
    _say(heading, asked.record)
    bad = 0
    with ThreadPoolExecutor(max(1, asked.jobs)) as pool:
        running = [pool.submit(_apart, name, seconds=asked.seconds, start=asked.seed) for name in names]
        for each in as_completed(running):
            text, is_bad = each.result()
            _say(text, asked.record)
            bad += is_bad
    _say(f"{len(names)} targets, {bad} of them with findings\n", asked.record)
    return 1 if bad else 0


def _alone(names: list[str], *, seconds: float, start: int) -> int:
    """Run targets in this process, and print what came of it."""
    found = 0
    for name in names:
        with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
            outcome = hunt(TARGETS[name], Path(folder), seconds=seconds, start=start)
        sys.stdout.write("\n".join([str(outcome), *outcome.findings.values(), ""]))
        sys.stdout.flush()
        found += len(outcome.findings)
    return _FOUND if found else 0


def _apart(name: str, *, seconds: float, start: int) -> tuple[str, bool]:
    """Run one target in a process of its own. Return what it printed, and whether something is wrong."""
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.fuzz", "--alone", name]
    command += ["--seconds", str(seconds), "--seed", str(start)]
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds + _MORE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{name}: seed {start}, no end {_MORE_SECONDS:g} s after its time\n", True
    if not ended.stdout.startswith(f"{name}: "):
        return f"{name}: seed {start}, the process ended with {ended.returncode}\n{ended.stderr}", True
    return ended.stdout, ended.returncode != 0


def _commit() -> str:
    found = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return found.stdout.strip()


def _say(text: str, record: Path | None) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
    if record is not None:
        with record.open("a") as file:
            file.write(text)


if __name__ == "__main__":
    sys.exit(main())
