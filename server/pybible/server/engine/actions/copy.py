"""copy: sends a file, a folder or a text of the control node's to a host."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pybible.server.engine.actions import files
from pybible.server.engine.actions.arguments import as_bool, as_text
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult, from_outcome
from pybible.server.engine.vault import is_vaulted
from pybible.wire.tasks import Attachment
from pybible.wire.values import JsonObject

# Arguments that mean something on the control node only.
_LOCAL = frozenset({"content", "decrypt", "local_follow", "src"})
_VAULT_PROBE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What is to be on the host. `name` is the file's own, used where `dest` is a folder; `shown` the diff's header."""

    attachment: Attachment
    name: str
    shown: str
    mode: int | None = None


async def run(call: ActionCall) -> ActionResult:
    """Copy `src` or `content` to `dest`."""
    args = call.args
    source, dest, content = args.get("src"), args.get("dest"), args.get("content")
    remote = as_bool(args.get("remote_src"), name="remote_src")
    if not source and content is None:
        raise ActionFailed("src (or content) is required", returned=True)
    if not dest:
        raise ActionFailed("dest is required", returned=True)
    if source and content is not None:
        raise ActionFailed("src and content are mutually exclusive", returned=True)
    if content is not None and as_text(dest).endswith("/"):
        raise ActionFailed("can not use content with a dir as dest", returned=True)
    if remote:
        outcome = await call.services.run_module("copy", args)
        return from_outcome(outcome)
    if content is not None:
        data = content if isinstance(content, str) else json.dumps(content)
        attachment = await call.services.attach_bytes(data.encode("utf-8", "surrogateescape"))
        return await send(call, Content(attachment=attachment, name="", shown=as_text(dest)), as_text(dest))
    found = _find(call, as_text(source))
    if found.is_dir():
        return await _send_folder(call, found, as_text(source), as_text(dest))
    return await send(call, await _content(call, found), as_text(dest))


async def send(
    call: ActionCall, content: Content, dest: str, *, arguments: Mapping[str, object] | None = None
) -> ActionResult:
    """Have the host put `content` at `dest`. `arguments` replace the task's own."""
    args = dict(call.args if arguments is None else arguments)
    for name in _LOCAL:
        args.pop(name, None)
    if args.get("mode") == "preserve":
        args["mode"] = None if content.mode is None else f"0{content.mode:03o}"
    args.update(dest=dest, _content=content.attachment.sha256, _size=content.attachment.size)
    if content.name:
        args["_original_basename"] = content.name
    outcome = None
    if content.attachment.inline is None:
        # It is large: it goes out only to where it is not yet.
        outcome = await call.services.run_module("copy", {**args, "_probe": True}, now=True)
    if outcome is None or outcome.result.get("_wanted"):
        outcome = await call.services.run_module("copy", args, (content.attachment,))
    answer = from_outcome(outcome)
    _name_diff(answer.result, content.shown)
    if "src" in answer.result and "md5sum" not in answer.result:
        # Nothing was sent: what stays there is named beside what would have come.
        answer.result["src"] = content.shown
    return answer


def _name_diff(result: JsonObject, shown: str) -> None:
    """Give the new side of a difference the name of where it came from."""
    difference = result.get("diff")
    for part in difference if isinstance(difference, list) else [difference]:
        if isinstance(part, dict) and "after" in part and isinstance(part["after"], str):
            part["after_header"] = shown


def _find(call: ActionCall, source: str) -> Path:
    try:
        return files.find(call, source, kind="files")
    except files.NotFound as error:
        raise ActionFailed(f"Unexpected AnsibleActionFail error: {error.msg}") from error


async def _content(call: ActionCall, path: Path) -> Content:
    decrypt = as_bool(call.args.get("decrypt"), name="decrypt", default=True)
    try:
        mode, vaulted = _look(path)
        if decrypt and vaulted:
            attachment = await call.services.attach_bytes(call.services.read_file(path))
        else:
            attachment = await call.services.attach(path)
    except OSError as error:
        raise ActionFailed(f"could not read src={path}: {error}") from error
    return Content(attachment=attachment, name=path.name, shown=str(path), mode=mode)


def _look(path: Path) -> tuple[int, bool]:
    """Return a file's mode, and whether it is vaulted."""
    with path.open("rb") as stream:
        return stat.S_IMODE(os.fstat(stream.fileno()).st_mode), is_vaulted(stream.read(_VAULT_PROBE))


async def _send_folder(call: ActionCall, folder: Path, source: str, dest: str) -> ActionResult:
    """Send a folder's content (a trailing slash) or the folder itself; one answer for all."""
    base = folder if source.endswith("/") else folder.parent
    follow = as_bool(call.args.get("local_follow"), name="local_follow", default=True)
    # With a slash at its end the host makes what is missing of the folder on the way to each file.
    place = dest if dest.endswith("/") else f"{dest}/"
    changed = False
    sent: list[ActionResult] = []
    for path in sorted(_tree(folder, follow=follow)):
        relative = path.relative_to(base)
        if path.is_dir():
            arguments = {"path": str(Path(dest) / relative), "state": "directory", "recurse": False}
            if call.args.get("directory_mode") is not None:
                arguments["mode"] = call.args["directory_mode"]
            for name in ("owner", "group"):
                if call.args.get(name) is not None:
                    arguments[name] = call.args[name]
            answer = from_outcome(await call.services.run_module("file", arguments))
        else:
            content = dataclasses.replace(await _content(call, path), name=str(relative))
            answer = await send(call, content, place)
            sent.append(answer)
        if answer.result.get("failed") or answer.result.get("unreachable"):
            return answer
        changed = changed or bool(answer.result.get("changed"))
    if len(sent) == 1 and sent[0].result.get("state") == "file":
        return ActionResult(result={**sent[0].result, "changed": changed})
    return ActionResult(
        result={"changed": changed, "src": f"{folder}/" if source.endswith("/") else str(folder), "dest": place}
    )


def _tree(folder: Path, *, follow: bool) -> list[Path]:
    found = []
    for directory, directories, names in os.walk(folder, followlinks=follow):
        found += [Path(directory) / name for name in (*directories, *names)]
    return found
