"""ping: answers, which shows that a task can run on the host at all."""

from __future__ import annotations

from dataclasses import dataclass

from pybible.agent.modules.api import Context, Module, Unchanged, arg


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of ping."""

    data: str = arg(default="pong", doc="what to answer; crash raises an exception")


def plan(args: Args, context: Context) -> Unchanged:
    """Answer with `data`."""
    if args.data == "crash":
        raise RuntimeError("boom")
    return Unchanged(values={"ping": args.data})


MODULE = Module(name="ping", args=Args, plan=plan)
