"""plan: tags, batches, where to start, and the listings of ansible-playbook."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybible.server.engine.inventory.sources import load_inventory
from pybible.server.engine.plan.batches import batch_size, batches
from pybible.server.engine.plan.listing import ListedPlay, Listing, list_playbook
from pybible.server.engine.plan.start_at import first_match, matches
from pybible.server.engine.plan.tags import select, should_run
from pybible.wire.errors import PybibleError
from tests.support.playbooks import Project, names_of, tasks_of


@pytest.mark.parametrize(
    ("tags", "only", "skip", "runs"),
    [
        ("", "", "", True),
        ("a", "", "", True),
        ("a", "a", "", True),
        ("a", "b", "", False),
        ("a b", "b c", "", True),
        ("", "a", "", False),
        ("always", "a", "", True),
        ("always", "a", "always", False),
        ("never", "", "", False),
        ("never", "all", "", False),
        ("never", "never", "", True),
        ("never a", "a", "", True),
        ("never a", "tagged", "", False),
        ("a", "all", "", True),
        ("a", "tagged", "", True),
        ("", "tagged", "", False),
        ("a", "untagged", "", False),
        ("", "untagged", "", True),
        ("always", "untagged", "", True),
        ("a", "", "a", False),
        ("a", "a", "a", False),
        ("a", "", "b", True),
        ("a", "", "tagged", False),
        ("", "", "tagged", True),
        ("", "", "untagged", False),
        ("a", "", "untagged", True),
        ("a", "", "all", False),
        ("", "", "all", False),
        ("always", "", "all", True),
        ("always", "", "all always", False),
        ("always never", "", "", True),
    ],
)
def test_tags_decide_what_runs(tags: str, only: str, skip: str, runs: bool) -> None:
    assert should_run(tags.split(), only.split(), skip.split()) is runs


def test_selection_keeps_blocks_that_still_have_something(tmp_path: Path) -> None:
    text = """
- hosts: all
  tasks:
    - {name: a, ping: , tags: x}
    - {name: b, ping: }
    - block: [{name: c, ping: }]
      rescue: [{name: d, ping: , tags: x}]
    - block: [{name: e, ping: }, {block: [{name: f, ping: , tags: x}]}]
    - block: [{name: g, ping: }]
"""
    blocks = Project(tmp_path, {"site.yml": text}).play().blocks
    kept = select(blocks, ["x"])
    assert names_of(kept) == ["a", "d", "f"]
    assert len([block for block in kept if names_of([block])]) == 3
    assert names_of(kept, implicit=True).count("meta flush_handlers") == 3
    untouched = select(blocks)
    assert untouched == blocks


@pytest.mark.parametrize(
    ("serial", "hosts", "size"),
    [(3, 10, 3), ("3", 10, 3), ("30%", 10, 3), ("25%", 10, 2), ("1%", 10, 1), ("100%", 7, 7), (0, 5, 0), (-1, 5, -1)],
)
def test_a_batch_is_a_number_or_a_share(serial: object, hosts: int, size: int) -> None:
    assert batch_size(serial, hosts) == size


@pytest.mark.parametrize("serial", ["x", "x%", 1.5, True, None, [1]])
def test_a_batch_of_anything_else_is_an_error(serial: object) -> None:
    with pytest.raises(PybibleError, match="Invalid value for serial"):
        batches(["a"], [serial])


@pytest.mark.parametrize(
    ("serial", "sizes"),
    [
        ([], [10]),
        ([0], [10]),
        ([3], [3, 3, 3, 1]),
        (["30%"], [3, 3, 3, 1]),
        ([1, 2, "50%"], [1, 2, 5, 2]),
        ([1, 0], [1, 9]),
        ([20], [10]),
    ],
)
def test_the_last_size_repeats(serial: list[object], sizes: list[int]) -> None:
    assert [len(batch) for batch in batches([str(number) for number in range(10)], serial)] == sizes


@given(
    st.lists(st.integers(-1, 7) | st.integers(1, 100).map(lambda share: f"{share}%"), max_size=4), st.integers(0, 40)
)
def test_batches_are_all_the_hosts_in_order(serial: list[object], count: int) -> None:
    hosts = [str(number) for number in range(count)]
    made = batches(hosts, serial)
    assert [host for batch in made for host in batch] == hosts
    assert all(made)


def test_a_run_may_start_at_a_task(tmp_path: Path) -> None:
    files = {
        "site.yml": """
