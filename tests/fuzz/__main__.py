"""fuzz: `python -m tests.fuzz [--seconds N] [--seed N] [TARGET...]`: each target for so long; status 1 for findings."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.fuzz.hunt import hunt
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Run the targets that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all. " + ", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="to do the same again")
    asked = parser.parse_args()
    if unknown := set(asked.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    found = 0
    for name in asked.targets or TARGETS:
        with tempfile.TemporaryDirectory() as folder:
            outcome = hunt(TARGETS[name], Path(folder), seconds=asked.seconds, start=asked.seed)
        sys.stdout.write("\n".join([str(outcome), *outcome.findings.values(), ""]))
        sys.stdout.flush()
        found += len(outcome.findings)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
