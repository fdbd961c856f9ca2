"""odd_worker: the agent's own worker with modules that behave as no module should."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pybible.agent import worker
from pybible.agent.modules import registry, runner
from pybible.agent.modules.api import Context, Module, Plan
from pybible.wire.values import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """No arguments."""


def plan(args: Args, context: Context) -> Plan:
    """Do nothing."""


class Unprintable:
    """Not JSON."""


def prints(context: Context) -> object:
    print("this is", "no result")  # noqa: T201
    os.write(1, b"\0\0\0\7garbage\n")
    sys.stderr.write("on stderr\n")
    return {"changed": False, "mine": True}


def exits(context: Context) -> object:
    sys.exit(3)


def dies(context: Context) -> object:
    sys.stderr.write("last words\n")
    sys.stderr.flush()
    os._exit(7)


def dies_with_a_child(context: Context) -> object:
    child = subprocess.Popen(["sleep", "300"], process_group=0)
    context.content("pid").write_text(f"{child.pid}\n")
    os._exit(7)


def spins(context: Context) -> object:
    while True:
        time.sleep(0.01)


def swallows(context: Context) -> object:
    while True:
        with suppress(BaseException):
            time.sleep(60)


def floods(context: Context) -> object:
    for _ in range(1000):
        context.emit("stdout", b"x" * 1000)
    return {"changed": False}


def looks(context: Context) -> object:
    return {
        "environment": dict(os.environ),
        "directory": str(Path.cwd()),
        "umask": os.umask(0o777),
        "pid": os.getpid(),
    }


def reads(context: Context) -> object:
    return {"content": context.content("c0ffee").read_text()}


ODD: dict[str, Callable[[Context], object]] = {
    "prints": prints,
    "exits": exits,
    "dies": dies,
    "dies_with_a_child": dies_with_a_child,
    "spins": spins,
    "swallows": swallows,
    "floods": floods,
    "looks": looks,
    "reads": reads,
    "not_json": lambda context: {"value": Unprintable()},
    "not_a_dict": lambda context: "text",
    "nan": lambda context: {"value": 1, "text": "\udcff"},
    "raises": lambda context: [][0],
    "interrupts": lambda context: (_ for _ in ()).throw(KeyboardInterrupt()),
}


def find(name: str) -> Module[Any] | None:
    """Return an odd module."""
    return Module(name=name, args=Args, plan=plan) if name in ODD else None


def run(module: Module[Any], args: JsonObject, context: Context) -> Any:
    """Run it without any of the runner's care."""
    return ODD[module.name](context)


if __name__ == "__main__":
    registry.find = find  # type: ignore[assignment]
    runner.run = run
    sys.exit(worker.main(sys.argv[1:]))
