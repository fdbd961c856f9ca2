"""fit: whether a figure that is looked at again and again grows: least squares, and what is noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A straight line through samples. `slope` and its standard `error` are per second; `seconds` is the time covered.

    Samples that follow one another are alike, so that there is less in them than their number says: the error is
    widened by what the residuals' correlation with the ones before them takes away.
    """

    mean: float
    slope: float
    error: float
    seconds: float

    @property
    def growth(self) -> float:
        """How much it grew in the time."""
        return self.slope * self.seconds

    @property
    def noise(self) -> float:
        """Growth that is none: two standard errors."""
        return 2 * self.error * self.seconds

    def grows(self, *, share: float = 0.01, least: float = 0.0) -> bool:
        """Whether it grew by more than the noise, by more than a share of its mean, and by more than `least`."""
        return self.growth > max(self.noise, share * abs(self.mean), least)


def fit(moments: Sequence[float], values: Sequence[float]) -> Fit:
    """Lay a line through samples. ValueError for fewer than four, or ones of one moment."""
    count = len(moments)
    if count < 4 or count != len(values):
        raise ValueError(f"{count} samples are too few for a line")
    middle, mean = math.fsum(moments) / count, math.fsum(values) / count
    spread = math.fsum((moment - middle) ** 2 for moment in moments)
    if not spread:
        raise ValueError("all samples are of one moment")
    both = zip(moments, values, strict=True)
    slope = math.fsum((moment - middle) * (value - mean) for moment, value in both) / spread
    left = [value - mean - slope * (moment - middle) for moment, value in zip(moments, values, strict=True)]
    square = math.fsum(each * each for each in left)
    error = math.sqrt(square / (count - 2) / spread)
    alike = math.fsum(before * after for before, after in pairwise(left)) / square if square else 0.0
    alike = min(0.99, max(0.0, alike))
    return Fit(
        mean=mean,
        slope=slope,
        error=error * math.sqrt((1 + alike) / (1 - alike)),
        seconds=moments[-1] - moments[0],
    )
