"""template: renders a file of the control node's for the host, and copies the result there."""

from __future__ import annotations

from pathlib import Path

from pybible.server.engine.actions import files
from pybible.server.engine.actions.arguments import as_text
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult
from pybible.server.engine.actions.copy import Content, send
from pybible.server.engine.templating.engine import PLAIN_OPTIONS
from pybible.server.engine.templating.files import OPTION_NAMES, render_source, split_header, with_options

_OWN = OPTION_NAMES | {"output_encoding"}


async def run(call: ActionCall) -> ActionResult:
    """Render `src` and copy it to `dest`."""
    args = call.args
    source, dest = args.get("src"), args.get("dest")
    if source is None or dest is None:
        raise ActionFailed("src and dest are required")
    if "state" in args:
        raise ActionFailed("'state' cannot be specified on a template")
    path = _find(call, as_text(source))
    encoding = as_text(args.get("output_encoding")) or "utf-8"
    content = _render(call, path, as_text(dest)).encode(encoding, "surrogateescape")
    attachment = await call.services.attach_bytes(content)
    # A difference is between two files: what is there, and what the template gave.
    shown = await call.services.write_down(content, path.name) if call.diff else path
    mode = f"0{path.stat().st_mode & 0o7777:03o}" if args.get("mode") == "preserve" else args.get("mode")
    arguments = {name: value for name, value in args.items() if name not in _OWN}
    if mode is not None:
        arguments["mode"] = mode
    return await send(
        call, Content(attachment=attachment, name=path.name, shown=str(shown)), as_text(dest), arguments=arguments
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
    given = {name: value for name, value in call.args.items() if name in OPTION_NAMES}
    source = split_header(path, text, with_options(PLAIN_OPTIONS, given))
    rendered = render_source(call.templar, source, destination=dest)
    return rendered if isinstance(rendered, str) else "" if rendered is None else str(rendered)
