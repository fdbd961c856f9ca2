"""ids: names of runs, ordered by time (UUID version 7, RFC 9562)."""

from __future__ import annotations

import secrets
import time
import uuid


def new_run_id(*, milliseconds: int | None = None) -> str:
    """Return a new id. One made later sorts after one made earlier, to the millisecond."""
    moment = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    value = (moment & (1 << 48) - 1) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def wire_id(run_id: str, name: str) -> str:
    """Return the name of an attempt that is unique beyond its run. Agents know it by this one."""
    return name if name.startswith(run_id) else f"{run_id}:{name}"
