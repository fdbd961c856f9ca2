"""batches: a play's hosts in the portions that `serial` asks for."""

from __future__ import annotations

from collections.abc import Sequence

from pybible.wire.errors import PybibleError


def batch_size(serial: object, hosts: int) -> int:
    """Return how many hosts a value of `serial` means: a number, or a percentage of all (at least 1).

    0 or less means all of them. Raises PybibleError for anything else.
    """
    try:
        if isinstance(serial, str) and serial.strip().endswith("%"):
            return int(int(serial.strip().removesuffix("%")) / 100.0 * hosts) or 1
        if isinstance(serial, bool) or not isinstance(serial, int | str):
            raise ValueError
        return int(serial)
    except ValueError:
        raise PybibleError(
            f"Invalid value for serial: {serial!r} (a number of hosts or a percentage is needed)"
        ) from None


def batches(hosts: Sequence[str], serial: Sequence[object]) -> list[list[str]]:
    """Return the hosts in batches, each as large as its entry of `serial` says; the last entry repeats."""
    if not serial:
        return [list(hosts)] if hosts else []
    made: list[list[str]] = []
    start = 0
    while start < len(hosts):
        size = batch_size(serial[min(len(made), len(serial) - 1)], len(hosts))
        if size <= 0:
            size = len(hosts) - start
        made.append(list(hosts[start : start + size]))
        start += size
    return made
