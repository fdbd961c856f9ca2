"""files: rendering a template file, for the template action and lookup."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path

import yaml

from pybible.server.engine.templating.engine import MANAGED, PLAIN_OPTIONS, SOURCE_LIMIT, TemplateOptions
from pybible.server.engine.templating.filters.values import as_bool
from pybible.server.engine.templating.templar import Templar
from pybible.wire.errors import Origin, TemplateError

_HEADER = "#jinja2:"
# As they are written in YAML without double quotes.
_NEWLINES = {"\\n": "\n", "\\r": "\r", "\\r\\n": "\r\n"}
OPTION_NAMES = frozenset(field.name for field in fields(TemplateOptions))


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSource:
    """A template file's text without its header, and how to read it."""

    path: Path
    text: str
    options: TemplateOptions


def read_template(path: Path, options: TemplateOptions = PLAIN_OPTIONS) -> TemplateSource:
    """Read a template file. Its first line may be `#jinja2: trim_blocks:False, ...`. Raises TemplateError."""
    try:
        with path.open("rb") as file:
            data = file.read(SOURCE_LIMIT + 1)
    except OSError as error:
        raise TemplateError(f"could not read the template {path}: {error.strerror or error}") from error
    if len(data) > SOURCE_LIMIT:
        raise TemplateError(f"the template {path} is larger than {SOURCE_LIMIT // 1024 // 1024} MiB")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise TemplateError(f"Template source files must be utf-8 encoded: {path}") from None
    return split_header(path, text, options)


def split_header(path: Path, text: str, options: TemplateOptions = PLAIN_OPTIONS) -> TemplateSource:
    """Take the header off a template's text."""
    if not text.startswith(_HEADER):
        return TemplateSource(path=path, text=text, options=options)
    header, _, rest = text.partition("\n")
    given: dict[str, object] = {}
    for pair in header[len(_HEADER) :].split(","):
        if not pair.strip():
            continue
        name, separator, value = pair.partition(":")
        if not separator:
            raise TemplateError(
                f"bad jinja2 header: {pair.strip()!r} must be option:value", origin=Origin(str(path), 1)
            )
        given[name.strip()] = yaml.safe_load(value.strip())
    return TemplateSource(path=path, text=rest, options=with_options(options, given, origin=Origin(str(path), 1)))


def with_options(
    options: TemplateOptions, given: Mapping[str, object], *, origin: Origin | None = None
) -> TemplateOptions:
    """Return `options` with those given (None ones aside). Raises TemplateError for one that can't be."""
    chosen: dict[str, object] = {}
    for name, value in given.items():
        if name not in OPTION_NAMES:
            raise TemplateError(f"unknown template option {name!r}", origin=origin)
        if value is None:
            continue
        if name in ("trim_blocks", "lstrip_blocks"):
            chosen[name] = bool(as_bool(value)) if isinstance(value, str) else bool(value)
        elif name == "newline_sequence":
            newline = _NEWLINES.get(str(value), str(value))
            if newline not in _NEWLINES.values():
                raise TemplateError("newline_sequence needs to be one of: \n, \r or \r\n", origin=origin)
            chosen[name] = newline
        else:
            chosen[name] = str(value)
    return replace(options, **chosen)  # type: ignore[arg-type]


def render_source(templar: Templar, source: TemplateSource, *, destination: str = "") -> object:
    """Render a template file: to text, or to the value of the one expression that it is. Errors name the file."""
    visible = templar.with_variables(file_variables(source.path, destination, managed=templar.engine.managed))
    return visible.render_template(source.text, options=source.options, origin=Origin(str(source.path)))


def file_variables(path: Path, destination: str = "", *, managed: str = MANAGED) -> dict[str, object]:
    """Return the variables that a template file sees about itself."""
    try:
        stat = path.stat()
        owner = _user(stat.st_uid)
        changed = datetime.fromtimestamp(stat.st_mtime)
    except OSError:
        owner, changed = _user(os.getuid()), datetime.now()
    return {
        "ansible_managed": _managed(managed, path, owner, changed),
        "template_host": socket.gethostname(),
        "template_path": str(path),
        "template_fullpath": str(path.absolute()),
        "template_uid": owner,
        "template_mtime": changed,
        "template_run_date": datetime.now(),
        "template_destpath": destination or None,
    }


def _managed(text: str, path: Path, owner: object, changed: datetime) -> str:
    """Fill in what the setting ansible_managed may ask for. Raises TemplateError for what it may not."""
    if text == MANAGED:
        return text
    try:
        return changed.strftime(text.format(host=socket.gethostname(), uid=owner, file=str(path)))
    except (KeyError, IndexError, ValueError) as error:
        raise TemplateError(f"the setting ansible_managed, {text!r}, can't be filled in: {error}") from error


def _user(uid: int) -> object:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return uid
