"""logs: one line formatter and one JSON formatter for every process.

Messages are constant and lower-case; values are fields: `log.info("agent attached", extra=fields(agent_id=...))`.
Identifiers of the current run, task and agent come from context variables.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from contextvars import ContextVar
from typing import TextIO

from pybible.wire.visible import visible, visible_line

run_id: ContextVar[str] = ContextVar("run_id", default="")
task_id: ContextVar[str] = ContextVar("task_id", default="")
agent_id: ContextVar[str] = ContextVar("agent_id", default="")

_context = {"run_id": run_id, "task_id": task_id, "agent_id": agent_id}


def fields(**values: object) -> dict[str, dict[str, object]]:
    """Return `values` in the form that logging's `extra=` takes."""
    return {"fields": values}


def attempt_fields(attempt_id: str, **values: object) -> dict[str, dict[str, object]]:
    """Return the fields that name an attempt by its id, RUN_ID:NAME, and `values`, in the form of `extra=`."""
    return fields(run_id=attempt_id.partition(":")[0], attempt_id=attempt_id, **values)


def _fields_of(record: logging.LogRecord) -> dict[str, object]:
    found: dict[str, object] = {name: variable.get() for name, variable in _context.items() if variable.get()}
    found.update(getattr(record, "fields", {}))
    return found


class LineFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.123Z info  controller: agent attached agent_id=... epoch=3`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, a traceback behind it."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        moment = f"{seconds}.{int(record.msecs):03}Z"
        name = record.name.removeprefix("pybible.")
        words = [f"{moment} {record.levelname.lower():<7} {name}: {visible_line(record.getMessage())}"]
        words += [f"{key}={_quoted(value)}" for key, value in _fields_of(record).items()]
        line = " ".join(words)
        if not record.exc_info:
            return line
        # Indented, so that no line of somebody else's text in it looks like a record.
        traceback = visible(self.formatException(record.exc_info)).replace("\n", "\n  ")
        return f"{line}\n  {traceback}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a JSON object."""
        entry = {
            "time": record.created,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields_of(record),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def _quoted(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and " " not in text and text else json.dumps(text)


def configure(*, level: str = "info", style: str = "line", stream: TextIO | None = None) -> None:
    """Send every logger's records to `stream` (standard error by default) in the named style: line or json."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else LineFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
