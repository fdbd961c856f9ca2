"""module_docs: what native modules say of themselves. The agent's own code is asked, as a program: it is the source."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence

from pybible.server.engine.templating.engine import TemplateOptions
from pybible.wire.errors import PybibleError
from pybible.wire.values import JsonObject, JsonValue

_COMMAND = (sys.executable, "-m", "pybible.agent.modules.documentation")
_SECONDS = 60.0

# Arguments of the agent's `template`, which is its `copy`, that the engine sets itself.
_TEMPLATE_LEAVES_OUT = frozenset({"src", "content", "remote_src", "local_follow", "directory_mode", "checksum"})


def argument(
    name: str, kind: str, doc: str, *, default: JsonValue = None, required: bool = False, choices: Sequence[str] = ()
) -> JsonObject:
    """Return an argument as the agent describes its own."""
    return {
        "name": name, "type": kind, "elements": None, "required": required, "default": default,
        "choices": list(choices), "aliases": [], "no_log": False, "file_attribute": False, "doc": doc,
        "suboptions": [],
    }  # fmt: skip


# Arguments that the engine uses up before a module sees the task.
_OF_THE_ENGINE: Mapping[str, Sequence[JsonObject]] = {
    "copy": (argument("decrypt", "bool", "decrypt a src that is encrypted with vault", default=True),),
    "fetch": (
        argument("dest", "path", "folder on the control node; files go to `DEST/HOST/PATH`", required=True),
        argument("flat", "bool", "put the file at `dest` itself", default=False),
        argument("fail_on_missing", "bool", "a file that is not there is a failure", default=True),
        argument("validate_checksum", "bool", "compare digests after the transfer", default=True),
    ),
    "template": (
        argument("src", "path", "the template", required=True),
        *(
            argument(item.name, type(item.default).__name__, "as of Jinja", default=item.default)
            for item in dataclasses.fields(TemplateOptions)
        ),
        argument("output_encoding", "str", "encoding of the file on the host", default="utf-8"),
    ),
}


def native_modules(*names: str) -> dict[str, JsonObject]:
    """Return the descriptions of the named modules, or of all, by name. Names of no native module are left out."""
    try:
        done = subprocess.run(
            [*_COMMAND, *names], stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=_SECONDS
        )
        found: dict[str, JsonObject] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise PybibleError(f"the agent's code on this machine does not describe its modules: {error}") from error
    return {name: completed(module) for name, module in found.items()}


def completed(module: JsonObject) -> JsonObject:
    """Return a module's description with the arguments that the engine takes."""
    own = module["arguments"]
    if module["name"] == "template":
        own = [item for item in own if item["name"] not in _TEMPLATE_LEAVES_OUT]
    return {**module, "arguments": [*own, *_OF_THE_ENGINE.get(module["name"], ())]}
