"""report: what is told of a soak, on the screen and in a file, as it goes and at its end; and what of it grows."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.load.soak.fit import Fit, fit
from tests.load.soak.operators import Tally
from tests.load.soak.samples import Samples

_MIB = 1024 * 1024
# What may not grow, the unit in which it is shown, and by how much it may at least: one file or thread is no slope.
_BOUNDED: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        "controller RSS": ("MiB", 0.0),
        "controller files": ("", 2.0),
        "controller threads": ("", 2.0),
        "controller tasks": ("", 6.0),
        "agent RSS": ("MiB", 0.0),
        "agent files": ("", 2.0),
        "agent threads": ("", 2.0),
        "worker RSS": ("MiB", 0.0),
        "worker files": ("", 2.0),
    }
)
_WRONG_SHOWN = 50


class Report:
    """Writes to the screen and to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.write_text("")

    def say(self, text: str) -> None:
        """Write a line to both."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
        with self._path.open("a") as file:
            file.write(text + "\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """A figure in the second half of the time, and in the last quarter."""

    half: Fit
    quarter: Fit

    def grows(self, *, least: float = 0.0) -> bool:
        """Whether it grows in the second half, and goes on to: at half that pace or more in the last quarter.

        What leaks goes on to. What is still filled at first, or moves by a step, does not.
        """
        return self.half.grows(least=least) and self.quarter.slope >= self.half.slope / 2


def growth(samples: Samples, name: str) -> Growth | None:
    """Return how a figure moves; None when it was not seen often enough."""
    seconds = samples.rows[-1]["seconds"] if samples.rows else 0.0
    half, quarter = samples.series(name, since=seconds / 2), samples.series(name, since=seconds * 3 / 4)
    if len(quarter[0]) < 4:
        return None
    return Growth(half=fit(*half), quarter=fit(*quarter))


def tell_progress(report: Report, samples: Samples, tally: Tally, *, minutes: float) -> None:
    """Say in a line how far it is."""
    row = samples.rows[-1] if samples.rows else {}
    sizes = ", ".join(
        f"{name} {row[f'{name} RSS'] / _MIB:.1f} MiB"
        for name in ("controller", "agent", "worker")
        if f"{name} RSS" in row
    )
    report.say(
        f"{minutes:5.1f} min: {tally.attempts} attempts in {tally.runs} runs, {len(tally.wrong)} wrong"
        + (f": {tally.wrong[-1]}" if tally.wrong else "")
        + f"; {sizes}"
    )


def tell_end(report: Report, tally: Tally, happened: Counter[str], *, cores: float) -> None:
    """Say what was done, and what happened meanwhile."""
    report.say(f"{tally.attempts} attempts in {tally.runs} runs, {tally.watched} watched; {tally.ctls} of pybible-ctl")
    report.say(f"{tally.lists} lists; {cores:.2f} cores used by controller, swarm and operators")
    for what, count in [*sorted(happened.items()), *((f"ended: {w}", n) for w, n in tally.reasons.most_common())]:
        report.say(f"  {count:7} {what}")


def judge(report: Report, samples: Samples) -> list[str]:
    """Show the figures of the second half, and return what grew, or was not seen."""
    grown = []
    report.say(
        "\nsecond half: a figure grows when its growth is over two standard errors and over 1 % of its mean, and"
    )
    report.say("goes on in the last quarter at half that pace or more")
    heads = ("mean", "lowest", "highest", "growth", "noise")
    report.say(f"{'':20} " + " ".join(f"{head:>10}" for head in heads) + f" {'slope an hour':>14} {'last quarter':>14}")
    for name in samples.names():
        unit, least = _BOUNDED.get(name, ("MiB" if name.endswith("bytes") else "", 0.0))
        found = growth(samples, name)
        if found is None:
            report.say(f"{name:20} was not seen often enough")
            grown += [name] if name in _BOUNDED else []
            continue
        scale = _MIB if unit == "MiB" else 1
        grows = name in _BOUNDED and found.grows(least=least)
        grown += [name] if grows else []
        _, values = samples.series(name, since=samples.rows[-1]["seconds"] / 2)
        half = found.half
        numbers = [half.mean, min(values), max(values), half.growth, half.noise]
        shown = " ".join(f"{number / scale:>10.2f}" for number in numbers)
        slopes = " ".join(f"{each.slope * 3600 / scale:>14.2f}" for each in (half, found.quarter))
        report.say(f"{name:20} {shown} {slopes} {unit}{' GROWS' if grows else ''}")
    return grown


def conclude(report: Report, samples: Samples, tally: Tally) -> bool:
    """Say what is wrong and what grows; whether nothing is and does."""
    grown = judge(report, samples)
    for wrong in tally.wrong[:_WRONG_SHOWN]:
        report.say(f"WRONG: {wrong}")
    report.say(f"{len(tally.wrong)} wrong, {len(grown)} grow{': ' if grown else ''}{', '.join(grown)}")
    return not tally.wrong and not grown
