"""targets: everything that is fuzzed, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tests.fuzz import agents, commands, controllers, hosts, joining, ports, readers, workers
from tests.fuzz.hunt import Target

TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        target.name: target
        for target in (
            readers.OPERATORS_TEXTS,
            readers.DAEMONS_TEXTS,
            readers.KEPT_BYTES,
            hosts.HOSTS_TEXTS,
            hosts.KEPT_TEXTS,
            controllers.FOREIGN_AGENT,
            controllers.FOREIGN_CTL,
            controllers.QUESTIONS,
            controllers.CONTENTS,
            controllers.ENROLMENT,
            agents.FOREIGN_CONTROLLER,
            commands.COMMANDS_TARGET,
            joining.JOINING,
            workers.FOREIGN_WORKER,
            ports.RAW,
        )
    }
)
