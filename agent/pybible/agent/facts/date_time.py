"""date_time: what time it is, in many shapes, all of them text."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from pybible.agent.facts.source import Collector, Host
from pybible.wire.values import JsonObject

_SHAPES = {
    "year": "%Y", "month": "%m", "weekday": "%A", "weekday_number": "%w", "weeknumber": "%W", "day": "%d",
    "hour": "%H", "minute": "%M", "second": "%S", "date": "%Y-%m-%d", "time": "%H:%M:%S",
    "iso8601_basic": "%Y%m%dT%H%M%S%f", "iso8601_basic_short": "%Y%m%dT%H%M%S",
}  # fmt: skip


def collect(host: Host) -> JsonObject:
    """Ask the clock once."""
    return {"date_time": shown(time.time())}


def shown(epoch: float) -> JsonObject:
    """Return the shapes of one moment: local time, but those in UTC that end with Z."""
    local, utc = datetime.fromtimestamp(epoch), datetime.fromtimestamp(epoch, UTC)
    shapes: JsonObject = {name: local.strftime(shape) for name, shape in _SHAPES.items()}
    shapes["epoch"] = shapes["epoch_int"] = str(int(epoch))
    shapes["iso8601_micro"] = utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    shapes["iso8601"] = utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    shapes["tz"] = time.strftime("%Z")
    shapes["tz_dst"] = time.tzname[1]
    shapes["tz_offset"] = time.strftime("%z")
    return shapes


COLLECTOR = Collector(name="date_time", collect=collect, minimal=True)
