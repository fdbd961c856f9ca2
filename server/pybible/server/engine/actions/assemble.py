"""assemble: puts the pieces in a folder together to one file: on the host, or of the control node's for the host."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from pybible.server.engine.actions import files
from pybible.server.engine.actions.arguments import as_bool, as_text, to_bool
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult, from_outcome
from pybible.server.engine.actions.copy import Content, send
from pybible.wire.errors import TemplateError

# Arguments that say what is put together; the others are copy's.
_OWN = frozenset({"decrypt", "delimiter", "ignore_hidden", "regexp", "remote_src", "src"})


async def run(call: ActionCall) -> ActionResult:
    """Put the pieces in `src` together to `dest`."""
    args = call.args
    source, dest = args.get("src"), args.get("dest")
    if source is None or dest is None:
        raise ActionFailed("src and dest are required")
    # As ansible-core: what is no boolean is no yes.
    if to_bool(args.get("remote_src", True)):
        return from_outcome(await call.services.run_module("assemble", args))
    try:
        folder = files.find(call, as_text(source), kind="files")
    except files.NotFound as error:
        raise TemplateError(error.msg, origin=call.task.origin) from None
    if not folder.is_dir():
        raise ActionFailed(f"Source ({folder}) is not a directory")
    content = _joined(call, folder)
    shown = await call.services.write_down(content, "assembled")
    attachment = await call.services.attach_bytes(content)
    arguments = {name: value for name, value in args.items() if name not in _OWN}
    answer = await send(
        call, Content(attachment=attachment, name="", shown=str(shown)), as_text(dest), arguments=arguments
    )
    result = answer.result
    if not result.get("diff"):
        result.pop("diff", None)
    if result.get("failed"):
        result.pop("checksum", None)
    elif not result.get("changed"):
        result.pop("path", None)
        result.update(src=str(shown), md5sum=hashlib.md5(content, usedforsecurity=False).hexdigest())
    return answer


def _joined(call: ActionCall, folder: Path) -> bytes:
    """Return the pieces, in the order of their names, with the delimiter between them."""
    args = call.args
    wanted = re.compile(as_text(args.get("regexp")))
    hidden = as_bool(args.get("ignore_hidden"), name="ignore_hidden")
    delimiter = as_text(args.get("delimiter")).encode("utf-8", "surrogateescape").decode("unicode_escape").encode()
    joined = b""
    for piece in sorted(folder.iterdir()):
        if not wanted.search(piece.name) or not piece.is_file() or (hidden and piece.name.startswith(".")):
            continue
        content = call.services.read_file(piece)
        if joined and not joined.endswith(b"\n"):
            joined += b"\n"
        if joined and delimiter:
            # As ansible-core: a newline follows whatever the delimiter ends with.
            joined += delimiter + b"\n"
        joined += content
    return joined
