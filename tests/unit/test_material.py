"""material: what counts as a role, a task file or a playbook in a package, and when two answers are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.material import PLAYBOOK, ROLE, TASKS, read_material
from tests.conformance.real_material import Answer
from tests.support.playbooks import write

LISTED = (
    "\n  play #1 (all): all\tTAGS: [{}]\n    pattern: ['all']\n    hosts (2):\n      {}\n      {}\n"
    "    tasks:\n      a\tTAGS: []"
)


def test_every_file_is_what_its_place_and_text_say(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "playbooks/site.yml": "---\n# All\n- name: x\n  hosts: web,&new\n",
            "playbooks/all.yaml": "- import_playbook: site.yml\n",
            "playbooks/steps.yml": "---\n- debug:\n",
            "playbooks/vars/list.yml": "- a\n",
            "playbooks/settings.yml": "a: b\n",
            "roles/r/tasks/main.yml": "- debug:\n",
            "roles/r/tasks/sub/more.yml": "- debug:\n",
            "roles/r/defaults/main.yml": "hosts: x\n",
            "roles/r/library/m.py": "",
            "roles/r/molecule.yml": "inventory:\n  hosts:\n    all:\n",
            "top.yml": "- hosts: all\n",
        },
    )
    material = read_material(tmp_path)
    found = [(item.kind, str(item.path.relative_to(tmp_path))) for item in material.items]
    assert found == [
        (ROLE, "roles/r"), (PLAYBOOK, "playbooks/all.yaml"), (PLAYBOOK, "playbooks/site.yml"),
        (TASKS, "playbooks/steps.yml"), (TASKS, "roles/r/tasks/main.yml"), (TASKS, "roles/r/tasks/sub/more.yml"),
        (PLAYBOOK, "top.yml"),
    ]  # fmt: skip
    assert material.groups == {"web", "new", "all"}
    assert material.environment()["ANSIBLE_LIBRARY"] == str(tmp_path / "roles/r/library")
    assert "tasks_from: sub/more.yml" in material.items[-2].text


@pytest.mark.parametrize(
    ("found", "same"),
    [
        (Answer(0, LISTED.format("t,u", "h1", "h2"), "[WARNING]: x"), True),
        (Answer(0, LISTED.format("u,t", "h2", "h1"), ""), True),
        (Answer(0, LISTED.format("t", "h1", "h2"), ""), False),
        (Answer(0, LISTED.format("t,u", "h1", "h3"), ""), False),
        (Answer(4, LISTED.format("t,u", "h1", "h2"), ""), False),
    ],
)
def test_what_comes_out_of_a_set_may_be_in_any_order(found: Answer, same: bool) -> None:
    assert Answer(0, LISTED.format("t,u", "h1", "h2"), "").same(found) is same


def test_two_refusals_are_the_same_with_one_status() -> None:
    assert Answer(4, "begun", "[ERROR]: one").same(Answer(4, "", "[ERROR]: other"))
    assert not Answer(4, "", "").same(Answer(1, "", ""))
