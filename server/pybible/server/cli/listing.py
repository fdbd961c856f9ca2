"""listing: how commands print what they found: columns for people, JSON for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import click
from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from pybible.server.report.visible import visible_json, visible_line


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under headings, each column as wide as it needs to be."""
    table = [list(headings), *([visible_line(str(cell)) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    # At once: click writes a line, and flushes, as often as it is called.
    click.echo("\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in table))


def print_fields(fields: dict[str, object]) -> None:
    """Print one thing, a field a line."""
    width = max(map(len, fields))
    for name, value in fields.items():
        click.echo(f"{name:<{width}}  {visible_line(str(value))}".rstrip())


def print_json(value: object) -> None:
    """Print JSON."""
    click.echo(visible_json(json.dumps(value, indent=2, ensure_ascii=False, default=str)))


def moment(stamp: Timestamp) -> str | None:
    """Return a time as ISO 8601 in UTC with milliseconds, None for none."""
    if not stamp.seconds and not stamp.nanos:
        return None
    seconds = clock(stamp.seconds).removesuffix("Z")
    return f"{seconds}.{stamp.nanos // 1_000_000:03}Z"


def clock(seconds: float) -> str:
    """Return a time in seconds since the epoch as ISO 8601 in UTC; as a number when that is in no calendar."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (ValueError, OverflowError, OSError):
        return f"{seconds}Z"


def ago(stamp: Timestamp, *, now: float | None = None) -> str:
    """Return how long ago a time was, or how far ahead it is, in its largest unit."""
    if not stamp.seconds and not stamp.nanos:
        return "-"
    seconds = (time.time() if now is None else now) - stamp.seconds - stamp.nanos / 1e9
    text = _span(abs(seconds))
    return f"{text} ago" if seconds >= 0 else f"in {text}"


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def word(enum: EnumDescriptor, number: int, prefix: str) -> str:
    """Return `ready` for SESSION_STATE_READY; the number itself when this release knows no name for it."""
    value = enum.values_by_number.get(number)
    return str(number) if value is None else value.name.removeprefix(prefix).lower()


def labels_text(labels: dict[str, str]) -> str:
    """Return labels as `a=1 b=2`."""
    return " ".join(f"{name}={value}" for name, value in sorted(labels.items()))
