"""The command: python -m tests.load.chaos."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from pybible.wire.faults import POINTS
from tests.load.chaos.campaign import SCRIPT, Plan, fired, merged, run
from tests.load.chaos.checks import Findings

# From so many attempts on, a point at which nothing died is a finding.
_LARGE = 50_000


def main() -> int:
    """Do it in pieces, each on a site of its own, and say what was found."""
    options = _options()
    began = time.monotonic()
    _say(f"seed {options.seed}")
    results = _read(options)
    pieces = -(-options.attempts // options.piece)
    for number in range(len(results), pieces):
        left = options.attempts - number * options.piece
        results.append(_piece(options, number, min(options.piece, left), _happened(results)))
        if options.checkpoint is not None:
            _write(options, results)
    found = merged([each for each, _ in results])
    happened = _happened(results)
    _report(found, happened)
    never = [point for point in POINTS if not happened[fired(point)]]
    if never:
        _say(f"NEVER: nothing died at {', '.join(never)}")
    _say(f"seed {options.seed}: {pieces} pieces, {time.monotonic() - began:.0f} s")
    # A short campaign can't come to all of them.
    return 1 if found.wrong or (never and options.attempts >= _LARGE) else 0


def _happened(results: Sequence[tuple[Findings, Counter[str]]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for _, each in results:
        total += each
    return total


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.load.chaos", description="Many attempts under faults.")
    parser.add_argument("--attempts", type=int, default=2000)
    parser.add_argument("--seed", default=str(random.randrange(10**6)))
    parser.add_argument("--piece", type=int, default=20_000, help="so many attempts on one site, then a new one")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="what was found so far: pieces in it are done")
    parser.add_argument("--swarm", type=int, default=Plan.__dataclass_fields__["swarm"].default, help="simple agents")
    parser.add_argument("--real", type=int, default=Plan.__dataclass_fields__["real"].default, help="with workers")
    parser.add_argument("--width", type=int, default=Plan.__dataclass_fields__["width"].default, help="hosts of a task")
    parser.add_argument("--script", default=SCRIPT, help="what the swarm does with its tasks")
    parser.add_argument("--keep", type=Path, help="leave everything in this folder, else only where something is wrong")
    return parser.parse_args()


def _piece(
    options: argparse.Namespace, number: int, attempts: int, before: Mapping[str, int]
) -> tuple[Findings, Counter[str]]:
    """Do one piece. Its folder stays when something is wrong."""
    plan = Plan(
        attempts=attempts,
        seed=f"{options.seed}/{number}",
        swarm=options.swarm,
        real=options.real,
        width=options.width,
        script=options.script,
    )
    if options.keep is not None:
        options.keep.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir=options.keep))
    _say(f"--- piece {number}: {attempts} attempts, in {folder}")
    found, happened = asyncio.run(run(plan, folder, say=_say, before=before))
    _report(found, happened)
    if not found.wrong and options.keep is None:
        shutil.rmtree(folder)
    elif found.wrong:
        _say(f"everything is left in {folder}")
    return found, happened


def _report(found: Findings, happened: Counter[str]) -> None:
    _say(
        f"{found.attempts - found.reasons['not_connected']} attempts, and {found.reasons['not_connected']} for agents "
        f"that were not there, in {found.runs} runs: {found.broken} broken off, {found.vanished} left by "
        f"their operator; {found.ended} seen to end, {found.stored} in the history, {found.executed} executed, "
        f"{found.late} late"
    )
    _say(
        f"as many as forks were out in {found.full_by_marks} runs by the marks, {found.full_by_history} by the history"
    )
    points = [fired(point) for point in POINTS]
    for what in [*points, *sorted(happened.keys() - set(points))]:
        _say(f"  {happened[what]:6} {what}")
    for reason, count in found.reasons.most_common():
        _say(f"  {count:6} ended: {reason}")
    for wrong in found.wrong[:100]:
        _say(f"WRONG: {wrong}")
    _say(f"{len(found.wrong)} wrong")


def _write(options: argparse.Namespace, results: list[tuple[Findings, Counter[str]]]) -> None:
    pieces = [{"found": asdict(found), "happened": dict(happened)} for found, happened in results]
    options.checkpoint.write_text(json.dumps({"seed": options.seed, "piece": options.piece, "pieces": pieces}))


def _read(options: argparse.Namespace) -> list[tuple[Findings, Counter[str]]]:
    """Return the pieces that are done."""
    if options.checkpoint is None or not options.checkpoint.exists():
        return []
    told = json.loads(options.checkpoint.read_text())
    if (told["seed"], told["piece"]) != (options.seed, options.piece):
        raise SystemExit(f"{options.checkpoint} is of --seed {told['seed']} --piece {told['piece']}")
    return [
        (Findings(**{**piece["found"], "reasons": Counter(piece["found"]["reasons"])}), Counter(piece["happened"]))
        for piece in told["pieces"]
    ]


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
