"""growth: whether memory grows with the number of examples: a line through what was read, and what it may rise by."""

from __future__ import annotations

import ctypes
import gc
import statistics
from dataclasses import dataclass, field

import psutil

_MEBIBYTE = 1024 * 1024
# The first third is what caches and pools take until they are full.
_WARM = 3
_SHOWN = 12
# A line through fewer readings says nothing.
_LEAST_READINGS = 8
# What the line may rise by from there to the end: so much in all, or so much for each example when that is more.
ALLOWED_BYTES = 6 * _MEBIBYTE
ALLOWED_BYTES_EACH = 32
# gRPC's core keeps 100 to 340 bytes of every streaming call that is cancelled, whoever makes it, and next to nothing of
# calls that end: tests.fuzz.bare shows it without any code of the product. An example has one such call.
CANCELLED_CALL_BYTES = 320


@dataclass(slots=True)
class Growth:
    """Readings of resident memory in bytes, each after so many examples."""

    readings: list[tuple[int, int]] = field(default_factory=list)
    allowed_each: int = ALLOWED_BYTES_EACH

    @property
    def first(self) -> float:
        """MiB at the first reading."""
        return self.readings[0][1] / _MEBIBYTE if self.readings else 0.0

    @property
    def last(self) -> float:
        """MiB at the last reading."""
        return self.readings[-1][1] / _MEBIBYTE if self.readings else 0.0

    @property
    def course(self) -> str:
        """Examples and MiB, at a dozen readings: whether it levels off."""
        step = max(1, len(self.readings) // _SHOWN)
        return ", ".join(f"{at}: {size / _MEBIBYTE:.1f}" for at, size in self.readings[::step])

    @property
    def each(self) -> float:
        """Bytes for each example, by the line through all but the first third; 0 for too few readings."""
        used = self._used()
        if len(used) < _LEAST_READINGS:
            return 0.0
        return statistics.linear_regression([at for at, _ in used], [size for _, size in used]).slope

    @property
    def risen(self) -> float:
        """Bytes by which that line rises."""
        used = self._used()
        return self.each * (used[-1][0] - used[0][0]) if used else 0.0

    def problem(self) -> str:
        """Return what is wrong with it, empty when nothing is."""
        used = self._used()
        if len(used) < _LEAST_READINGS:
            return ""
        allowed = max(ALLOWED_BYTES, self.allowed_each * (used[-1][0] - used[0][0]))
        if self.risen <= allowed:
            return ""
        return (
            f"memory grows: {self.each:.0f} bytes for each example, {self.risen / _MEBIBYTE:.1f} MiB in the last two "
            f"thirds, where {allowed / _MEBIBYTE:.1f} are allowed"
        )

    def _used(self) -> list[tuple[int, int]]:
        return self.readings[len(self.readings) // _WARM :]


def resident() -> int:
    """Return the resident memory of this process, with nothing in it that waits to be given back.

    Its children do not count: they make the examples, or are workers, which come and go.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return psutil.Process().memory_info().rss
