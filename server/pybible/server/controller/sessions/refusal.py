"""refusal: what an agent's last Hello said of it, and which attempts its operator may therefore not have run there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pybible.server.controller.rights import Work
from pybible.server.controller.sessions.attempts import Attempt, Verdict, failure
from pybible.wire.outcomes import Reason
from pybible.wire.tasks import Become, is_brought, module_of, unusual_become


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDetails:
    """What the agent's last Hello said of itself, and the labels that it was enrolled with."""

    hostname: str = ""
    version: str = ""
    boot_id: str = ""
    modules: tuple[str, ...] = ()
    policy: tuple[str, ...] = ()
    address: str = ""
    epoch: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)


def refusal(attempt: Attempt, name: str, details: AgentDetails) -> Verdict | None:
    """Return the verdict for an attempt that its operator may not have run on this agent, None for one that he may."""
    if attempt.rights is None or attempt.spec is None:
        return None
    spec = attempt.spec
    module = module_of(spec.module, spec.args)[0]
    become = Become(user=spec.become.user, flags=spec.become.flags, executable=spec.become.executable)
    work = Work(
        agent=name,
        labels=details.labels,
        module=module,
        become=spec.become.user,
        check=spec.check,
        replaces=module in details.modules and is_brought(spec.module, spec.args),
        by=unusual_become(become),
    )
    refused = attempt.rights.refusal(work)
    return replace(failure(Reason.POLICY_DENIED, refused), refusal=refused) if refused else None
