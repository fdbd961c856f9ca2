"""pushed_facts: what an agent told of its host by itself, as the result of the module that would have asked for it."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, timedelta, timezone

from pybible.wire.errors import ProtocolError
from pybible.wire.values import JsonObject, loads_object

# A host is not believed to be modest.
_LONGEST = 16 * 1024 * 1024
_SHAPES = {
    "year": "%Y", "month": "%m", "weekday": "%A", "weekday_number": "%w", "weeknumber": "%W", "day": "%d",
    "hour": "%H", "minute": "%M", "second": "%S", "date": "%Y-%m-%d", "time": "%H:%M:%S",
    "iso8601_basic": "%Y%m%dT%H%M%S%f", "iso8601_basic_short": "%Y%m%dT%H%M%S",
}  # fmt: skip


def decode(facts: bytes, moving: bytes, *, age: float) -> JsonObject:
    """Return the result of `setup`, with the clock put on by `age` seconds. ProtocolError when it is none."""
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(facts, _LONGEST)
        if not inflater.eof:
            raise ProtocolError("the facts of the host are too large")
        result, moved = loads_object(text), loads_object(moving)
    except (zlib.error, ValueError) as error:
        raise ProtocolError(f"the facts of the host can't be read: {error}") from error
    known = result.get("ansible_facts")
    if not isinstance(known, dict):
        raise ProtocolError("the facts of the host are none")
    known.update(moved)
    uptime = known.get("ansible_uptime_seconds")
    if isinstance(uptime, int):
        known["ansible_uptime_seconds"] = uptime + int(age)
    moment = known.get("ansible_date_time")
    if isinstance(moment, dict):
        known["ansible_date_time"] = later(moment, age)
    return result


def later(moment: JsonObject, seconds: float) -> JsonObject:
    """Return the fact `date_time` as it is so many seconds later, on the host's clock and in its time zone."""
    try:
        precise = datetime.strptime(str(moment["iso8601_micro"]), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        offset = str(moment["tz_offset"])
        minutes = int(offset[:1] + "1") * (60 * int(offset[1:3]) + int(offset[3:5]))
        utc = precise + timedelta(seconds=seconds)
        local = utc.astimezone(timezone(timedelta(minutes=minutes)))
    except (KeyError, ValueError, OverflowError):
        return moment
    epoch = str(int(utc.timestamp()))
    shapes: JsonObject = {name: local.strftime(shape) for name, shape in _SHAPES.items()}
    shapes |= {"epoch": epoch, "epoch_int": epoch}
    shapes["iso8601_micro"] = utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    shapes["iso8601"] = utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**moment, **shapes}
