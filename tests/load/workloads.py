"""workloads: the playbooks that the benchmark runs, and the inventories of those who run them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_REALISTIC = """
    - name: folder
      file: path={{ top }} state=directory mode=0755
    - name: file
      copy: src=plain.txt dest={{ top }}/plain mode=0644
    - name: template
      template: src=page.j2 dest={{ top }}/page mode=0644
    - name: first line
      lineinfile: path={{ top }}/settings regexp=^a= line=a=1 create=true mode=0644
    - name: second line
      lineinfile: path={{ top }}/settings regexp=^b= line=b={{ inventory_hostname }}
    - name: look
      stat: path={{ top }}/page
      register: page
    - name: command
      command: cat {{ top }}/settings
      register: settings
      changed_when: false
      when: page.stat.exists
    - name: content
      copy: content="{{ settings.stdout }}" dest={{ top }}/copy mode=0644
    - name: link
      file: src={{ top }}/page dest={{ top }}/link state=link
    - name: not today
      command: /bin/false
      when: page.stat.size == 0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A playbook with `tasks` tasks for each host."""

    name: str
    tasks: int
    text: str

    def write(self, folder: Path) -> Path:
        """Put the playbook, and what it needs, into a folder."""
        (folder / "plain.txt").write_text("plain\n" * 20)
        (folder / "page.j2").write_text("{{ title }} {{ a }} {{ b }} {{ c }} on {{ inventory_hostname }}\n")
        path = folder / f"{self.name}.yml"
        path.write_text(self.text)
        return path


def repeated(name: str, task: str, tasks: int) -> Workload:
    """Return a play of one task, `tasks` times."""
    head = "- hosts: bench\n  gather_facts: false\n  tasks:\n"
    return Workload(name=name, tasks=tasks, text=head + f"    - {task}\n" * tasks)


def realistic(top: Path) -> Workload:
    """Return ten realistic tasks that write below `top`, a folder for each host."""
    head = (
        "- hosts: bench\n  gather_facts: false\n"
        f"  vars: {{title: t, a: 1, b: two, c: [3], top: '{top}/{{{{ inventory_hostname }}}}'}}\n  tasks:"
    )
    return Workload(name="W3", tasks=10, text=head + _REALISTIC)


def empty() -> Workload:
    """Return a play without tasks: what starting costs."""
    return Workload(name="empty", tasks=0, text="- hosts: bench\n  gather_facts: false\n")


def facts() -> Workload:
    """Return a play that gathers facts and does nothing else."""
    return Workload(name="W4", tasks=1, text="- hosts: bench\n  gather_facts: true\n")


def inventory(folder: Path, hosts: list[str], variables: str = "") -> Path:
    """Write an inventory of these hosts."""
    path = folder / "inventory.ini"
    path.write_text("[bench]\n" + "".join(f"{host} {variables}\n" for host in hosts))
    return path
