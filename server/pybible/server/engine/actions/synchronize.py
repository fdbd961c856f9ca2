"""synchronize: has a host, or the control node, pack what is to be copied, and the other one put it in place."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

from pybible.server.engine.actions import files
from pybible.server.engine.actions.arguments import as_text
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult, Arguments, from_outcome
from pybible.server.engine.inventory.groups import LOCALHOST
from pybible.server.engine.model.paths import expanded
from pybible.wire.errors import PybibleError
from pybible.wire.tasks import Attachment

_MODULE = "ansible.posix.synchronize"


async def run(call: ActionCall) -> ActionResult:
    """Copy in the direction that the task says, or on one host alone."""
    args: Arguments = dict(call.args)
    if not args.get("src") or not args.get("dest"):
        raise ActionFailed("synchronize requires both src and dest parameters are set", returned=True)
    program = call.templar.variables.get("ansible_rsync_path")
    if program is not None:
        args["_local_rsync_path"] = call.templar.render_text(program)
    elsewhere = call.delegate not in ("", call.host)
    if elsewhere and not (call.runs_here and call.host in LOCALHOST):
        raise ActionFailed(
            f"synchronize between {call.delegate} and {call.host} needs rsync over ssh, which pybible does not use: "
            "without delegate_to it copies between the control node and the host, delegated to the host itself on it",
            returned=True,
        )
    pulls = args.get("mode") == "pull"
    if call.runs_here:
        args |= {"src": _source(call, as_text(args["src"])), "dest": _here(call, as_text(args["dest"]))}
        return from_outcome(await call.services.run_module(_MODULE, args))
    if call.delegate == call.host:
        return from_outcome(await call.services.run_module(_MODULE, args))
    name = "dest" if pulls else "src"
    place = _here(call, as_text(args[name])) if pulls else _source(call, as_text(args[name]))
    return await _relay(call, {**args, name: place}, pulls=pulls)


def _is_address(path: str) -> bool:
    return "://" in path or ":" in path.partition("/")[0]


def _here(call: ActionCall, path: str) -> str:
    """Return a path of the control node's, relative to the playbook, with the slash at its end."""
    if _is_address(path):
        return path
    found = os.path.normpath(call.play.directory / expanded(path))
    return f"{found}/" if path.endswith("/") and found != "/" else found


def _source(call: ActionCall, path: str) -> str:
    """Return where on the control node `src` is: among the files of roles and the playbook, or beside that."""
    if _is_address(path) or expanded(path).is_absolute():
        return _here(call, path)
    try:
        found = str(files.find(call, path.rstrip("/"), kind="files"))
    except files.NotFound:
        return _here(call, path)
    return f"{found}/" if path.endswith("/") else found


def _placed(archive: Path, dest: Path) -> list[Path]:
    """Return where the files of an archive may come to lie."""
    import tarfile  # every run would wait for it

    with tarfile.open(archive) as opened:
        return [dest, *(dest / name for name in opened.getnames())]


async def _relay(call: ActionCall, args: Arguments, *, pulls: bool) -> ActionResult:
    """Pack at one end, and unpack at the other."""
    packed = await call.services.run_module(_MODULE, {**args, "_pack": True}, check=False, now=True, here=not pulls)
    result = packed.result
    if packed.unreachable or packed.reason or result.get("failed"):
        return from_outcome(packed)
    given = Attachment(sha256=str(result["sha256"]), size=int(result["size"]))
    with tempfile.TemporaryDirectory(prefix="pybible-") as folder:
        archive = Path(folder) / "tree.tar"
        try:
            await call.services.save(given, archive)
            if pulls:
                for path in await asyncio.to_thread(_placed, archive, Path(as_text(args["dest"]))):
                    call.services.note_brought(path)
            attachment = await call.services.attach(archive)
        except (PybibleError, OSError) as error:
            raise ActionFailed(f"could not hand over {args['src']}: {error}") from error
        arguments = {**args, "_content": attachment.sha256}
        outcome = await call.services.run_module(_MODULE, arguments, (attachment,), here=pulls)
    return from_outcome(outcome)