- hosts: all
  pre_tasks: [{name: pre one, ping: }]
  roles: [r]
  tasks:
    - block: [{name: in block, ping: }]
      rescue: [{name: in rescue, ping: }]
    - debug:
""",
        "roles/r/tasks/main.yml": "- {name: of role, ping: }\n- command: ls\n",
    }
    blocks = Project(tmp_path, files).play().blocks

    def start(wanted: str) -> str | None:
        task = first_match(blocks, wanted)
        return None if task is None else task.name or task.action

    assert start("pre one") == "pre one"
    assert start("of*") == "of role"
    assert start("r : of role") == "of role"
    assert start("r : command") == "command"
    assert start("in block") == "in block"
    assert start("debug") == "debug"
    assert start("in rescue") is None
    assert start("meta") is None
    assert start("PRE*") is None
    (block_task,) = (task for task in tasks_of(blocks) if task.name == "in block")
    assert matches(block_task, "in ?lock")


# What ansible-playbook 2.19.14 prints for this very playbook (hosts and the play's own tags in our order).
PROJECT = {
    "inventory": "[web]\na\nb\nc\n",
    "other.yml": """
- hosts: localhost
  order: reverse_sorted
  tasks:
  - ping:
  - action: debug msg=1
  - local_action: command ls
""",
    "site.yml": """
- name: First play
  hosts: web:!b
  tags: pt
  pre_tasks:
    - ping:
    - meta: flush_handlers
  roles:
    - r1
    - {role: r2, tags: [x, y], foo: bar}
  tasks:
    - name: "templ {{ x }}"
      debug: msg=1
    - block:
        - include_role: {name: r3}
        - import_role: {name: r3}
          tags: ir
      rescue:
        - fail:
          tags: in_rescue
      tags: "{{ tg }},zz"
    - name: a; never
      ansible.builtin.ping:
      tags: never
  post_tasks:
    - ping:
      tags: always
  vars: {tg: dyn}
- hosts: [a, c]
  gather_facts: no
  tasks: []
- import_playbook: other.yml
  tags: ip
""",
    "roles/r1/tasks/main.yml": """
- name: r1 t1
  debug: msg=x
  tags: [a, b]
- command: ls
- include_tasks: sub.yml
- import_tasks: imp.yml
  tags: imported
