"""unarchive: sends an archive of the control node's to a host, which unpacks it."""

from __future__ import annotations

from pybible.server.engine.actions import files
from pybible.server.engine.actions.arguments import as_bool, as_text
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult, from_outcome
from pybible.server.engine.vault import is_vaulted
from pybible.wire.values import JsonObject


async def run(call: ActionCall) -> ActionResult:
    """Send `src`, unless it is on the host."""
    args = call.args
    source, dest = args.get("src"), args.get("dest")
    if not source or not dest:
        raise ActionFailed("src (or content) and dest are required", returned=True)
    if "copy" in args and "remote_src" in args:
        raise ActionFailed("parameters are mutually exclusive: ('copy', 'remote_src')", returned=True)
    remote = as_bool(args.get("remote_src"), name="remote_src") or not as_bool(
        args.get("copy"), name="copy", default=True
    )
    if remote:
        arguments = {name: value for name, value in args.items() if name != "copy"}
        return from_outcome(await call.services.run_module("unarchive", {**arguments, "remote_src": True}))
    try:
        path = files.find(call, as_text(source), kind="files")
    except files.NotFound as error:
        failure: JsonObject = {"failed": True, "changed": False, "msg": f"Task failed: {error.msg}"}
        return ActionResult(result=failure, error=str(error.msg))
    try:
        with path.open("rb") as stream:
            vaulted = is_vaulted(stream.read(64))
        if vaulted and as_bool(args.get("decrypt"), name="decrypt", default=True):
            attachment = await call.services.attach_bytes(call.services.read_file(path))
        else:
            attachment = await call.services.attach(path)
    except OSError as error:
        raise ActionFailed(f"could not read src={path}: {error}") from error
    arguments = {**args, "src": str(path), "_content": attachment.sha256}
    answer = from_outcome(await call.services.run_module("unarchive", arguments, (attachment,)))
    if answer.module_failed and str(answer.result.get("msg", "")).endswith("must be an existing dir"):
        # Ansible looks for the folder before it runs the module.
        answer.error, answer.module_failed = str(answer.result["msg"]), False
        answer.result.pop("invocation", None)
    return answer
