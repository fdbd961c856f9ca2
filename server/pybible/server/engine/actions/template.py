"""template: renders a file of the control node's for the host, and copies the result there."""

from __future__ import annotations

import os
import pwd
import shlex
from datetime import UTC, datetime
from pathlib import Path

from pybible.server.engine.actions import files
from pybible.server.engine.actions.arguments import as_bool, as_text
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult
from pybible.server.engine.actions.copy import Content, send
from pybible.server.engine.model.text import Trusted
from pybible.server.engine.templating.engine import TemplateOptions
from pybible.wire.errors import Origin

_HEADER = "#jinja2:"
_STRINGS = (
    "block_start_string",
    "block_end_string",
    "variable_start_string",
    "variable_end_string",
    "comment_start_string",
    "comment_end_string",
)
_OWN = frozenset({*_STRINGS, "trim_blocks", "lstrip_blocks", "newline_sequence", "output_encoding"})
_NEWLINES = {"\\n": "\n", "\\r": "\r", "\\r\\n": "\r\n"}


async def run(call: ActionCall) -> ActionResult:
    """Render `src` and copy it to `dest`."""
    args = call.args
    source, dest = args.get("src"), args.get("dest")
    if source is None or dest is None:
        raise ActionFailed("src and dest are required")
    if "state" in args:
        raise ActionFailed("'state' cannot be specified on a template")
    path = _find(call, as_text(source))
    content = _render(call, path, as_text(dest))
    encoding = as_text(args.get("output_encoding")) or "utf-8"
    attachment = await call.services.attach_bytes(content.encode(encoding, "surrogateescape"))
    mode = f"0{path.stat().st_mode & 0o7777:03o}" if args.get("mode") == "preserve" else args.get("mode")
    arguments = {name: value for name, value in args.items() if name not in _OWN}
    if mode is not None:
        arguments["mode"] = mode
    return await send(
        call, Content(attachment=attachment, name=path.name, shown=str(path)), as_text(dest), arguments=arguments
    )


def _find(call: ActionCall, source: str) -> Path:
    try:
        return files.find(call, source, kind="templates")
    except files.NotFound as error:
        raise ActionFailed(error.msg, nested=True) from None


def _render(call: ActionCall, path: Path, dest: str) -> str:
    try:
        text = call.services.read_file(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ActionFailed(f"Template source files must be utf-8 encoded: {error}") from error
    except OSError as error:
        raise ActionFailed(f"could not read src={path}: {error}") from error
    values = {name: value for name, value in call.args.items() if name in _OWN}
    if text.startswith(_HEADER):
        header, _, text = text.partition("\n")
        values.update(_header(header))
    templar = call.templar.with_variables(_variables(path, dest))
    rendered = templar.render_template(Trusted(text), options=_options(values), origin=Origin(str(path)))
    return rendered if isinstance(rendered, str) else "" if rendered is None else str(rendered)


def _options(values: dict[str, object]) -> TemplateOptions:
    strings = {name: as_text(values[name]) for name in _STRINGS if values.get(name)}
    newline = as_text(values.get("newline_sequence")) or "\n"
    newline = _NEWLINES.get(newline, newline)
    if newline not in _NEWLINES.values():
        raise ActionFailed("newline_sequence needs to be one of: \n, \r or \r\n")
    return TemplateOptions(
        trim_blocks=as_bool(values.get("trim_blocks"), name="trim_blocks", default=True),
        lstrip_blocks=as_bool(values.get("lstrip_blocks"), name="lstrip_blocks"),
        newline_sequence=newline,
        **strings,
    )


def _header(line: str) -> dict[str, object]:
    """Read `#jinja2: trim_blocks:False, lstrip_blocks:True`: options of the file's own."""
    options: dict[str, object] = {}
    for pair in line.removeprefix(_HEADER).split(","):
        name, _, value = pair.partition(":")
        if name.strip() in _OWN:
            options[name.strip()] = "".join(shlex.split(value.strip(), posix=True)) if value.strip() else ""
    return options


def _variables(path: Path, dest: str) -> dict[str, object]:
    try:
        info = path.stat()
        owner: object = pwd.getpwuid(info.st_uid).pw_name
    except KeyError:
        owner = info.st_uid
    return {
        "template_host": os.uname().nodename,
        "template_path": str(path),
        "template_fullpath": str(path.absolute()),
        "template_mtime": datetime.fromtimestamp(info.st_mtime, UTC).astimezone().replace(tzinfo=None),
        "template_uid": owner,
        "template_run_date": datetime.now(),
        "template_destpath": dest,
        "ansible_managed": "Ansible managed",
    }
