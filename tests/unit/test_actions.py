"""test_actions: what the engine's own actions do, and what they ask of a host."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from pybible.server.engine.dispatcher import Outcome, Target
from pybible.server.engine.executor.options import RunOptions
from pybible.server.results.events import CustomStats, Message, MessageLevel, Status
from pybible.wire.tasks import TaskSpec
from tests.support.plays import Played, play


async def one(folder: Path, task: str, *, answer: object = None, files: dict[str, str] | None = None) -> Played:
    """Run one task on one host."""

    def changed(_target: Target, _spec: TaskSpec) -> Outcome:
        return Outcome(result={"changed": True})

    text = f"- hosts: h1\n  gather_facts: false\n  vars: {{name: value}}\n  tasks:\n    - {task}\n"
    return await play(folder, text, answer=answer or changed, files=files)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "msg"),
    [
        ("debug: {msg: a, var: b}", "parameters are mutually exclusive: msg|var"),
        ("debug: {nope: 1}", "Unsupported parameters for (debug) module: nope. Supported parameters include: "),
        ("fail: {}", "Failed as requested from task"),
        ("fail: {msg: '{{ name }}'}", "value"),
        ("assert: {}", "missing required arguments: that"),
        ("assert: {that: [1 == 1, name == 'x']}", "Assertion failed"),
        ("set_fact: {cacheable: true}", "No key/value pairs provided, at least one is required for this action"),
        ("set_fact: {1bad: x}", "Task failed: Invalid variable name '1bad'."),
        ("add_host: {groups: g}", "name, host or hostname needs to be provided"),
        ("group_by: {}", "the 'key' param is required when using group_by"),
        ("set_stats: {data: [1]}", "The 'data' option needs to be a dictionary/hash"),
        ("include_vars: {nope: 1}", "Task failed: nope is not a valid option in include_vars"),
        ("pause: {seconds: x}", "argument 'seconds' is of type str and we were unable to convert to int"),
        ("copy: {dest: /x}", "src (or content) is required"),
        ("copy: {content: x}", "dest is required"),
        ("copy: {src: nope, dest: /x}", "Unexpected AnsibleActionFail error: Could not find or access 'nofile'"),
        ("template: {dest: /x}", "src and dest are required"),
        ("template: {src: nofile, dest: /x}", "Could not find or access 'nofile'"),
        ("fetch: {src: /x}", "src and dest are required"),
    ],
)
async def test_what_is_wrong_is_said_as_ansible_says_it(tmp_path: Path, task: str, msg: str) -> None:
    played = await one(tmp_path, task.replace("src: nope", "src: nofile"))
    result = played.results("h1")[0]

    assert result.status is Status.FAILED
    assert str(result.result["msg"]).startswith(msg)


async def test_a_text_travels_inside_the_task(tmp_path: Path) -> None:
    played = await one(tmp_path, "copy: {content: 'hello {{ name }}', dest: /etc/motd, mode: '0644'}")
    sent = played.dispatcher.sent[0]
    digest = hashlib.sha256(b"hello value").hexdigest()

    assert sent.spec.module == "copy"
    assert sent.args == {"dest": "/etc/motd", "mode": "0644", "_content": digest, "_size": 11}
    assert [(a.sha256, a.inline) for a in sent.spec.attachments] == [(digest, b"hello value")]


async def test_a_mapping_is_copied_as_json(tmp_path: Path) -> None:
    played = await one(tmp_path, "copy: {content: {a: 1}, dest: /x}")

    assert played.dispatcher.sent[0].spec.attachments[0].inline == b'{"a": 1}'


async def test_a_large_file_is_sent_only_to_a_host_that_wants_it(tmp_path: Path) -> None:
    def answer(_target: Target, spec: TaskSpec) -> Outcome:
        return Outcome(result={} if spec.attachments else {"_wanted": True})

    files = {"files/big": "x" * 100_000}
    played = await one(tmp_path, "copy: {src: big, dest: /srv/}", files=files, answer=answer)
    probe, sent = played.dispatcher.sent

    assert (probe.spec.attachments, probe.args["_probe"], probe.args["_size"]) == ((), True, 100_000)
    assert probe.args["_content"] == sent.args["_content"]
    assert "_probe" not in sent.args
    assert sent.spec.attachments[0].inline is None
    assert sent.spec.attachments[0].path == str(tmp_path / "files/big")
    assert (sent.args["dest"], sent.args["_original_basename"]) == ("/srv/", "big")


@pytest.mark.parametrize(("source", "inside"), [("tree", "tree/"), ("tree/", "")])
async def test_a_folder_is_copied_file_by_file(tmp_path: Path, source: str, inside: str) -> None:
    files = {"files/tree/a": "a", "files/tree/sub/b": "b"}
    played = await one(tmp_path, f"copy: {{src: {source}, dest: /srv}}", files=files)
    copies = [sent.args for sent in played.dispatcher.sent if sent.spec.module == "copy"]
    folders = [sent.args["path"] for sent in played.dispatcher.sent if sent.spec.module == "file"]

    assert [(args["dest"], args["_original_basename"]) for args in copies] == [
        ("/srv/", f"{inside}a"),
        ("/srv/", f"{inside}sub/b"),
    ]
    assert folders == [f"/srv/{inside}sub"]
    assert played.results("h1")[0].changed


async def test_a_template_is_rendered_here_with_the_file_s_own_options(tmp_path: Path) -> None:
    text = "#jinja2: variable_start_string:'[[', variable_end_string:']]'\n[[ name ]] {{ raw }}\n\n"
    played = await one(tmp_path, "template: {src: t.j2, dest: /x}", files={"templates/t.j2": text})
    sent = played.dispatcher.sent[0]

    assert sent.spec.attachments[0].inline == b"value {{ raw }}\n\n"
    assert "src" not in sent.args


async def test_the_new_side_of_a_difference_is_named_after_its_source(tmp_path: Path) -> None:
    def answer(_target: Target, _spec: TaskSpec) -> Outcome:
        return Outcome(result={"changed": True, "diff": [{"before": "", "after": "x", "after_header": "/tmp/y"}]})

    played = await one(tmp_path, "copy: {src: f, dest: /x}", answer=answer, files={"files/f": "x"})

    assert played.results("h1")[0].result["diff"][0]["after_header"] == str(tmp_path / "files/f")


async def test_a_fetched_file_lies_under_the_host_s_folder_whatever_the_host_calls_it(tmp_path: Path) -> None:
    def answer(_target: Target, _spec: TaskSpec) -> Outcome:
        content = base64.b64encode(b"data").decode()
        return Outcome(result={"changed": False, "content": content, "source": "/../../../etc/evil"})

    played = await one(tmp_path, f"fetch: {{src: /etc/x, dest: {tmp_path}/got}}", answer=answer)
    result = played.results("h1")[0].result

    assert result["dest"] == f"{tmp_path}/got/h1/etc/evil"
    assert (tmp_path / "got/h1/etc/evil").read_bytes() == b"data"
    assert result["changed"] is True


async def test_a_fetched_file_that_is_there_already_is_unchanged(tmp_path: Path) -> None:
    def answer(_target: Target, _spec: TaskSpec) -> Outcome:
        checksum = hashlib.sha1(b"data", usedforsecurity=False).hexdigest()
        return Outcome(result={"content": base64.b64encode(b"data").decode(), "source": "/x", "checksum": checksum})

    (tmp_path / "got").write_bytes(b"data")
    played = await one(tmp_path, f"fetch: {{src: /x, dest: {tmp_path}/got, flat: true}}", answer=answer)

    assert not played.results("h1")[0].changed


@pytest.mark.parametrize(("strict", "status"), [("true", Status.FAILED), ("false", Status.OK)])
async def test_a_file_that_is_not_there_fails_a_fetch_only_when_it_must(
    tmp_path: Path, strict: str, status: Status
) -> None:
    def answer(_target: Target, _spec: TaskSpec) -> Outcome:
        return Outcome(result={"failed": True, "msg": "File not found: /x"})

    played = await one(tmp_path, f"fetch: {{src: /x, dest: /y, fail_on_missing: {strict}}}", answer=answer)

    assert played.results("h1")[0].status is status
    assert played.results("h1")[0].result["msg"] == "the remote file does not exist, not transferring, ignored"


async def test_debug_shows_what_is_undefined_in_place_and_warns(tmp_path: Path) -> None:
    played = await one(tmp_path, "debug: {var: nothing}")

    assert played.results("h1")[0].result["nothing"] == "<< error 1 - 'nothing' is undefined >>"
    assert played.results("h1")[0].verbose_always
    assert "Encountered 1 template error." in played.warnings()[0]


async def test_debug_evaluates_no_text_that_a_template_made(tmp_path: Path) -> None:
    played = await one(tmp_path, """debug: {var: "{{ 'name' }}"}""")

    assert "Encountered untrusted template or expression." in str(played.results("h1")[0].result["msg"])


async def test_a_folder_of_variables_is_read_in_order(tmp_path: Path) -> None:
    files = {"d/1.yml": "{a: 1, b: 1}", "d/2.yml": "{b: 2}", "d/sub/3.json": '{"c": 3}'}
    played = await one(tmp_path, "include_vars: {dir: d}\n    - debug: {msg: '{{ a }}{{ b }}{{ c }}'}", files=files)

    assert played.results("h1")[1].result["msg"] == "123"


async def test_a_pause_without_a_terminal_passes_over_its_prompt(tmp_path: Path) -> None:
    played = await one(tmp_path, "pause: {prompt: sure?}")

    assert played.results("h1")[0].status is Status.OK
    assert played.warnings() == ["Not waiting for response to prompt as stdin is not interactive"]


async def test_a_pause_on_a_terminal_waits_for_an_answer(tmp_path: Path) -> None:
    tasks = """
        - {hosts: h1, gather_facts: false, tasks: [
            {pause: }, {pause: {prompt: sure}}, {name: ask, pause: {prompt: secret, echo: false}},
            {pause: {prompt: wait, seconds: 1}}]}
    """
    played = await play(tmp_path, tasks, typed=["", "yes", "hush"])

    assert [result.result["user_input"] for result in played.results("h1")] == ["", "yes", "HUSH", ""]
    assert played.warnings() == []
    assert [event.text for event in played.events if isinstance(event, Message)] == [
        "[pause]\nPress enter to continue, Ctrl+C to interrupt:",
        "[pause]\nsure:",
        "[ask]\nsecret (output is hidden):",
        "Pausing for 1 seconds",
        "(ctrl+C then 'C' = continue early, ctrl+C then 'A' = abort)",
        "[pause]\nwait:",
    ]


async def test_stats_are_added_up(tmp_path: Path) -> None:
    played = await one(tmp_path, "set_stats: {data: {n: 1}}\n    - set_stats: {data: {n: 2}}")

    assert [event.data for event in played.events if isinstance(event, CustomStats)] == [{"n": 1}, {"n": 3}]


async def test_a_host_that_is_added_can_be_used_at_once(tmp_path: Path) -> None:
    played = await one(
        tmp_path, "add_host: {name: 'new:2222', groups: [g], role: web}\n    - debug: {msg: '{{ hostvars.new.role }}'}"
    )

    assert played.results("h1")[0].result["add_host"]["host_name"] == "new"
    assert played.results("h1")[1].result["msg"] == "web"


async def test_meta_says_what_it_does_at_higher_verbosity(tmp_path: Path) -> None:
    played = await one(tmp_path, "meta: clear_facts")
    notices = [event for event in played.events if isinstance(event, Message) and event.level is MessageLevel.NOTICE]

    assert [(event.text, event.verbosity) for event in notices] == [("META: facts cleared", 2)]


async def test_arguments_are_checked_against_a_specification(tmp_path: Path) -> None:
    spec = "{argument_spec: {name: {type: int}, other: {required: true}}}"
    played = await one(tmp_path, f"validate_argument_spec: {spec}")

    assert played.results("h1")[0].result["argument_errors"] == [
        "missing required arguments: other",
        "argument 'name' is of type str and we were unable to convert to int: "
        "\"'value'\" cannot be converted to an int",
    ]


async def test_what_a_module_s_programs_print_is_shown_live_unless_it_is_secret(tmp_path: Path) -> None:
    tasks = "[{command: a}, {raw: a}, {shell: a, no_log: true}, {apt: {name: x}}]"
    played = await play(
        tmp_path,
        f"[{{hosts: h1, gather_facts: false, tasks: {tasks}}}]",
        options=RunOptions(output_limit=99),
    )
    assert [sent.spec.output_limit for sent in played.dispatcher.sent] == [99, 99, 0, 99]
