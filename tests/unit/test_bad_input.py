"""test_bad_input: files and answers too large, too deep or endless, refused by messages that name the limit."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from pybible.server.client.local_worker import RESULT_DEPTH, decode_outcome
from pybible.server.engine.dispatcher import Outcome, Target
from pybible.server.engine.inventory.sources import load_inventory
from pybible.server.engine.model.text import Trusted
from pybible.server.engine.templating.engine import TemplateEngine
from pybible.server.engine.templating.errors import message_of
from pybible.server.engine.templating.templar import Templar
from pybible.server.results.events import Message, Status, decode_event, encode_event
from pybible.wire.errors import SourceError
from pybible.wire.tasks import TaskSpec
from tests.support.bad_host import screen_of
from tests.support.plays import play

PLAY = "- hosts: all\n  gather_facts: false\n  tasks:\n"
TEN = "[" + ",".join("1" * 10) + "]"
BOMB = f"a: &a {TEN}\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


def warned_of(*sources: Path) -> str:
    """Read inventories; return what is warned of, all in one."""
    warnings: list[str] = []
    load_inventory([str(source) for source in sources], warn=warnings.append)
    return "\n".join(warnings)


@pytest.mark.parametrize(
    ("name", "head", "line"),
    [
        ("hosts.ini", "[web]\n", "host0000001 number=1\n"),
        ("hosts", "", "host0000001\n"),
        ("hosts.yml", "all:\n  hosts:\n", "    host0000001: {number: 1}\n"),
        ("hosts.json", '{"all": {"hosts": {"a": {}', ', "host0000001": {}'),
        ("hosts.toml", "[web.hosts]\n", "host0000001 = {}\n"),
    ],
)
def test_an_inventory_of_50_megabytes_is_refused(tmp_path: Path, name: str, head: str, line: str) -> None:
    path = tmp_path / name
    path.write_text(head + line * (50_000_000 // len(line)))
    began = time.process_time()
    assert "the file is larger than 10 MiB" in warned_of(path)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("name", "text", "limit"),
    [
        ("h.ini", "h[1:99999][1:99999]\n", "a host range may hold at most 100000 names"),
        ("h.ini", "h[1:10000000000]\n", "a host range may hold at most 100000 names"),
        ("h.yml", "all: {hosts: {'h[1:999][1:999]': }}", "a host range may hold at most 100000 names"),
        ("h.ini", "".join(f"[g{i}:children]\ng{i + 1}\n" for i in range(2000)) + "[g2000]\nh\n",
         "groups are nested more than 100 levels deep"),
        ("h.ini", "[g2000]\n" + "".join(f"[g{i}:children]\ng{i + 1}\n" for i in reversed(range(2000))),
         "groups are nested more than 100 levels deep"),
        ("h.ini", "[a:children]\nb\n[b:children]\na\n", "creates a recursive dependency loop"),
        ("h.yml", "all: {children: " * 50 + "{}" + "}" * 50, ""),
        ("h.yml", "all: {vars: {x: " + "[" * 5000 + "]" * 5000 + "}}", "nested more than 100 levels deep"),
        ("h.yml", "x:\n" + "".join("  " * i + "- \n" for i in range(1, 3000)), "nested more than 100 levels deep"),
        ("h.yml", BOMB, "the YAML holds more than 1000000 values once its aliases are expanded"),
    ],
)  # fmt: skip
def test_a_small_inventory_that_stands_for_much(tmp_path: Path, name: str, text: str, limit: str) -> None:
    (tmp_path / name).write_text(text)
    began = time.process_time()
    assert limit in warned_of(tmp_path / name)
    assert time.process_time() - began < 5


def test_many_ranges_make_too_many_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pybible.server.engine.inventory.inventory.MAX_HOSTS", 250)
    (tmp_path / "h.ini").write_text("".join(f"{letter}[1:100]\n" for letter in "abc"))
    assert "an inventory may hold at most 250 hosts" in warned_of(tmp_path / "h.ini")


@pytest.mark.parametrize("value", ["[" * 100_000, "(" * 5000 + ")" * 5000, "-" * 5000 + "1", "{" * 200, "9" * 5000])
def test_what_python_could_not_read_is_text(tmp_path: Path, value: str) -> None:
    (tmp_path / "h.ini").write_text(f"h1 a='{value}'\n[all:vars]\nb={value}\n")
    inventory = load_inventory([str(tmp_path / "h.ini")])
    assert inventory.hosts["h1"].vars["a"] == value
    assert inventory.groups["all"].vars["b"] == value


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("[" * 100_000, "the YAML is nested more than 100 levels deep"),
        ("- " * 100_000, "the YAML is nested more than 100 levels deep"),
        ("{a: " * 3000 + "}" * 3000, "the YAML is nested more than 100 levels deep"),
        ("? " * 3000, "the YAML is nested more than 100 levels deep"),
        (BOMB, "the YAML holds more than 1000000 values once its aliases are expanded"),
        ("x" * 17_000_000, "the YAML text is larger than 16 MiB"),
    ],
)
@pytest.mark.parametrize("name", ["from_yaml", "from_yaml_all"])
def test_yaml_of_a_host_s_that_is_a_bomb(name: str, text: str, limit: str) -> None:
    templar = Templar(TemplateEngine(), {"answer": text})
    began = time.process_time()
    with pytest.raises(SourceError) as caught:
        templar.render(Trusted(f"{{{{ answer | {name} }}}}"))
    assert limit in message_of(caught.value)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &a [1, 2]\nb: [*a, *a]", {"a": [1, 2], "b": [[1, 2], [1, 2]]}),
        ("&a a: 1\nb: *a", {"a": 1, "b": "a"}),
        ("- &x {k: 1}\n- <<: *x\n  l: 2", [{"k": 1}, {"k": 1, "l": 2}]),
        ("[" * 99 + "]" * 99, None),
    ],
)
def test_yaml_of_a_host_s_that_is_none(text: str, value: object) -> None:
    found = Templar(TemplateEngine(), {"answer": text}).render(Trusted("{{ answer | from_yaml }}"))
    assert found == value or (value is None and isinstance(found, list))


@pytest.mark.parametrize(
    "text", ["[" * 100_000 + "]" * 100_000, "[" * 900 + "]" * 900, '{"a":' * 5000 + "1" + "}" * 5000]
)
def test_json_of_a_host_s_that_is_too_deep(text: str) -> None:
    templar = Templar(TemplateEngine(), {"answer": text})
    with pytest.raises(SourceError, match="Recursive loop detected in template"):
        templar.render(Trusted("{{ answer | from_json }}"))


@pytest.mark.parametrize("depth", [50, 190, 199, 200, 250, 900, 100_000])
async def test_an_answer_that_is_very_deep_harms_nobody_else(tmp_path: Path, depth: int) -> None:
    deep = '{"changed": false, "wide": [[], [], [], [], []], "deep": ' + "[" * (depth - 1) + "]" * (depth - 1) + "}"

    def answer(target: Target, _spec: TaskSpec) -> Outcome:
        return decode_outcome(deep.encode() if target.host == "h2" else b"{}")

    book = f"""{PLAY}
    - {{ping: , register: answer}}
    - {{debug: {{var: answer}}}}
    - {{debug: {{msg: "{{{{ answer.deep | default({{}}) | to_json | length }}}}"}}}}
    - {{set_fact: {{kept: "{{{{ answer }}}}"}}}}
    - {{ping: }}
    """
    played = await play(tmp_path, book, answer=answer)
    assert played.counts()["h1"] == played.counts()["h3"] == "ok=5"
    results = played.results("h2")
    if depth > RESULT_DEPTH:
        assert "nested" in str(results[-1].result["msg"])
        assert results[-1].result["reason"] == "bad_result"
    else:
        assert [result.status for result in results] == [Status.OK] * 5
    assert screen_of(played)
    assert all(decode_event(encode_event(event)) for event in played.dispatcher.events)


def test_an_answer_that_is_wide_is_taken() -> None:
    wide = {"facts": [{"a": [1, {"b": "[[[[{{{{"}]}] * 1000, "text": "[" * 1000}
    assert decode_outcome(json.dumps(wide).encode()).result == wide


INCLUDES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "a file that includes itself": ("include_tasks: a.yml", {"a.yml": "- include_tasks: a.yml"}),
    "files that include each other": (
        "include_tasks: a.yml", {"a.yml": "- include_tasks: b.yml", "b.yml": "- include_tasks: a.yml"},
    ),
    "a file that includes itself in a loop": (
        "include_tasks: a.yml", {"a.yml": "- {include_tasks: a.yml, loop: [1, 2], loop_control: {loop_var: x}}"},
    ),
    "a file that includes itself with variables": (
        "{include_tasks: a.yml, vars: {n: 1}}", {"a.yml": "- {include_tasks: a.yml, vars: {m: 1}}"},
    ),
    "a file that includes itself under an apply": (
        "include_tasks: a.yml", {"a.yml": "- include_tasks: {file: a.yml, apply: {tags: [x]}}"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("task", "files"), INCLUDES.values(), ids=INCLUDES.keys())
async def test_includes_without_end(tmp_path: Path, task: str, files: Mapping[str, str]) -> None:
    book = f"{PLAY}    - {{ping: }}\n    - {task if task[0] == '{' else '{' + task + '}'}\n    - {{ping: }}\n"
    book = book.replace("- {include", "- {when: inventory_hostname == 'h2', include")
    played = await play(tmp_path, book, files=files)
    assert played.counts()["h1"] == "ok=2 skipped=1"
    assert "failed=1" in played.counts()["h2"] or "failed=2" in played.counts()["h2"]
    messages = [event.text for event in played.events if isinstance(event, Message)]
    assert any("Includes are nested more than 250 levels deep." in text for text in messages)


async def test_includes_that_are_deep_and_end(tmp_path: Path) -> None:
    again = "- {include_tasks: a.yml, vars: {n: '{{ m | int + 1 }}'}, when: m | int < 30}\n"
    task = "    - {include_tasks: a.yml, vars: {n: 0}}\n"
    played = await play(tmp_path, PLAY + task, hosts=("h1",), files={"a.yml": "- set_fact: {m: '{{ n }}'}\n" + again})
    assert played.counts() == {"h1": "ok=62 skipped=1"}


LOOPS: Mapping[str, tuple[str, Mapping[str, str], str]] = {
    "a file that imports itself": (
        f"{PLAY}    - import_tasks: a.yml\n", {"a.yml": "- import_tasks: a.yml"},
        "imports are nested more than 64 deep",
    ),
    "an included file that imports itself": (
        f"{PLAY}    - include_tasks: a.yml\n", {"a.yml": "- import_tasks: a.yml"},
        "imports are nested more than 64 deep",
    ),
    "a role that imports itself": (
        f"{PLAY}    - import_role: {{name: r}}\n", {"roles/r/tasks/main.yml": "- import_role: {name: r}"},
        "imports are nested more than 64 deep",
    ),
    "a role that includes itself": (
        f"{PLAY}    - include_role: {{name: r}}\n", {"roles/r/tasks/main.yml": "- include_role: {name: r}"},
        "A recursion loop was detected with the roles specified",
    ),
    "a role that depends on itself": (
        "- hosts: all\n  roles: [r]\n", {"roles/r/meta/main.yml": "dependencies: [r]"},
        "A recursion loop was detected with the roles specified",
    ),
    "roles that depend on each other": (
        "- hosts: all\n  roles: [r]\n",
        {"roles/r/meta/main.yml": "dependencies: [s]", "roles/s/meta/main.yml": "dependencies: [r]"},
        "A recursion loop was detected with the roles specified",
    ),
    "a playbook that imports itself": (
        "- import_playbook: site.yml\n", {}, "playbooks import each other more than 64 deep",
    ),
    "playbooks that import each other": (
        "- import_playbook: a.yml\n", {"a.yml": "- import_playbook: site.yml"},
        "playbooks import each other more than 64 deep",
    ),
    "YAML that is nested too deep": (
        f"- hosts: all\n  vars: {{a: {'[' * 5000}{']' * 5000}}}\n", {}, "the YAML is nested more than 100 levels deep",
    ),
    "YAML whose aliases stand for too much": (
        "- hosts: all\n  vars:\n" + "".join(f"    {line}\n" for line in BOMB.splitlines()), {},
        "the YAML holds more than 1000000 values once its aliases are expanded",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("book", "files", "limit"), LOOPS.values(), ids=LOOPS.keys())
async def test_what_leads_to_itself(tmp_path: Path, book: str, files: Mapping[str, str], limit: str) -> None:
    with pytest.raises(SourceError, match=limit) as caught:
        await play(tmp_path, book, files=files)
    assert caught.value.origin is not None


async def test_a_playbook_that_is_too_large(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="the file is larger than 10 MiB"):
        await play(tmp_path, PLAY + "    - ping:\n" + "# comment\n" * 1_200_000)


async def test_handlers_that_notify_each_other_run_once(tmp_path: Path) -> None:
    book = """
    - hosts: h1
      gather_facts: false
      tasks: [{command: x, notify: a}]
      handlers: [{name: a, command: x, notify: [a, b]}, {name: b, command: x, notify: a}]
    """

    def changes(_target: Target, _spec: TaskSpec) -> Outcome:
        return Outcome(result={"changed": True})

    played = await play(tmp_path, book, answer=changes)
    assert len(played.results()) < 10
