"""test_plan_preview: what would run on a host, and what of it is not known before anything has run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from pybible.server.cli.exits import exit_status_of
from pybible.server.cli.main import ctl
from pybible.server.engine.inventory.inventory import Inventory
from pybible.server.engine.parsing.loader import Loader
from pybible.server.engine.plan.preview import MAX_DEPTH, PlannedTask, Preview
from pybible.server.engine.templating.engine import TemplateEngine
from pybible.server.engine.templating.templar import Templar
from pybible.server.engine.variables.magic import PlayHosts
from pybible.server.engine.variables.scope import VariableManager
from tests.support.playbooks import write


def plan(
    folder: Path, tasks: str, *, facts: Mapping[str, object] | None = None, head: str = "", only: tuple[str, ...] = ()
) -> list[PlannedTask]:
    write(folder, {"site.yml": f"- hosts: h1\n  gather_facts: no\n{head}  tasks:\n{tasks}"})
    inventory = Inventory()
    inventory.add_host("h1", group="all").vars["port"] = 80
    inventory.reconcile()
    engine = TemplateEngine(playbook_directory=folder)
    loader = Loader(static_render=lambda value, variables: Templar(engine, variables).render(value))
    manager = VariableManager(inventory=inventory, engine=engine, playbook_directory=folder)
    if facts:
        manager.set_facts("h1", facts)
    (play,) = loader.load_playbook(folder / "site.yml").plays
    hosts = PlayHosts(all=("h1",), live=("h1",), batch=("h1",))
    return Preview(variables=manager, loader=loader, only=only).play(play, "h1", hosts)


def test_what_is_known_is_rendered(tmp_path: Path) -> None:
    (task,) = plan(tmp_path, "  - {name: 'to {{ port }}', debug: {msg: 'at {{ port + 1 }}'}, notify: x}\n")
    assert (task.name, task.module, task.runs, task.args) == ("to 80", "debug", True, {"msg": "at 81"})
    assert (task.unknown, task.notify) == ({}, ("x",))
    assert task.place == f"{tmp_path}/site.yml:4:5"


def test_what_can_not_but_fail_says_why(tmp_path: Path) -> None:
    gone, there = plan(tmp_path, "  - {action: nowhere a=b}\n  - {action: debug msg=b}\n")
    assert (gone.fails, there.fails) == ("Cannot resolve 'nowhere' to an action or module.", "")
    assert gone.args == {"a": "b"}


@pytest.mark.parametrize(
    ("text", "shown", "waits"),
    [
        ("{{ ansible_os_family }}", "{{ ansible_os_family }}", ("ansible_os_family",)),
        ("{{ port }} {{ ansible_facts.x }}", "80 {{ ansible_facts.x }}", ("ansible_facts",)),
        ("{{ by }} {{ port }}", "{{ by }} 80", ("ansible_os_family",)),
        ("{{ out.stdout | default('-') }}", "{{ out.stdout | default('-') }}", ("out",)),
        ("{{ nope }}", "{{ nope }}", ("'nope' is undefined",)),
        ("{{ ansible_check_mode }}", False, ()),
        ("{% for x in [1, 2] %}{{ x }}{% endfor %}", "12", ()),
        ("{{ 'a' is changed }}", "{{ 'a' is changed }}", None),
        ("no template", "no template", ()),
    ],
)
def test_what_is_not_known_yet_stays_and_is_named(
    tmp_path: Path, text: str, shown: object, waits: tuple[str, ...] | None
) -> None:
    head = "  vars: {by: '{{ ansible_os_family | lower }}'}\n"
    tasks = f"  - {{command: id, register: out}}\n  - debug: {{msg: {json.dumps(text)}}}\n"
    task = plan(tmp_path, tasks, head=head)[1]
    assert task.args["msg"] == shown
    if waits is not None:
        assert task.unknown.get("msg", ()) == waits


def test_kept_facts_are_known(tmp_path: Path) -> None:
    (task,) = plan(tmp_path, "  - debug: {msg: '{{ ansible_os_family }}'}\n", facts={"ansible_os_family": "Debian"})
    assert (task.args, task.unknown) == ({"msg": "Debian"}, {})


@pytest.mark.parametrize(
    ("when", "runs", "waits"),
    [
        ("port == 80", True, ()),
        ("port == 81", False, ()),
        ("out is changed", None, ("out",)),
        ("[port == 81, out is changed]", False, ()),
        ("[port == 80, out is changed]", None, ("out",)),
        ("ansible_os_family == 'Debian'", None, ("ansible_os_family",)),
        ("out.rc == 0 and port == 80", None, ("out",)),
    ],
)
def test_a_condition_holds_or_not_or_nobody_knows(
    tmp_path: Path, when: str, runs: bool | None, waits: tuple[str, ...]
) -> None:
    tasks = f"  - {{command: id, register: out}}\n  - debug: {{msg: x}}\n    when: {when}\n"
    task = plan(tmp_path, tasks)[1]
    assert (task.runs, task.unknown.get("when", ())) == (runs, waits)


def test_a_loop_that_is_known_is_gone_through(tmp_path: Path) -> None:
    tasks = "  - debug: {msg: 'n{{ item }}'}\n    loop: [1, 2]\n    when: item > 1\n"
    first, second = plan(tmp_path, tasks)
    assert (first.item, first.runs, second.item, second.runs) == (1, False, 2, True)
    assert second.args == {"msg": "n2"}


def test_a_loop_that_is_not_known_stands_once(tmp_path: Path) -> None:
    tasks = "  - {command: id, register: out}\n  - debug: {msg: '{{ item }} {{ port }}'}\n    loop: '{{ out.x }}'\n"
    task = plan(tmp_path, tasks)[1]
    assert task.unknown == {"loop": ("out",), "msg": ("item",)}
    assert (task.args, task.has_item) == ({"msg": "{{ item }} 80"}, False)


def test_what_set_fact_sets_is_known_if_its_values_are(tmp_path: Path) -> None:
    tasks = (
        "  - {command: id, register: out}\n"
        "  - set_fact: {a: '{{ port * 2 }}', b: '{{ out.rc }}'}\n"
        "  - set_fact: {c: 1}\n    when: out is changed\n"
        "  - debug: {msg: '{{ a }} {{ b }} {{ c }}'}\n"
    )
    task = plan(tmp_path, tasks)[3]
    assert (task.args, task.unknown) == ({"msg": "160 {{ b }} {{ c }}"}, {"msg": ("b", "c")})


def test_includes_that_are_known_are_followed(tmp_path: Path) -> None:
    write(tmp_path, {"more-80.yml": "- debug: {msg: '{{ x }}'}\n", "roles/r/tasks/main.yml": "- ping:\n"})
    tasks = (
        "  - include_tasks: more-{{ port }}.yml\n    vars: {x: given}\n"
        "  - include_role: {name: r}\n"
        "  - include_tasks: not-there.yml\n"
        "  - include_tasks: '{{ ansible_os_family }}.yml'\n"
    )
    names = [(task.name, task.depth, dict(task.args)) for task in plan(tmp_path, tasks)]
    assert names[1] == ("debug", 1, {"msg": "given"})
    assert names[3] == ("r : ping", 1, {})
    assert [depth for _, depth, _ in names] == [0, 1, 0, 1, 0, 0]


def test_an_include_of_itself_ends(tmp_path: Path) -> None:
    write(tmp_path, {"again.yml": "- include_tasks: again.yml\n"})
    assert len(plan(tmp_path, "  - include_tasks: again.yml\n")) == MAX_DEPTH + 1


def test_tags_choose(tmp_path: Path) -> None:
    tasks = "  - {ping: , tags: a}\n  - {debug: {msg: x}, tags: b}\n"
    assert [task.module for task in plan(tmp_path, tasks, only=("b",))] == ["debug"]


def test_no_lookup_is_run_for_what_is_a_result(tmp_path: Path) -> None:
    lookup = f"{{{{ lookup('pipe', 'touch {tmp_path}/x ' ~ out.rc) }}}}"
    tasks = f"  - {{command: id, register: out}}\n  - debug: {{msg: {json.dumps(lookup)}}}\n"
    assert plan(tmp_path, tasks)[1].unknown == {"msg": ("out",)}
    assert not (tmp_path / "x").exists()


def test_the_command_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        tmp_path,
        {
            "inv": "h1 port=80\nh2 port=81\n",
            "site.yml": (
                "- name: Both\n  hosts: all\n  tasks:\n"
                "  - {name: Look, command: 'id {{ port }}', register: out}\n"
                "  - {name: Tell, debug: {msg: '{{ out.stdout }}'}, when: port == 81}\n"
                "  - {name: Perhaps, debug: {msg: 'l1\\nl2'}, when: out is changed, notify: x}\n"
                "  handlers: [{name: x, ping: }]\n"
            ).replace("'l1\\nl2'", '"l1\\nl2"'),
        },
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert exit_status_of(lambda: ctl.main(["plan", "-i", "inv", "site.yml"], standalone_mode=False)) == 0
    shown = capsys.readouterr().out
    assert shown == (
        "\nplaybook: site.yml\n\n  play: Both\n"
        "\n    h1: 3 tasks\n"
        "      + Gathering Facts [gather_facts]\n"
        "      + Look [command]\n          _raw_params: id 80\n"
        "      - Tell [debug]\n          when: port == 81\n"
        '      ? Perhaps [debug]\n          msg: "l1\\nl2"\n'
        "          when: out is changed  <- not known yet: out\n          notify: x\n"
        "\n    h2: 4 tasks\n"
        "      + Gathering Facts [gather_facts]\n"
        "      + Look [command]\n          _raw_params: id 81\n"
        "      + Tell [debug]\n          msg: {{ out.stdout }}  <- not known yet: out\n"
        '      ? Perhaps [debug]\n          msg: "l1\\nl2"\n'
        "          when: out is changed  <- not known yet: out\n          notify: x\n"
    )
    words = ["plan", "-i", "inv", "-l", "h2", "--json", "site.yml"]
    assert exit_status_of(lambda: ctl.main(words, standalone_mode=False)) == 0
    found = json.loads(capsys.readouterr().out)
    tasks = found["playbooks"][0]["plays"][0]["hosts"]["h2"]
    assert [task["runs"] for task in tasks] == [True, True, True, None]
    assert tasks[2]["unknown"] == {"msg": ["out"]}
