"""tasks: a module with everything it needs to run on a host, as both ends know it."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from pybible.wire.values import JsonObject, loads_object


@dataclass(frozen=True, slots=True, kw_only=True)
class Become:
    """As whom a task runs. `method` empty: whatever the agent can."""

    user: str
    method: str = ""
    flags: str = ""
    executable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """Content that goes with a task. `inline` None: it lies in the blob store (or is `path`, on this very host).

    `brief`: it may hold secrets, and nobody keeps it once the task, or the run, is over.
    """

    sha256: str
    size: int
    inline: bytes | None = None
    path: str = ""
    brief: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """An operator's word for one dispatch to the agent of that name or id, good until `expires` (since the epoch)."""

    key: bytes
    agent: str
    expires: int
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """What Dispatch carries. `args` is a JSON object in bytes; `timeout` in seconds, None for no limit.

    `directory` is where it begins, empty for the user's home: only a task on the control node itself names one.
    """

    module: str
    args: bytes
    environment: Mapping[str, str] = field(default_factory=dict)
    become: Become | None = None
    timeout: float | None = None
    check: bool = False
    diff: bool = False
    no_log: bool = False
    output_limit: int = 0
    attachments: tuple[Attachment, ...] = ()
    terminate: bool = False
    verbosity: int = 0
    directory: str = ""
    # It asks for facts, and those that the agent pushed will do when they are no older (seconds). 0: they won't. Known
    # to the controller only.
    facts_within: float = 0.0


# What tells of a host and leaves it as it is.
_LOOKS = frozenset({"fetch", "find", "getent", "package_facts", "ping", "service_facts", "setup", "slurp", "stat"})


def changes_host(module: str, *, check: bool) -> bool:
    """Tell whether facts gathered before such a task may not be true any more after it."""
    return not check and module not in _LOOKS


def module_of(module: str, args: bytes) -> tuple[str, JsonObject]:
    """Return the name of the module that a task is about, without `ansible.builtin.`, and what carries it is told.

    Two of the agent's modules carry another one in their arguments: those of others only are empty.
    """
    if module not in _CARRIERS:
        return module, {}
    arguments = _arguments(args)
    name = str(arguments.get(_CARRIERS[module], ""))
    if module == "async_wrapper" and name == "bridge":
        inner = arguments.get("arguments")
        name = str(inner.get("name", "")) if isinstance(inner, dict) else ""
    return short_name(name), arguments


def is_brought(module: str, args: bytes) -> bool:
    """Tell whether a task brings its module along: a stock module of Ansible's, or one of the operator's own."""
    return module == "bridge" or (module == "async_wrapper" and _arguments(args).get("module") == "bridge")


def unusual_become(become: Become | None) -> str:
    """Return what of it goes beyond sudo with ordinary flags, empty when nothing: it could start any program."""
    if become is None:
        return ""
    if become.executable not in ("", "sudo"):
        return f"the program {become.executable!r}"
    try:
        odd = [flag for flag in shlex.split(become.flags) if not _SUDO_FLAG.fullmatch(flag)]
    except ValueError:
        odd = [become.flags]
    return f"the flags {' '.join(odd)!r}" if odd else ""


def short_name(name: str) -> str:
    """Return a module's name without the collections that need not be named."""
    return name.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")


def _arguments(args: bytes) -> JsonObject:
    try:
        return loads_object(args)
    except ValueError:
        return {}


def spec_to_header(spec: TaskSpec) -> JsonObject:
    """Return the header of a frame for `spec`, without what is at its default. The args are the frame's body."""
    header: JsonObject = {"module": spec.module}
    for name in _PLAIN:
        value = getattr(spec, name)
        if value:
            header[name] = value
    if spec.environment:
        header["environment"] = dict(spec.environment)
    if spec.become is not None:
        become = spec.become
        header["become"] = [become.user, become.method, become.flags, become.executable]
    if spec.attachments:
        header["attachments"] = [_attachment_to_header(item) for item in spec.attachments]
    return header


def spec_from_header(header: JsonObject, args: bytes) -> TaskSpec:
    """Read it back. ValueError when it is not one."""
    try:
        become = header.get("become")
        return TaskSpec(
            module=header["module"],
            args=args,
            environment=header.get("environment", {}),
            become=Become(user=become[0], method=become[1], flags=become[2], executable=become[3]) if become else None,
            attachments=tuple(_attachment_from_header(item) for item in header.get("attachments", ())),
            **{name: header[name] for name in _PLAIN if name in header},
        )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"not a task: {error!r}") from error


# Of sudo: about the home, the password's prompt and the environment.
_SUDO_FLAG = re.compile(r"-[EHSn]+|--(?:preserve-env|set-home|stdin|non-interactive)")
# The argument in which a carrier has the name of what it carries.
_CARRIERS = {"bridge": "name", "async_wrapper": "module"}
_PLAIN = ("timeout", "check", "diff", "no_log", "output_limit", "terminate", "verbosity", "directory")


def _attachment_to_header(item: Attachment) -> JsonObject:
    header: JsonObject = {"sha256": item.sha256, "size": item.size}
    if item.inline is not None:
        header["inline"] = base64.b64encode(item.inline).decode("ascii")
    elif item.path:
        header["path"] = item.path
    return header


def _attachment_from_header(header: JsonObject) -> Attachment:
    inline = header.get("inline")
    return Attachment(
        sha256=header["sha256"],
        size=header["size"],
        inline=None if inline is None else base64.b64decode(inline),
        path=header.get("path", ""),
    )
