"""test_host_data_is_text: a host answers with a template in every field; wherever it goes on to, it stays text."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from pybible.server.engine.dispatcher import Outcome, Target
from pybible.server.engine.executor.options import RunOptions
from pybible.server.engine.variables.fact_cache import JsonFileCache
from pybible.server.engine.variables.scope import VariableOptions
from pybible.server.results.events import CustomStats, ItemResult, Message, Retry, Status, TaskStarted
from pybible.wire.tasks import TaskSpec
from tests.support.bad_host import BadHost, holds, looks, run, screen_of
from tests.support.plays import play


@pytest.fixture
def bad(tmp_path: Path) -> BadHost:
    return BadHost(tmp_path / "marker")


TASKS = {
    "debug msg": 'debug: {msg: "{{ answer.stdout }}"}',
    "debug var": "debug: {var: answer}",
    "debug var of an element": "debug: {var: answer.nested.deep}",
    "a message in words": 'debug: msg="it says {{ answer.stdout }}"',
    "a list and a mapping": 'debug: {msg: [{a: "{{ answer.stdout }}", "b": ["{{ answer.by_name }}"]}]}',
    "variables of the task": """
        debug: {msg: "{{ one.two }}"}
        vars: {one: {two: "{{ three }}"}, three: "{{ answer.stdout }}"}
        """,
    "items of a loop": """
        debug: {msg: "{{ item }}"}
        loop: "{{ answer.stdout_lines }}"
        """,
    "items of a list of answers": """
        debug: {msg: "{{ item.stdout }}"}
        loop: ["{{ answer }}", "{{ hostvars.h2.answer }}"]
        """,
    "with_items": """
        debug: {msg: "{{ item }}"}
        with_items: ["{{ answer.stdout_lines }}"]
        """,
    "with_dict": """
        debug: {msg: "{{ item.key }}"}
        with_dict: "{{ answer.by_name }}"
        """,
    "with_nested": """
        debug: {msg: "{{ item[0] }}"}
        with_nested: ["{{ answer.stdout_lines }}", [1]]
        """,
    "with_indexed_items": """
        debug: {msg: "{{ item.1 }}"}
        with_indexed_items: "{{ answer.stdout_lines }}"
        """,
    "an item's other name": """
        debug: {msg: "{{ found }} {{ ansible_loop.allitems }}"}
        loop: "{{ answer.stdout_lines }}"
        loop_control: {loop_var: found, extended: true}
        """,
    "a loop in a loop's results": """
        debug: {msg: "{{ looped.results | map(attribute='stdout') | list }} {{ looped.results[0].item }}"}
        """,
    "assert's messages": """
        assert: {that: answer.stdout is defined, success_msg: "{{ answer.stdout }}"}
        """,
    "an equal text in when": """
        debug: {msg: "{{ answer.stdout }}"}
        when: answer.stdout == answer.stderr and answer.stdout != 'x' and answer.stdout in answer.by_name
        """,
    "what set_stats collects": 'set_stats: {data: {figure: "{{ answer.stdout }}"}}',
    "an argument that holds more": """
        set_fact: {"kept_{{ inventory_hostname }}": "{{ answer }}"}
        """,
    "a variable file that refers to it": """
        include_vars: {file: refers.yml}
        """,
    "an included file's variables": """
        include_tasks: shows.yml
        vars: {given: "{{ answer.stdout }}"}
        """,
    "an imported file's variables": """
        import_tasks: shows.yml
        vars: {given: "{{ answer.stdout }}"}
        """,
    "an included file in a loop": """
        include_tasks: shows.yml
        loop: "{{ answer.stdout_lines }}"
        loop_control: {loop_var: given}
        """,
    "an included role's variables": """
        include_role: {name: shows}
        vars: {given: "{{ answer.stdout }}"}
        """,
    "a role's defaults": "import_role: {name: defaults}",
    "a role's arguments, checked": """
        include_role: {name: checked}
        vars: {given: "{{ answer.stdout }}"}
        """,
    "the lookup file of what was fetched": """
        debug: {msg: "{{ lookup('file', playbook_dir ~ '/brought') }}"}
        """,
    "the lookup unvault of what was fetched": """
        debug: {msg: "{{ lookup('unvault', playbook_dir ~ '/brought') }}"}
        """,
    "variables of a file that was fetched": "include_vars: {file: brought, name: read}",
    "what slurp brought": 'debug: {msg: "{{ slurped.content | b64decode }}"}',
    "an answer of another host": 'debug: {msg: "{{ elsewhere.stdout }}"}',
    "the answer of a task that ran once": 'debug: {msg: "{{ once.stdout }}"}',
    "facts of another host": 'debug: {msg: "{{ hostvars.h2.ansible_facts.evil }}"}',
    "facts that were set from facts": 'debug: {msg: "{{ set_before }} {{ ansible_facts.set_before }}"}',
    "what a rescue is told": 'debug: {msg: "{{ ansible_failed_result.msg }}"}',
    "a template in the lookup template": 'debug: {msg: "{{ lookup(\'template\', \'shows.j2\') }}"}',
    "a macro": """
        debug: {msg: "{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(answer.stdout) }}"}
        """,
    "a set": """
        debug: {msg: "{% set x = answer.stdout %}{{ x }}"}
        """,
    "a for": """
        debug: {msg: "{% for x in answer.stdout_lines %}{{ x }}{% endfor %}"}
        """,
    "a namespace": """
        debug: {msg: "{% set n = namespace(x=answer.stdout) %}{{ n.x }}"}
        """,
    "a constant of an expression beside it": """
        debug: {msg: "{{ lookup('vars', 'answer').stdout }} {{ lookup('list', '{{ answer.stdout }}') }}"}
        """,
}  # fmt: skip

BEFORE = """
- {name: looped, ping: {data: "{{ item }}"}, loop: [1, 2], register: looped}
- {slurp: {src: /x}, register: slurped}
- {fetch: {src: /x, dest: brought, flat: true, validate_checksum: false}}
- {ping: , delegate_to: h2, register: elsewhere}
- {ping: , delegate_to: h2, delegate_facts: true}
- {ping: , run_once: true, register: once}
- {set_fact: {set_before: "{{ ansible_evil }}", cacheable: true}}
- block: [{stat: {path: /x}}]
  rescue: [{debug: {msg: rescued}}]
