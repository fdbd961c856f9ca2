"""workloads: the playbooks that the benchmark runs, and the inventories of those who run them."""

from __future__ import annotations

from dataclasses import dataclass, replace
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

# The same for pyinfra: what it does not have it does in its own way.
_DEPLOY = """
from io import StringIO
from pyinfra import host
from pyinfra.facts.files import File
from pyinfra.operations import files, server

top = f"{TOP}/{host.name}"
files.directory(path=top, mode="755")
files.put(src="plain.txt", dest=f"{top}/plain", mode="644")
files.template(
    src="page.j2", dest=f"{top}/page", mode="644", title="t", a=1, b="two", c=[3], inventory_hostname=host.name
)
files.line(path=f"{top}/settings", line="^a=.*", replace="a=1", ensure_newline=True)
files.line(path=f"{top}/settings", line="^b=.*", replace=f"b={host.name}", ensure_newline=True)
page = host.get_fact(File, path=f"{top}/page")
shown = server.shell(commands=[f"cat {top}/settings"])
files.put(src=StringIO("a=1"), dest=f"{top}/copy", mode="644")
files.link(path=f"{top}/link", target=f"{top}/page")
server.shell(commands=["/bin/false"], _if=lambda: False)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A playbook with `tasks` tasks for each host."""

    name: str
    tasks: int
    text: str
    suffix: str = "yml"

    def write(self, folder: Path) -> Path:
        """Put the playbook, and what it needs, into a folder."""
        (folder / "plain.txt").write_text("plain\n" * 20)
        (folder / "page.j2").write_text("{{ title }} {{ a }} {{ b }} {{ c }} on {{ inventory_hostname }}\n")
        path = folder / f"{self.name}.{self.suffix}"
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


def again(workload: Workload) -> Workload:
    """Return the same once more, when there is nothing left to change."""
    return replace(workload, name=f"{workload.name} again")


def of_pyinfra(top: Path, tasks: int) -> list[Workload]:
    """Return the workloads as deploys of pyinfra. Its W1 does not leave the control node; it has no W4."""
    nothing = "from pyinfra.operations import python\n\ndef nothing():\n    pass\n\n"
    shell = "from pyinfra.operations import server\n\n"
    realistic = Workload(name="W3", tasks=10, text=f"TOP = {str(top)!r}\n{_DEPLOY}", suffix="py")
    return [
        Workload(name="W1", tasks=tasks, text=nothing + "python.call(function=nothing)\n" * tasks, suffix="py"),
        Workload(name="W2", tasks=tasks, text=shell + 'server.shell(commands=["/bin/true"])\n' * tasks, suffix="py"),
        realistic,
        again(realistic),
    ]


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
