"""setup: the facts of the host."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pybible.agent.modules.api import Context, Module, ModuleError, PathText, Unchanged, arg


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of setup."""

    gather_subset: list[str] = arg(default_factory=lambda: ["all"], doc="which groups of facts, ! for not")
    gather_timeout: int = arg(default=10, doc="seconds that one slow source of facts may take")
    filter: list[str] = arg(default_factory=list, doc="patterns of names: only such facts are returned")
    fact_path: PathText = arg(default="/etc/ansible/facts.d", doc="folder of the host's own facts")


def plan(args: Args, context: Context) -> Unchanged:
    """Gather."""
    from pybible.agent.facts.gather import UnknownSubset, gather
    from pybible.agent.facts.local import NOT_READABLE, NOT_RUN
    from pybible.agent.facts.source import Host

    environment = {**os.environ, **context.environment}
    host = Host(environment=environment, timeout=float(args.gather_timeout), fact_path=args.fact_path)
    try:
        facts = gather(host, args.gather_subset, args.filter)
    except UnknownSubset as error:
        known = ", ".join(error.known)
        message = f"Bad subset '{error.name}' given to Ansible. gather_subset options allowed: {known}"
        raise ModuleError(message) from error
    found = facts.get("ansible_local")
    own = found.values() if isinstance(found, dict) else ()
    broken = [text for text in own if isinstance(text, str) and text.startswith((NOT_READABLE, NOT_RUN))]
    return Unchanged(values={"ansible_facts": facts, **({"warnings": broken} if broken else {})})


MODULE = Module(name="setup", args=Args, plan=plan)