"""
SHOWS = '- {name: look, debug: {msg: "{{ given }}"}}\n'
FILES = {
    "refers.yml": 'refers: "{{ answer.stdout }}"\n',
    "shows.yml": SHOWS,
    "roles/shows/tasks/main.yml": SHOWS,
    "roles/defaults/defaults/main.yml": 'given: "{{ between }}"\n',
    "roles/defaults/vars/main.yml": 'between: "{{ answer.stdout }}"\n',
    "roles/defaults/tasks/main.yml": SHOWS,
    "roles/checked/meta/argument_specs.yml": "argument_specs: {main: {options: {given: {type: str}}}}\n",
    "roles/checked/tasks/main.yml": SHOWS,
    "shows.j2": "{% include 'inner.j2' %}{{ answer.stdout }}",
    "templates/inner.j2": "{{ answer.stderr }}",
}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
async def test_a_task_that_uses_it(tmp_path: Path, bad: BadHost, task: str) -> None:
    last = "- name: look\n" + indent(dedent(task).strip(), "  ") + "\n"
    after = "- {name: look, debug: {msg: \"{{ vars.refers | default(read | default('')) }}\"}}\n"
    played = await run(tmp_path, bad, BEFORE + last + after, files=FILES)

    assert not any(result.result.get("reason") for result in played.results()), played.results()
    found = looks(played)
    assert found
    assert not found[0].get("failed"), found
    assert any(holds(result, bad.text) for result in found), found
    assert bad.text in screen_of(played)


async def test_a_task_s_name(tmp_path: Path, bad: BadHost) -> None:
    played = await run(tmp_path, bad, '- {name: "named {{ answer.stdout }}", ping: }')
    assert f"named {bad.text}" in [event.name for event in played.events if isinstance(event, TaskStarted)]
    assert f"TASK [named {bad.text}]" in screen_of(played)


async def test_a_handler_s_name(tmp_path: Path, bad: BadHost) -> None:
    handlers = '{name: "handler {{ hostvars.h1.answer.stdout }}", listen: due, debug: {msg: "{{ answer.stdout }}"}}'
    played = await run(tmp_path, bad, "- {ping: , notify: due}\n", handlers=handlers)
    assert f"RUNNING HANDLER [handler {bad.text}]" in screen_of(played)
    assert played.results()[-1].result["msg"] == bad.text


async def test_a_handler_that_is_notified_by_an_answer(tmp_path: Path, bad: BadHost) -> None:
    handlers = '{name: "{{ hostvars.h1.answer.stdout }}", debug: {msg: "{{ answer.stdout }}"}}'
    tasks = '- {ping: , notify: ["{{ answer.stdout }}"]}\n'
    played = await run(tmp_path, bad, tasks, handlers=handlers)
    assert played.results()[-1].result["msg"] == bad.text


async def test_a_handler_of_that_name_that_is_not_there(tmp_path: Path, bad: BadHost) -> None:
    options = RunOptions(error_on_missing_handler=False)
    played = await run(tmp_path, bad, '- {ping: , notify: "{{ answer.stdout_lines }}"}', options=options)
    assert f"The requested handler '{bad.text}' was not found" in played.warnings()[-1]


async def test_a_play_s_name(tmp_path: Path, bad: BadHost) -> None:
    after = """
    - hosts: h2
      name: "play {{ hostvars.h1.answer.stdout }}"
      gather_facts: false
      tasks: [{ping: }]
    """
    assert f"PLAY [play {bad.text}]" in screen_of(await run(tmp_path, bad, "- ping:", after=after))


async def test_a_play_s_hosts(tmp_path: Path, bad: BadHost) -> None:
    after = """
    - hosts: "{{ ['h2', hostvars.h1.answer.stdout] + hostvars.h2.answer.stdout_lines }}"
      gather_facts: false
      tasks: [{name: look, debug: {msg: here}}]
    """
    played = await run(tmp_path, bad, "- ping:", after=after)
    assert [result.host for result in played.results() if result.result.get("msg") == "here"] == ["h2"]


async def test_a_play_s_variables(tmp_path: Path, bad: BadHost) -> None:
    after = """
    - hosts: h2
      gather_facts: false
      vars: {given: "{{ hostvars.h1.answer.stdout }}"}
      vars_files: ["{{ hostvars.h1.answer.stdout }}.yml", brought]
      environment: {SAID: "{{ given }}"}
      tasks:
        - {name: look, debug: {msg: "{{ given }} {{ fetched }}"}}
        - ping:
    """
    fetch = "- {fetch: {src: /x, dest: brought, flat: true, validate_checksum: false}}\n"
    played = await run(tmp_path, bad, fetch, after=after)
    assert looks(played)[0]["msg"] == f"{bad.text} {bad.text}"
    assert played.dispatcher.sent[-1].spec.environment == {"SAID": bad.text}


async def test_a_prompt_s_default(tmp_path: Path, bad: BadHost) -> None:
    after = """
    - hosts: h2
      gather_facts: false
      vars_prompt: [{name: given, default: "{{ hostvars.h1.answer.stdout }}"}]
      tasks: [{name: look, debug: {msg: "{{ given }}"}}]
    """
    played = await run(tmp_path, bad, "- ping:", after=after)
    assert looks(played)[0]["msg"] == bad.text


async def test_a_loop_s_label(tmp_path: Path, bad: BadHost) -> None:
    label = 'loop_control: {label: "{{ answer.stdout }}"}'
    played = await run(tmp_path, bad, "- {debug: {msg: x}, loop: [1], " + label + "}")
    assert [event.item for event in played.events if isinstance(event, ItemResult)] == [bad.text]
    assert f"(item={bad.text})" in screen_of(played)


async def test_a_pause_s_prompt_and_what_is_typed(tmp_path: Path, bad: BadHost) -> None:
    book = """
    - hosts: h1
      gather_facts: false
      tasks:
        - {ping: , register: answer}
        - {pause: {prompt: "{{ answer.stdout }}"}, register: typed}
        - {name: look, debug: {msg: "{{ typed.user_input }}"}}
    """
    played = await play(tmp_path, book, hosts=("h1",), answer=bad, typed=[bad.text])
    assert not bad.marker.exists()
    assert looks(played)[0]["msg"] == bad.text
    assert any(bad.text in event.text for event in played.events if isinstance(event, Message))


CONDITIONS = {
    "when that is an answer": "{debug: {msg: no}, when: answer.stdout}",
    "when that is a template": '{debug: {msg: no}, when: "{{ answer.stdout }}"}',
    "when in a list": '{debug: {msg: no}, when: [true, "{{ answer.stdout_lines[0] }}"]}',
    "when that is a fact": '{debug: {msg: no}, when: "{{ ansible_evil }}"}',
    "when through a variable": '{debug: {msg: no}, when: "{{ v }}", vars: {v: "{{ answer.stdout }}"}}',
    "assert that": '{assert: {that: "{{ answer.stdout }}"}}',
    "assert that in a list": '{assert: {that: ["{{ answer.stdout }}"]}}',
    "assert's failure": '{assert: {that: false, fail_msg: "{{ answer.stdout }}"}}',
    "changed_when": '{ping: , changed_when: "{{ answer.stdout }}"}',
    "failed_when": '{ping: , failed_when: "{{ answer.stdout }}"}',
    "failed_when of its own answer": "{ping: , register: me, failed_when: me.stdout}",
    "until": '{ping: , until: "{{ answer.stdout }}", retries: 1, delay: 0}',
    "break_when": '{ping: , loop: [1], loop_control: {break_when: "{{ answer.stdout }}"}}',
    "debug's var": '{debug: {var: "{{ answer.stdout }}"}}',
    "a flag": '{ping: , ignore_errors: "{{ answer.stdout }}", no_log: "{{ answer.stdout }}"}',
    "a number": '{ping: , timeout: "{{ answer.stdout }}"}',
    "a mapping of arguments": '{ping: "{{ answer.stdout }}"}',
    "args": '{ping: , args: "{{ answer.stdout }}"}',
    "a file to include": '{include_tasks: "{{ answer.stdout }}.yml"}',
    "a role to include": '{include_role: {name: "{{ answer.stdout }}"}}',
    "a file of variables": '{include_vars: "{{ answer.stdout }}.yml"}',
    "a name for set_fact": '{set_fact: {"{{ answer.stdout }}": 1}}',
    "a loop that is no list": '{ping: , loop: "{{ answer.stdout }}"}',
    "a template's file": '{template: {src: "{{ answer.stdout }}", dest: /x}}',
    "fail": '{fail: {msg: "{{ answer.stdout }}"}}',
    "a lookup's name": "{debug: {msg: \"{{ lookup(answer.stdout) }}\"}}",
    "an undefined key": "{debug: {msg: \"{{ answer[answer.stdout] }}\"}}",
    "mandatory": "{debug: {msg: \"{{ nothing | mandatory(answer.stdout) }}\"}}",
    "undef": "{debug: {msg: \"{{ undef(hint=answer.stdout) }}\"}}",
    "an answer that says that it failed": "{stat: {path: /x}}",
}  # fmt: skip


@pytest.mark.parametrize("task", CONDITIONS.values(), ids=CONDITIONS.keys())
async def test_where_it_has_no_place_it_is_refused(tmp_path: Path, bad: BadHost, task: str) -> None:
    played = await run(tmp_path, bad, f"- {task}\n")
    last = played.results()[-1]
    assert last.host == "h1"
    assert last.status is Status.FAILED
    assert "this is a bug" not in str(last.result.get("msg"))


async def test_conditions_that_hold_of_it(tmp_path: Path, bad: BadHost) -> None:
    played = await run(
        tmp_path,
        bad,
        """
        - {ping: , register: me, changed_when: me.stdout == answer.stdout, failed_when: me.stdout == 'x'}
        - {ping: , register: me, until: me.stdout is search('lookup'), retries: 2, delay: 0}
        - {debug: {msg: "{{ answer.stdout }}"}, when: answer.stdout is defined and answer.stdout is not match('x')}
        """,
    )
    assert [result.status for result in played.results()[-3:]] == [Status.OK] * 3
    assert played.results()[-1].result["msg"] == bad.text


async def test_what_is_told_of_a_retry(tmp_path: Path, bad: BadHost) -> None:
    played = await run(
        tmp_path,
        bad,
        '- {name: "n {{ answer.stdout }}", ping: , register: me, until: me.no == 1, retries: 1, delay: 0}',
    )
    assert all(event.name == f"n {bad.text}" for event in played.events if isinstance(event, Retry))


@pytest.mark.parametrize("unreachable", [False, True])
async def test_a_failure_whose_words_are_a_template(tmp_path: Path, bad: BadHost, unreachable: bool) -> None:
    def answer(_target: Target, _spec: TaskSpec) -> Outcome:
        return Outcome(result={"failed": True, "msg": bad.text, "unreachable": unreachable}, unreachable=unreachable)

    book = """
    - hosts: h1
      gather_facts: false
      tasks: [{ping: , ignore_errors: true, ignore_unreachable: true, register: answer},
              {name: look, debug: {msg: "{{ answer.msg }}"}}]
    """
    played = await play(tmp_path, book, hosts=("h1",), answer=answer)
    assert looks(played)[0]["msg"] == bad.text
    assert screen_of(played).count(bad.text) >= 2
    assert not bad.marker.exists()


async def test_the_arguments_of_the_next_module(tmp_path: Path, bad: BadHost) -> None:
    played = await run(
        tmp_path,
        bad,
        """
        - command: echo "{{ answer.stdout }}"
          environment: {SAID: "{{ answer.stdout }}"}
          become: true
          become_user: "{{ answer.stdout }}"
        - ping: {data: "{{ answer.nested }}"}
        - ping: data="{{ ansible_evil }}"
        - action: {module: ping, data: "{{ answer.stdout }}"}
          delegate_to: "{{ answer.stdout }}"
        - ping:
          module_defaults: {ping: {data: "{{ answer.stdout }}"}}
        """,
    )
    command, *pings = played.dispatcher.sent[2:]
    assert bad.text in str(command.args["_raw_params"])
    assert command.spec.environment["SAID"] == bad.text
    assert command.spec.become is not None
    assert command.spec.become.user == bad.text
    assert all(holds(sent.args, bad.text) for sent in pings)
    assert pings[2].target.agent == bad.text


async def test_what_is_copied_to_the_host(tmp_path: Path, bad: BadHost) -> None:
    played = await run(
        tmp_path,
        bad,
        """
        - copy: {content: "{{ answer.stdout }}", dest: /x}
        - copy: {content: "{{ answer.nested }}", dest: "/{{ answer.stdout }}"}
        - template: {src: page.j2, dest: /x}
        - copy: {src: brought, dest: /x}
        """,
        files={
            "templates/page.j2": "{% import 'inner.j2' as inner %}{% for x in answer.stdout_lines %}{{ x }}{% endfor %}"
            "{{ inner.m(ansible_evil) }}{{ v | default(answer.stdout) }}{% include 'more.j2' %}",
            "templates/inner.j2": "{% macro m(x) %}[{{ x }}]{% endmacro %}",
            "templates/more.j2": "{{ hostvars.h2.answer.stdout }}",
            "brought": "{{ not rendered }}",
        },
    )
    contents = [sent.spec.attachments[0].inline or b"" for sent in played.dispatcher.sent[2:]]
    text = bad.text.encode()
    assert [content.count(text) for content in contents] == [1, 3, 4, 0]
    assert contents[3] == b"{{ not rendered }}"


async def test_hosts_and_groups_that_are_added_from_it(tmp_path: Path, bad: BadHost) -> None:
    after = """
    - hosts: new
      gather_facts: false
      tasks: [{name: look, debug: {msg: "{{ said }} {{ groups | to_json }} {{ group_names }}"}}]
    - hosts: all
      gather_facts: false
      tasks: [{name: look, debug: {msg: "{{ hostvars.new.said }}"}}]
    """
    played = await run(
        tmp_path,
        bad,
        """
        - add_host: {name: new, said: "{{ answer.stdout }}", groups: ["{{ answer.stdout }}", "a"]}
        - group_by: {key: "{{ ansible_evil }}"}
        """,
        after=after,
    )
    assert all(holds(result, bad.text) for result in looks(played))


async def test_a_host_that_is_called_so(tmp_path: Path, bad: BadHost) -> None:
    played = await run(tmp_path, bad, '- add_host: {name: "{{ answer.stdout }}"}')
    assert played.results()[-1].status is Status.FAILED or holds(dict(played.results()[-1].result), bad.text)


async def test_facts_that_are_gathered(tmp_path: Path, bad: BadHost) -> None:
    book = """
    - hosts: all
      tasks:
        - {name: look, debug: {msg: "{{ ansible_evil }} {{ ansible_facts.evil }} {{ hostvars.h2.ansible_local.own }}"}}
        - {name: look, debug: {var: ansible_facts}}
    """
    played = await play(tmp_path, book, hosts=("h1", "h2"), answer=bad)
    assert len(looks(played)) == 4
    assert all(holds(result, bad.text) for result in looks(played))
    assert not bad.marker.exists()


async def test_facts_that_were_kept_from_another_run(tmp_path: Path, bad: BadHost) -> None:
    kept = VariableOptions(fact_cache=JsonFileCache(tmp_path / "kept", warn=pytest.fail))
    shows = '{name: look, debug: {msg: "{{ ansible_evil }} {{ hostvars.h2.ansible_facts.evil }} {{ set_before }}"}}'
    first = "- hosts: all\n  tasks: [{set_fact: {set_before: '{{ ansible_evil }}', cacheable: true}}, " + shows
    second = "- hosts: all\n  gather_facts: false\n  tasks: [" + shows
    for book in (first, second):
        played = await play(tmp_path, book + "]\n", hosts=("h1", "h2"), answer=bad, variables=kept)
        assert [result["msg"] for result in looks(played)] == [f"{bad.text} {bad.text} {bad.text}"] * 2
        assert not bad.marker.exists()


async def test_the_recap_s_own_statistics(tmp_path: Path, bad: BadHost) -> None:
    played = await run(tmp_path, bad, '- set_stats: {data: {figure: "{{ answer.stdout }}"}, per_host: true}')
    assert holds([event.data for event in played.events if isinstance(event, CustomStats)], bad.text)


async def test_the_result_of_a_job_that_was_started_before(tmp_path: Path, bad: BadHost) -> None:
    played = await run(
        tmp_path,
        bad,
        """
        - {command: sleep, async: 5, poll: 0, register: job}
        - {async_status: {jid: "{{ job.stdout }}"}, register: done}
        - {name: look, debug: {msg: "{{ done.stdout }}"}}
        """,
    )
    assert played.dispatcher.sent[-1].args["jid"] == bad.text
    assert looks(played)[0]["msg"] == bad.text
