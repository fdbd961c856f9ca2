"""oracle_answers: run by ansible-core's own Python: questions as JSON on standard input, answers on standard output."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ["ANSIBLE_INVENTORY_ENABLED"] = "ini"
os.environ["ANSIBLE_INVENTORY_UNPARSED_FAILED"] = "1"
os.environ["ANSIBLE_LOCALHOST_WARNING"] = "0"
os.environ["ANSIBLE_INVENTORY_UNPARSED_WARNING"] = "0"


def main() -> None:
    """Answer all."""
    # Not as statements: the environment that checks this file has no ansible-core.
    manager = import_module("ansible.inventory.manager").InventoryManager
    loader_of = import_module("ansible.parsing.dataloader").DataLoader
    parse_kv = import_module("ansible.parsing.splitter").parse_kv
    variables_of = import_module("ansible.vars.manager").VariableManager
    given = json.load(sys.stdin)
    names = given["names"]
    import_module("ansible.plugins.loader").init_plugin_loader([])
    folder = Path(tempfile.mkdtemp())

    def read(text: str) -> Any:
        path = folder / "hosts"
        path.write_text(text)
        loader = loader_of()
        return loader, manager(loader=loader, sources=[str(path)])

    def inventory(question: Any) -> Any:
        try:
            loader, found = read(question["ini"])
        except Exception:
            return {"error": True}
        variables = variables_of(loader=loader, inventory=found)
        seen = {}
        for host in found.get_hosts("all"):
            every = variables.get_vars(host=host, include_hostvars=False)
            port = {"ansible_port": every["ansible_port"]} if "ansible_port" in every else {}
            seen[host.name] = {**{name: every[name] for name in names if name in every}, **port}
        groups = {
            name: {"hosts": [host.name for host in group.hosts], "children": [kid.name for kid in group.child_groups]}
            for name, group in found.groups.items()
            if name not in ("all", "ungrouped")
        }
        return {"hosts": seen, "groups": groups}

    def pattern(question: Any) -> Any:
        _loader, found = read(given["nested" if question["nested"] else "flat"])
        try:
            if question["limit"]:
                found.subset(question["limit"])
            names = [host.name for host in found.get_hosts(question["pattern"])]
            return sorted(names) if question["nested"] else names
        except Exception:
            return {"error": True}

    def words(question: Any) -> Any:
        try:
            return parse_kv(question["text"], check_raw=question["raw"])
        except Exception:
            return {"error": True}

    how = {"ranges": inventory, "ini": inventory, "patterns": pattern, "pairs": words}
    answers = {about: [how[about](question) for question in asked] for about, asked in given["questions"].items()}
    json.dump(answers, sys.stdout, default=repr)


main()
