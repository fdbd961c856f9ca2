"""system: lookups of the environment, of commands' output, of variables, of the inventory, of the web."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import jinja2
from jinja2.utils import missing

from pybible.server.engine.commands import Overrun, run_command
from pybible.server.engine.templating.errors import LookupFailed, UndefinedVariable
from pybible.server.engine.templating.lookups.call import Lookup, LookupCall
from pybible.server.engine.templating.lookups.texts import flag

if TYPE_CHECKING:
    from http.client import HTTPResponse

_BODY_LIMIT = 64 * 1024 * 1024
_CHUNK = 64 * 1024
_LOOKUP_HINT = "PYBIBLE_LOOKUP_LIMIT sets the limit, in seconds."


def _env(call: LookupCall) -> list[object]:
    default = call.options.get("default", "")
    missing_ones = [str(term) for term in call.terms if str(term) not in os.environ]
    if missing_ones and isinstance(default, jinja2.Undefined):
        raise UndefinedVariable(f"The environment variable {missing_ones[0]!r} is not set.")
    return [os.environ.get(str(term), default) for term in call.terms]


def _run(call: LookupCall, kind: str, command: str) -> str:
    try:
        done = run_command(command, directory=call.directory, seconds=call.templar.engine.lookup_seconds)
    except Overrun as error:
        raise LookupFailed(f"lookup_plugin.{kind}({command}): {error}. {_LOOKUP_HINT}") from error
    if done.status:
        raise LookupFailed(f"lookup_plugin.{kind}({command}) returned {done.status}")
    return done.output.decode("utf-8", "surrogateescape")


def _pipe(call: LookupCall) -> list[object]:
    return [_run(call, "pipe", str(term)).rstrip() for term in call.terms]


def _lines(call: LookupCall) -> list[object]:
    return [line for term in call.terms for line in _run(call, "lines", str(term)).splitlines()]


def _vars(call: LookupCall) -> list[object]:
    found: list[object] = []
    for term in call.terms:
        if not isinstance(term, str):
            raise LookupFailed(f"Variable name must be 'str' not {type(term).__name__!r}.")
        value = call.templar.name(term)
        if value is missing:
            if "default" not in call.options:
                raise UndefinedVariable(f"No variable named {str(term)!r} was found.")
            value = call.options["default"]
        found.append(value)
    return found


def _varnames(call: LookupCall) -> list[object]:
    names = sorted(call.templar.variables)
    return [name for term in call.terms for name in names if re.search(str(term), name)]


def _inventory_hostnames(call: LookupCall) -> list[object]:
    match = call.templar.engine.match_hosts
    return [] if match is None else list(match(",".join(str(term) for term in call.terms)))


def _body(answer: HTTPResponse, url: str, seconds: float) -> bytes:
    """Return all that a server sends, however slowly, within the time that a lookup has."""
    deadline = time.monotonic() + seconds if seconds else math.inf
    parts: list[bytes] = []
    left = _BODY_LIMIT
    while left and (part := answer.read1(min(left, _CHUNK))):
        parts.append(part)
        left -= len(part)
        if time.monotonic() > deadline:
            raise LookupFailed(
                f"Failed lookup url for {url}: it did not end within {seconds:g} seconds. {_LOOKUP_HINT}"
            )
    return b"".join(parts)


def _url(call: LookupCall) -> list[object]:
    # Imported when used: it costs as much as everything else here together.
    import urllib.request
    from urllib.error import HTTPError, URLError

    found: list[object] = []
    for term in call.terms:
        url = str(term)
        if urlsplit(url).scheme not in ("http", "https", "ftp", "file"):
            raise LookupFailed(f"Failed lookup url for {url}: unknown url type")
        headers = call.options.get("headers", {})
        request = urllib.request.Request(url, headers=dict(headers) if isinstance(headers, Mapping) else {})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=float(call.text("timeout", "10"))) as answer:  # noqa: S310
                text = _body(answer, url, call.templar.engine.lookup_seconds).decode("utf-8", "surrogateescape")
        except HTTPError as error:
            raise LookupFailed(f"Received HTTP error for {url}: {error}") from error
        except (URLError, OSError) as error:
            raise LookupFailed(f"Failed lookup url for {url}: {error}") from error
        found.extend(text.splitlines() if flag(call, "split_lines", True) else [text])
    return found


def _config(call: LookupCall) -> list[object]:
    settings = call.templar.engine.settings
    found: list[object] = []
    for term in call.terms:
        name = str(term)
        if name in settings:
            found.append(settings[name])
        elif call.text("on_missing", "error") == "error":
            raise LookupFailed(f"No config definition exists for {name!r}.")
    return found


LOOKUPS: Mapping[str, Lookup] = {
    "env": _env,
    "pipe": _pipe,
    "lines": _lines,
    "vars": _vars,
    "varnames": _varnames,
    "inventory_hostnames": _inventory_hostnames,
    "url": _url,
    "config": _config,
}
