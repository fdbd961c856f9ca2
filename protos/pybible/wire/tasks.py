"""tasks: a module with everything it needs to run on a host, as both ends know it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from pybible.wire.values import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Become:
    """As whom a task runs. `method` empty: whatever the agent can."""

    user: str
    method: str = ""
    flags: str = ""
    executable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """Content that goes with a task. `inline` None: it lies in the blob store (or is `path`, on this very host)."""

    sha256: str
    size: int
    inline: bytes | None = None
    path: str = ""


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
