"""include_vars: variables of a host, from files read while the play runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pybible.server.engine.actions import files
from pybible.server.engine.actions.arguments import as_bool, as_int, as_list
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult, FactsLevel
from pybible.server.engine.variables.precedence import merged
from pybible.wire.errors import TemplateError, VaultError
from pybible.wire.values import JsonObject

_FILE = frozenset({"file", "_raw_params"})
_DIRECTORY = frozenset({"dir", "depth", "files_matching", "ignore_files", "extensions", "ignore_unknown_extensions"})
_EITHER = frozenset({"name", "hash_behaviour"})
_NO_FILE = (
    "Could not find file on the Ansible Controller.\n"
    "If you are using a module and expect the file to exist on the remote, see the remote_src option"
)
_EXTENSIONS = ("json", "yaml", "yml")


async def run(call: ActionCall) -> ActionResult:
    """Read a file, or the files of a folder in the order of their names."""
    args = call.args
    for name in args:
        if name not in _FILE | _DIRECTORY | _EITHER:
            raise TemplateError(f"{name} is not a valid option in include_vars", origin=call.task.origin)
    if "dir" in args and _FILE & args.keys():
        raise ActionFailed("You are mixing file only and dir only arguments, these are incompatible")
    under = args.get("name")
    read: list[str] = []
    values: dict[str, object] = {}
    try:
        for path in _paths(call):
            values.update(_load(call, path))
            read.append(str(path))
    except ActionFailed as error:
        return ActionResult(
            result={
                "failed": True,
                "changed": False,
                "ansible_facts": {str(under): {}} if under else {},
                "ansible_included_var_files": read,
                "message": error.msg,
                "msg": "Task failed: Action failed: Unknown error.",
            },
            error="Action failed: Unknown error.",
        )
    facts: JsonObject = {str(under): values} if under else values
    if args.get("hash_behaviour") == "merge":
        facts = {name: merged(_known(call, name), value) for name, value in facts.items()}
    return ActionResult(
        result={"changed": False, "ansible_facts": facts, "ansible_included_var_files": read},
        facts_level=FactsLevel.INCLUDE_VARS,
    )


def _known(call: ActionCall, name: str) -> object:
    variables = call.templar.variables
    return call.templar.render(variables[name]) if name in variables else None


def _paths(call: ActionCall) -> Iterator[Path]:
    args = call.args
    if "dir" not in args:
        name = str(args.get("file", args.get("_raw_params")) or "")
        if not name:
            call.services.warn('Invalid request to find a file that matches a "null" value')
            raise ActionFailed(_NO_FILE)
        yield files.find(call, name, kind="vars")
        return
    folder = _folder(call, Path(str(args["dir"])))
    if not folder.is_dir():
        raise ActionFailed(f"{folder} {'is not a directory' if folder.exists() else 'directory does not exist'}")
    extensions = tuple(str(item) for item in as_list(args.get("extensions")) or _EXTENSIONS)
    ignored = [re.compile(str(pattern)) for pattern in as_list(args.get("ignore_files"))]
    matching = re.compile(str(args["files_matching"])) if args.get("files_matching") else None
    skip_unknown = as_bool(args.get("ignore_unknown_extensions"), name="ignore_unknown_extensions")
    depth = as_int(args.get("depth") or 0, name="depth")
    for path in _walk(folder, depth):
        # A name may be anybody's, and a pattern may backtrack for ever.
        with call.templar.engine.watch.over():
            wanted = matching is None or matching.search(path.name)
            if not wanted or any(pattern.search(path.name) for pattern in ignored):
                continue
        if path.suffix.lstrip(".") not in extensions:
            if skip_unknown:
                continue
            raise ActionFailed(f"{path} does not have a valid extension: {', '.join(extensions)}")
        yield path


def _folder(call: ActionCall, given: Path) -> Path:
    """Return what `dir` means: in a role below its vars/, elsewhere beside the file of the task."""
    if given.is_absolute():
        return given
    if call.task.role is None:
        return Path(call.task.origin.file).parent / given
    vars_given = given.parts[:1] == ("vars",)
    return call.task.role.path / given if vars_given else call.task.role.path / "vars" / given


def _walk(folder: Path, depth: int, level: int = 1) -> Iterator[Path]:
    """Yield files, those of a folder before those of the folders in it; `depth` 0 is without end."""
    entries: Sequence[Path] = sorted(folder.iterdir())
    yield from (entry for entry in entries if entry.is_file())
    if depth and level >= depth:
        return
    for entry in entries:
        if entry.is_dir():
            yield from _walk(entry, depth, level + 1)


def _load(call: ActionCall, path: Path) -> dict[str, object]:
    try:
        loaded = call.services.load_vars(path)
    except VaultError:
        raise
    except OSError as error:
        raise ActionFailed(f"an error occurred while trying to read the file '{path}': {error}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ActionFailed(f"{path} must be stored as a dictionary/hash")
    return loaded
