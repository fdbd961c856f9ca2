"""tasks: a module with everything it needs to run on a host, as both ends know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
class TaskSpec:
    """What Dispatch carries. `args` is a JSON object in bytes; `timeout` in seconds, None for no limit."""

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
