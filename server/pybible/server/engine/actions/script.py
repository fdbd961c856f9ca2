"""script: sends a script of the control node's to a host, which runs it."""

from __future__ import annotations

import re
import shlex

from pybible.server.engine.actions import files
from pybible.server.engine.actions.arguments import as_bool, as_text
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult, from_outcome
from pybible.server.engine.vault import is_vaulted

# The first word, quoted or not, and the rest.
_FIRST = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'[^']*'|(?:\\.|\S)+)(.*)""", re.DOTALL)


async def run(call: ActionCall) -> ActionResult:
    """Find the script, send it with its arguments."""
    command = as_text(call.args.get("_raw_params") or call.args.get("cmd")).strip()
    if not command:
        raise ActionFailed("one of the following is required: _raw_params, cmd")
    name, arguments = split(command)
    try:
        path = files.find(call, name, kind="files")
    except files.NotFound as error:
        raise ActionFailed(error.msg, nested=True) from None
    decrypt = as_bool(call.args.get("decrypt"), name="decrypt", default=True)
    try:
        with path.open("rb") as stream:
            vaulted = is_vaulted(stream.read(64))
        if vaulted and decrypt:
            attachment = await call.services.attach_bytes(call.services.read_file(path))
        else:
            attachment = await call.services.attach(path)
    except OSError as error:
        raise ActionFailed(f"could not read script {path}: {error}") from error
    args = {**call.args, "_content": attachment.sha256, "_name": path.name, "_arguments": arguments}
    answer = from_outcome(await call.services.run_module("script", args, (attachment,)))
    answer.result.pop("invocation", None)
    answer.module_failed = False
    return answer


def split(command: str) -> tuple[str, str]:
    """Return the script's name, without its quotes, and its arguments as they were written."""
    found = _FIRST.match(command)
    try:
        names = shlex.split(found[1]) if found else []
    except ValueError as error:
        raise ActionFailed(f"the script's name can not be read: {error}") from error
    if found is None or not names:
        raise ActionFailed("the script has no name")
    return names[0], found[2].strip()
