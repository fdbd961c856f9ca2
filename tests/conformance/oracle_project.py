"""oracle_project: one project that sets generated variables at every level, and shows them from several places."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.conformance.oracle_questions import at, sorted_names, variable_sets

# What returns facts: a module of the project's own for ansible-core, one that is answered for in tests.
FACTS_MODULE = "gives_facts"
_MODULE = """#!/usr/bin/python
import json
print(json.dumps({"changed": False, "ansible_facts": json.loads('''FACTS''')}))
"""


def project(facts_module: str = FACTS_MODULE) -> dict[str, str]:
    """Return the project's files by name. The inventory is inventory/hosts, the playbook site.yml."""
    sets = variable_sets()
    shown = ", ".join(f"{name}: '{{{{ {name} | default(\"-\") }}}}'" for name in sorted_names(sets))
    look = f"debug: {{msg: {{{shown}}}}}"
    return {
        **_inventory(),
        "group_vars/all.yml": _values("playbook_group_vars_all"),
        "group_vars/web.yml": _values("playbook_group_vars"),
        "host_vars/h1.yml": _values("playbook_host_vars"),
        "files.yml": _values("vars_files"),
        "included.yml": _values("include_vars"),
        "extra.json": _values("extra_vars"),
        f"library/{FACTS_MODULE}.py": _MODULE.replace("FACTS", _values("facts")),
        "roles/r/defaults/main.yml": _values("role_defaults"),
        "roles/r/vars/main.yml": _values("role_vars"),
        "roles/r/tasks/main.yml": _role(look),
        "roles/r/tasks/deep.yml": f"- name: in an included file\n  vars: {_values('task_vars')}\n  {look}\n",
        "roles/plain/tasks/main.yml": f"- name: in a role that was included\n  {look}\n",
        "site.yml": _playbook(look, facts_module),
    }


def _values(level: str) -> str:
    return json.dumps(at(level, variable_sets()))


def _pairs(level: str) -> str:
    return "".join(f"{name}={value}\n" for name, value in at(level, variable_sets()).items())


def _inventory() -> dict[str, str]:
    return {
        "inventory/hosts": f"h1 {' '.join(_pairs('inventory_host').split())}\nh2\n[web]\nh1\n[parent:children]\nweb\n"
        f"[web:vars]\n{_pairs('inventory_group')}[parent:vars]\n{_pairs('inventory_parent_group')}"
        f"[all:vars]\n{_pairs('inventory_all')}",
        "inventory/group_vars/all.yml": _values("inventory_group_vars_all"),
        "inventory/group_vars/web.yml": _values("inventory_group_vars"),
        "inventory/host_vars/h1.yml": _values("inventory_host_vars"),
    }


def _role(look: str) -> str:
    included = f"""- block:
    - include_tasks: deep.yml
      vars: {_values("include_params")}
  vars: {_values("block_vars")}
"""
    return f"""
- name: in the role, in a task
  vars: {_values("task_vars")}
  {look}
- block:
    - name: in the role's block
      {look}
  vars: {_values("block_vars")}
{included}
- when: inventory_hostname == 'h1'
  block:
    - include_vars: ../../../included.yml
    - set_fact: {_values("set_fact")}
{_registering(at("registered", variable_sets()))}
- name: in the role, after it learned
  {look}
- name: in the role, after it learned, in a task
  vars: {_values("task_vars")}
  {look}
{included}
"""


def _playbook(look: str, facts_module: str) -> str:
    return f"""
- hosts: all
  gather_facts: false
  vars: {_values("play_vars")}
  vars_files: [files.yml]
  vars_prompt: {_prompts(at("vars_prompt", variable_sets()))}
  pre_tasks:
    - name: before facts
      {look}
    - {{{facts_module}: , when: inventory_hostname == 'h1'}}
    - name: before roles
      {look}
    - include_role: {{name: plain}}
      vars: {_values("include_role_vars")}
  roles:
    - {{role: r, vars: {_values("role_entry_vars")}, {_values("role_params")[1:-1]}}}
  post_tasks:
    - name: after roles
      {look}
    - name: after roles, in a task
      vars: {_values("task_vars")}
      {look}
    - include_role: {{name: plain}}
      vars: {_values("include_role_vars")}
- hosts: all
  gather_facts: false
  tasks:
    - name: in another play
      {look}
"""


def _prompts(values: Mapping[str, str]) -> str:
    return json.dumps([{"name": name, "default": value, "private": False} for name, value in values.items()])


def _registering(values: Mapping[str, str]) -> str:
    tasks = (
        f"    - {{command: echo {value}, register: {name}, changed_when: false}}\n" for name, value in values.items()
    )
    return "".join(tasks)


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write the project."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def compact(shown: Iterable[tuple[str, str, Mapping[str, object]]]) -> list[list[object]]:
    """Return what was shown (task, host, variables) with registered results by their level's name."""
    return [
        [task, host, {name: _level(value) for name, value in values.items()}]
        for task, host, values in sorted(shown, key=lambda each: each[1])
    ]


def _level(value: object) -> object:
    return "registered" if isinstance(value, dict) and "stdout" in value else value
