"""patch: sends a patch of the control node's to a host, which applies it."""

from __future__ import annotations

from pybible.server.engine.actions import files
from pybible.server.engine.actions.arguments import as_bool, as_text
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult, from_outcome

_MODULE = "ansible.posix.patch"


async def run(call: ActionCall) -> ActionResult:
    """Send `src`, unless it is on the host."""
    source = call.args.get("src", call.args.get("patchfile"))
    if source is None:
        raise ActionFailed("src is required", returned=True)
    if as_bool(call.args.get("remote_src"), name="remote_src"):
        return from_outcome(await call.services.run_module(_MODULE, call.args))
    try:
        path = files.find(call, as_text(source), kind="files")
    except files.NotFound as error:
        raise ActionFailed(str(error.msg), returned=True) from error
    try:
        attachment = await call.services.attach(path)
    except OSError as error:
        raise ActionFailed(f"could not read src={path}: {error}") from error
    arguments = {**call.args, "src": str(path), "_content": attachment.sha256}
    arguments.pop("patchfile", None)
    return from_outcome(await call.services.run_module(_MODULE, arguments, (attachment,)))
