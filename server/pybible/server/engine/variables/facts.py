"""facts: what a run learns about each host: facts, set_fact, registered results, include_vars."""

from __future__ import annotations

from collections.abc import Mapping

from pybible.server.engine.templating.globals import GLOBALS
from pybible.server.engine.variables.precedence import Layers

# A host must not be able to say how, where and as whom its tasks run: such names never become variables from facts.
_CONNECTION = frozenset(
    {
        "ansible_connection", "ansible_host", "ansible_port", "ansible_user", "ansible_password", "ansible_become",
        "ansible_become_user", "ansible_become_method", "ansible_become_password", "ansible_become_pass",
        "ansible_become_exe", "ansible_become_flags", "ansible_executable", "ansible_shell_type",
        "ansible_shell_executable", "ansible_remote_tmp", "ansible_timeout", "ansible_private_key_file",
        "ansible_pipelining", "ansible_module_compression", "ansible_playbook_python", "ansible_delegated_vars",
        "ansible_facts", "pybible_agent",
    }
)  # fmt: skip
# Nor may it change what the names that every template uses mean.
_TEMPLATE_NAMES = frozenset(GLOBALS) | {"vars", "range", "dict", "cycler", "joiner", "namespace", "lipsum"}
_CONNECTION_PREFIXES = (
    "ansible_ssh_", "ansible_paramiko_", "ansible_winrm_", "ansible_psrp_", "ansible_local_", "ansible_become_",
    "ansible_sudo_", "ansible_su_", "ansible_runas_", "ansible_docker_",
)  # fmt: skip


def injectable(name: str) -> bool:
    """Whether a fact may become a variable of its own (all facts are in `ansible_facts`)."""
    if name in _CONNECTION or name in _TEMPLATE_NAMES:
        return False
    if name.startswith("ansible_ssh_host_key_"):
        return True
    if name.startswith(("discovered_interpreter_", "ansible_discovered_interpreter_")):
        return True
    return not (name.startswith(_CONNECTION_PREFIXES) or name.endswith("_interpreter"))


# In kept facts: all were gathered, there is no need to do it again.
GATHERED = "_ansible_facts_gathered"


class HostState:
    """What is known about one host. The mappings stay the same objects for the whole run: they are layers.

    `inject`: facts are variables of their own too. `returned` holds facts by the names that modules gave them.
    """

    __slots__ = ("_inject", "facts", "include_vars", "layers", "namespace", "returned", "set_facts")

    def __init__(self, *, inject: bool = True) -> None:
        self._inject = inject
        self.returned: dict[str, object] = {}
        # ansible_facts, without the prefix of each name.
        self.namespace: dict[str, object] = {}
        self.facts: dict[str, object] = {"ansible_facts": self.namespace}
        self.set_facts: dict[str, object] = {}
        self.include_vars: dict[str, object] = {}
        self.layers: Layers = {
            "facts": (self.facts,),
            "set_fact": (self.set_facts,),
            "include_vars": (self.include_vars,),
        }

    def add_facts(self, facts: Mapping[str, object]) -> None:
        """Take facts as modules return them: `ansible_` before most names."""
        self.returned.update(facts)
        for name, value in facts.items():
            # As in Ansible: the host owner's own facts keep their whole name.
            short = name[8:] if name.startswith("ansible_") and name != "ansible_local" else name
            self.namespace[short or name] = value
            if self._inject and injectable(name) and name != GATHERED:
                self.facts[name] = value

    def clear_facts(self) -> None:
        """Forget the facts; what set_fact and register hold stays."""
        self.returned.clear()
        self.namespace.clear()
        self.facts.clear()
        self.facts["ansible_facts"] = self.namespace
