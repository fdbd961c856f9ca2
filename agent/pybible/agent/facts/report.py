"""report: gathers the facts once, for the agent to push: `python -m pybible.agent.facts.report` prints a frame."""

from __future__ import annotations

import hashlib
import os
import pwd
import sys
import zlib
from pathlib import Path

from pybible.agent.modules import runner, setup
from pybible.agent.modules.api import Context
from pybible.wire.frames import encode
from pybible.wire.values import JsonObject, dumps

# What is never the same for long.
MOVING = (
    "ansible_date_time",
    "ansible_loadavg",
    "ansible_memfree_mb",
    "ansible_memory_mb",
    "ansible_mounts",
    "ansible_swapfree_mb",
    "ansible_uptime_seconds",
)


def report() -> bytes:
    """Return the frame: digest, user and what moves in its header, the rest deflated as its body."""
    context = Context(content=Path, emit=lambda _stream, _data: None)
    result = runner.run(setup.MODULE, {}, context)
    facts: JsonObject = result["ansible_facts"]
    moving = {name: facts.pop(name) for name in MOVING if name in facts}
    body = dumps(result)
    user = pwd.getpwuid(os.geteuid()).pw_name
    header: JsonObject = {"type": "facts", "digest": hashlib.sha256(body).hexdigest(), "user": user, "moving": moving}
    return encode(header, zlib.compress(body, 6))


if __name__ == "__main__":
    sys.stdout.buffer.write(report())