""",
    "roles/r1/tasks/imp.yml": "- debug: msg=imp\n- block:\n  - ping:\n  always:\n  - fail:\n  tags: blk\n",
    "roles/r1/meta/main.yml": "dependencies:\n- role: r2\n  tags: dep\n",
    "roles/r2/tasks/main.yml": "- debug: msg=r2\n",
    "roles/r3/tasks/main.yml": "- debug: msg=r3\n- meta: noop\n",
    "roles/r3/meta/main.yml": "argument_specs:\n  main:\n    short_description: The desc\n    options: {}\n",
}

LIST_TASKS = """
playbook: site.yml

  play #1 (web:!b): First play\tTAGS: [pt]
    tasks:
      ping\tTAGS: [pt]
      meta\tTAGS: [pt]
      debug\tTAGS: [dep, pt]
      r1 : r1 t1\tTAGS: [a, b, pt]
      command\tTAGS: [pt]
      include_tasks\tTAGS: [pt]
      debug\tTAGS: [imported, pt]
      ping\tTAGS: [blk, imported, pt]
      debug\tTAGS: [pt, x, y]
      templ {{ x }}\tTAGS: [pt]
      include_role\tTAGS: [dyn, pt, zz]
      r3 : Validating arguments against arg spec 'main' - The desc\tTAGS: [always, dyn, ir, pt, zz]
      debug\tTAGS: [dyn, ir, pt, zz]
      meta\tTAGS: [dyn, ir, pt, zz]
      ping\tTAGS: [always, pt]

  play #2 (a,c): a,c\tTAGS: []
    tasks:

  play #3 (localhost): localhost\tTAGS: [ip]
    tasks:
      ping\tTAGS: [ip]
      debug\tTAGS: [ip]
      command\tTAGS: [ip]"""

LIST_TASKS_OF_A_TAG = """
playbook: site.yml

  play #1 (web:!b): First play\tTAGS: [pt]
    tasks:
      r3 : Validating arguments against arg spec 'main' - The desc\tTAGS: [always, dyn, ir, pt, zz]
      a; never\tTAGS: [never, pt]
      ping\tTAGS: [always, pt]

  play #2 (a,c): a,c\tTAGS: []
    tasks:

  play #3 (localhost): localhost\tTAGS: [ip]
    tasks:"""

LIST_TAGS = """
playbook: site.yml

  play #1 (web:!b): First play\tTAGS: [pt]
      TASK TAGS: [a, always, b, blk, dep, dyn, imported, ir, never, pt, x, y, zz]

  play #2 (a,c): a,c\tTAGS: []
      TASK TAGS: []

  play #3 (localhost): localhost\tTAGS: [ip]
      TASK TAGS: [ip]"""

LIST_HOSTS = """
playbook: site.yml

  play #1 (web:!b): First play\tTAGS: [pt]
    pattern: ['web:!b']
    hosts (2):
      a
      c

  play #2 (a,c): a,c\tTAGS: []
    pattern: ['a', 'c']
    hosts (2):
      a
      c

  play #3 (localhost): localhost\tTAGS: [ip]
    pattern: ['localhost']
    hosts (1):
      localhost"""

EVERYTHING_OF_A_TAG = """
playbook: site.yml

  play #1 (web:!b): First play\tTAGS: [pt]
    pattern: ['web:!b']
    hosts (2):
      a
      c
    tasks:
      debug\tTAGS: [pt, x, y]
      r3 : Validating arguments against arg spec 'main' - The desc\tTAGS: [always, dyn, ir, pt, zz]
      ping\tTAGS: [always, pt]
      TASK TAGS: [always, dyn, ir, pt, x, y, zz]

  play #2 (a,c): a,c\tTAGS: []
    pattern: ['a', 'c']
    hosts (2):
      a
      c
    tasks:
      TASK TAGS: []

  play #3 (localhost): localhost\tTAGS: [ip]
    pattern: ['localhost']
    hosts (1):
      localhost
    tasks:
      TASK TAGS: [ip]"""


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        (Listing(tasks=True), LIST_TASKS),
        (Listing(tasks=True, only=["never"]), LIST_TASKS_OF_A_TAG),
        (Listing(tags=True), LIST_TAGS),
        (Listing(hosts=True), LIST_HOSTS),
        (Listing(hosts=True, tasks=True, tags=True, only=["x"]), EVERYTHING_OF_A_TAG),
        (Listing(), "\nplaybook: site.yml"),
    ],
    ids=["tasks", "tasks of a tag", "tags", "hosts", "everything", "syntax"],
)
def test_listings_are_ansible_playbooks(tmp_path: Path, listing: Listing, expected: str) -> None:
    project = Project(tmp_path, PROJECT)
    inventory = load_inventory([str(tmp_path / "inventory")])
    plays = []
    for play in project.load().plays:
        hosts = [str(host) for host in (play.hosts if isinstance(play.hosts, list) else [play.hosts])]
        name = play.name or ",".join(hosts)
        plays.append(ListedPlay(play=play, name=name, patterns=tuple(hosts), hosts=tuple(inventory.match(hosts))))
    assert list_playbook("site.yml", plays, listing) == expected
