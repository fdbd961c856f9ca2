"""The command: python -m tests.load.chaos."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.load.chaos.campaign import SCRIPT, Plan, run


def main() -> int:
    """Do it, and say what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.chaos", description=__doc__)
    parser.add_argument("--attempts", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--swarm", type=int, default=30, help="how many agents that only answer")
    parser.add_argument("--real", type=int, default=3, help="how many real agents, with workers")
    parser.add_argument("--width", type=int, default=20, help="how many hosts each task of a run has")
    parser.add_argument("--script", default=SCRIPT, help="what the swarm does with its tasks")
    parser.add_argument("--keep", type=Path, help="leave everything in this folder")
    options = parser.parse_args()
    plan = Plan(
        attempts=options.attempts,
        seed=options.seed,
        swarm=options.swarm,
        real=options.real,
        width=options.width,
        script=options.script,
    )
    print(f"seed {plan.seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos") as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(exist_ok=True)
        found, happened = asyncio.run(run(plan, folder))
    print(
        f"{found.attempts} attempts in {found.runs} runs, {found.broken} of them broken off by a killed controller; "
        f"{found.executed} executed; {time.monotonic() - began:.0f} s"
    )
    for what, count in sorted(happened.items()):
        print(f"  {count:6} {what}")
    for reason, count in found.reasons.most_common():
        print(f"  {count:6} ended: {reason}")
    for wrong in found.wrong[:50]:
        print(f"WRONG: {wrong}")
    print(f"{len(found.wrong)} wrong")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
