"""fetch: brings a file of a host's to the control node."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from pybible.server.engine.actions.arguments import as_bool
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult, from_outcome
from pybible.wire.values import JsonObject

_ALLOWED = frozenset({"dest", "fail_on_missing", "flat", "src", "validate_checksum"})


async def run(call: ActionCall) -> ActionResult:
    """Fetch `src` to `dest`."""
    args = call.args
    if call.check:
        return ActionResult(
            result={"changed": False, "skipped": True, "msg": "check mode not (yet) supported for this module"}
        )
    source, dest = args.get("src"), args.get("dest")
    if source is None or dest is None:
        raise ActionFailed("src and dest are required")
    for name, value in (("source", source), ("dest", dest)):
        if not isinstance(value, str):
            raise ActionFailed(f"Invalid type supplied for {name} option, it must be a string")
    flat = as_bool(args.get("flat"), name="flat")
    strict = as_bool(args.get("fail_on_missing"), name="fail_on_missing", default=True)
    outcome = await call.services.run_module("fetch", {"src": source})
    answer = from_outcome(outcome)
    if outcome.unreachable or outcome.reason:
        return answer
    if answer.result.get("failed"):
        return _missing(str(source), answer, strict)
    return _store(call, answer.result, str(source), str(dest), flat=flat)


def _missing(source: str, answer: ActionResult, strict: bool) -> ActionResult:
    result: JsonObject = {"changed": False}
    reason = str(answer.result.get("msg", ""))
    error = f"Action failed: {reason}"
    if reason.startswith("File not found"):
        result["msg"] = "the remote file does not exist, not transferring, ignored"
        error = answer.error or f"Module failed: {reason}"
        if not strict:
            result["file"] = source
    elif "is a directory" in reason:
        result["msg"] = reason if strict else f"{reason}, not transferring, ignored"
    else:
        result.update(msg=reason if strict else f"{reason}, ignored", file=source)
    if strict:
        result["failed"] = True
    return ActionResult(result=result, error=error)


def _store(call: ActionCall, answer: JsonObject, source: str, dest: str, *, flat: bool) -> ActionResult:
    content = base64.b64decode(str(answer.get("content", "")))
    name = str(answer.get("source") or source)
    target = _target(call, name, dest, flat=flat)
    checksum = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    remote = str(answer.get("checksum") or checksum)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    known = target.read_bytes() if target.is_file() else None
    call.services.note_brought(target)
    if known == content:
        return ActionResult(
            result={"changed": False, "md5sum": md5, "file": name, "dest": str(target), "checksum": checksum}
        )
    _write(target, content)
    result: JsonObject = {
        "changed": True,
        "md5sum": md5,
        "dest": str(target),
        "remote_md5sum": None,
        "checksum": checksum,
        "remote_checksum": remote,
    }
    if as_bool(call.args.get("validate_checksum"), name="validate_checksum", default=True) and checksum != remote:
        result.update(failed=True, msg="checksum mismatch", file=name)
    return ActionResult(result=result)


def _target(call: ActionCall, source: str, dest: str, *, flat: bool) -> Path:
    folder = Path(dest).expanduser()
    if not folder.is_absolute():
        folder = call.play.directory / folder
    if flat:
        if dest.endswith("/"):
            return folder / Path(source).name
        if folder.is_dir():
            raise ActionFailed(
                "dest is an existing directory, use a trailing slash if you want to fetch src into that directory"
            )
        return folder
    # What the host calls its file must not lead out of the host's folder.
    parts = [part for part in Path(source).parts if part not in ("/", "..", ".")]
    return folder.joinpath(call.host, *parts)


def _write(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        mask = os.umask(0)
        os.umask(mask)
        Path(temporary).chmod(0o666 & ~mask)
        Path(temporary).replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise ActionFailed(f"Failed to fetch the file: {error}") from error
