"""differences: what `--diff` shows of a result's `diff`."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping

from pybible.server.report.colours import Colour, paint
from pybible.server.report.visible import visible
from pybible.wire.values import JsonObject, JsonValue

CONTEXT_LINES = 3
_COLOURS = {"+": Colour.DIFF_ADDED, "-": Colour.DIFF_REMOVED}
_NO_NEWLINE = "\n\\ No newline at end of file\n"


def render_diff(diff: JsonValue, *, colour: bool = False, context: int = CONTEXT_LINES, limit: int = 0) -> str:
    """Return unified diffs of one entry or a list of them, an empty line after each; empty if nothing differs.

    Content of more than `limit` bytes is not compared; 0: no limit.
    """
    entries = diff if isinstance(diff, list) else [diff]
    found = (_limited(dict(entry), limit) for entry in entries if isinstance(entry, Mapping))
    return "".join(part for entry in found for part in _parts(entry, colour, context))


def _limited(entry: JsonObject, limit: int) -> JsonObject:
    if not limit:
        return entry
    sizes = {side: len(str(entry[side]).encode("utf-8", "replace")) for side in ("before", "after") if side in entry}
    if sizes.get("before", 0) > limit:
        entry = {key: value for key, value in entry.items() if key != "before"} | {"dst_larger": limit}
    if sizes.get("after", 0) > limit:
        entry = {key: value for key, value in entry.items() if key != "after"} | {"src_larger": limit}
    return entry


def _parts(entry: JsonObject, colour: bool, context: int) -> Iterator[str]:
    if "dst_binary" in entry:
        yield "diff skipped: destination file appears to be binary\n"
    if "src_binary" in entry:
        yield "diff skipped: source file appears to be binary\n"
    if "dst_larger" in entry:
        yield f"diff skipped: destination file size is greater than {entry['dst_larger']}\n"
    if "src_larger" in entry:
        yield f"diff skipped: source file size is greater than {entry['src_larger']}\n"
    if "before" in entry and "after" in entry:
        yield from _unified(entry, colour, context)
    if "prepared" in entry:
        yield visible(str(entry["prepared"]))


def _unified(entry: JsonObject, colour: bool, context: int) -> Iterator[str]:
    lines = difflib.unified_diff(
        _lines(entry["before"]),
        _lines(entry["after"]),
        fromfile=_header(entry, "before"),
        tofile=_header(entry, "after"),
        n=context,
    )
    found = False
    for line in lines:
        found = True
        kind = Colour.DIFF_PLACE if line.startswith("@@") else _COLOURS.get(line[:1])
        yield paint(visible(line), kind, enabled=colour)
    if found:
        yield "\n"


def _header(entry: JsonObject, side: str) -> str:
    name = entry.get(f"{side}_header")
    return side if name is None else f"{side}: {name}"


def _lines(content: JsonValue) -> list[str]:
    if content is None:
        return []
    if isinstance(content, Mapping | list):
        content = json.dumps(content, sort_keys=True, indent=4, separators=(",", ": "), default=str) + "\n"
    lines = str(content).splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += _NO_NEWLINE
    return lines
