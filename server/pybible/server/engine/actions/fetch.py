"""fetch: brings a file of a host's to the control node."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pybible.server.engine.actions.arguments import as_bool
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult, from_outcome
from pybible.server.engine.model.paths import expanded
from pybible.wire.errors import PybibleError
from pybible.wire.tasks import Attachment
from pybible.wire.values import JsonObject

_PART_BYTES = 1024 * 1024
# What is not larger travels in the module's result anyway.
_SMALL = 128 * 1024
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
    there = await asyncio.to_thread(_sha256_there, call, str(source), str(dest), flat=flat)
    outcome = await call.services.run_module("fetch", {"src": source, **({"_known": there} if there else {})})
    answer = from_outcome(outcome)
    if outcome.unreachable or outcome.reason:
        return answer
    if answer.result.get("failed"):
        return _missing(str(source), answer, strict)
    return await _store(call, answer.result, str(source), str(dest), flat=flat)


def _sha256_there(call: ActionCall, source: str, dest: str, *, flat: bool) -> str:
    """Return the sum of the file that the host's would replace, empty when there is none of any size."""
    try:
        target = _target(call, source, dest, flat=flat)
        if target.is_file() and target.stat().st_size > _SMALL:
            with target.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
    except (ActionFailed, OSError):
        # Whoever writes it says what is wrong.
        pass
    return ""


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


async def _store(call: ActionCall, answer: JsonObject, source: str, dest: str, *, flat: bool) -> ActionResult:
    name = str(answer.get("source") or source)
    target = _target(call, name, dest, flat=flat)
    remote = str(answer.get("checksum") or "")
    call.services.note_brought(target)
    if target.is_file():
        sha1, md5 = await asyncio.to_thread(_sums, target)
        if sha1 == remote:
            return ActionResult(
                result={"changed": False, "md5sum": md5, "file": name, "dest": str(target), "checksum": sha1}
            )
    try:
        checksum, md5 = await _write(call, target, answer)
    except PybibleError as error:
        raise ActionFailed(f"Failed to fetch the file: {error.message}") from error
    except OSError as error:
        raise ActionFailed(f"Failed to fetch the file: {error}") from error
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
    folder = expanded(dest)
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


async def _write(call: ActionCall, target: Path, answer: JsonObject) -> tuple[str, str]:
    """Write the file as a whole or not at all; return its SHA-1 and MD5."""
    with _replacing(target) as temporary:
        if "sha256" in answer:
            given = Attachment(sha256=str(answer["sha256"]), size=int(str(answer["size"])))
            await call.services.save(given, temporary)
        else:
            content = base64.b64decode(str(answer.get("content", "")))
            await asyncio.to_thread(temporary.write_bytes, content)
        return await asyncio.to_thread(_sums, temporary)


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Give the name of a new file, which takes the place of `target` at the end, or is gone if that did not come."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _sums(path: Path) -> tuple[str, str]:
    sha1, md5 = hashlib.sha1(usedforsecurity=False), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while part := file.read(_PART_BYTES):
            sha1.update(part)
            md5.update(part)
    return sha1.hexdigest(), md5.hexdigest()
