"""loader: plays, blocks and tasks of a playbook, and what applies to each task."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybible.server.engine.model.play import Block, Task
from pybible.wire.errors import ExitStatus, ParseError, SourceError, TemplateError
from tests.support.playbooks import Project, names_of, tasks_of


def only_task(folder: Path, text: str) -> Task:
    """Return the one task of a play whose `tasks` are `text`."""
    play = Project(folder, {"site.yml": "- hosts: all\n  tasks:\n" + indented(text, 4)}).play()
    (task,) = tasks_of(play.blocks)
    return task


def indented(text: str, by: int) -> str:
    return "".join(" " * by + line for line in text.splitlines(keepends=True))


def test_the_sections_of_a_play_come_in_order_each_flushed(tmp_path: Path) -> None:
    play = Project(
        tmp_path,
        {
            "site.yml": """
- hosts: all
  post_tasks: [{name: post, ping: }]
  tasks: [{name: main, ping: }]
  roles: [r]
  pre_tasks: [{name: pre, ping: }]
""",
            "roles/r/tasks/main.yml": "- {name: in role, ping: }",
        },
    ).play()
    assert names_of(play.blocks, implicit=True) == [
        "pre", "meta flush_handlers", "in role", "meta role_complete", "main", "meta flush_handlers", "post",
        "meta flush_handlers",
    ]  # fmt: skip


def test_tasks_between_blocks_are_put_into_implicit_ones(tmp_path: Path) -> None:
    text = """
- hosts: all
  tasks:
    - {name: a, ping: }
    - {name: b, ping: }
    - name: explicit
      block: [{name: c, ping: }]
      rescue: [{name: d, ping: }, {block: [{name: e, ping: }]}]
      always: [{name: f, ping: }]
    - {name: g, ping: }
"""
    blocks = Project(tmp_path, {"site.yml": text}).play().blocks
    shown = [(block.name, block.implicit, names_of(block.block)) for block in blocks if names_of([block])]
    assert shown == [("", True, ["a", "b"]), ("explicit", False, ["c"]), ("", True, ["g"])]
    explicit = next(block for block in blocks if block.name == "explicit")
    assert names_of(explicit.rescue) == ["d", "e"]
    assert isinstance(explicit.rescue[1], Block)
    assert names_of(explicit.always) == ["f"]


def test_keywords_of_play_block_and_task_add_up(tmp_path: Path) -> None:
    text = """
- hosts: all
  tags: [p]
  become: true
  remote_user: root
  environment: {A: 1}
  module_defaults: {file: {mode: "0600"}}
  vars: {of_play: 1}
  tasks:
    - block:
        - ping:
          when: [c, d]
          tags: t1, t2
          become: false
          environment: {B: 2}
          vars: {of_task: 3}
          notify: h
          delegate_to: other
      when: b
      tags: [x, p]
      vars: {of_block: 2}
      notify: [g]
      throttle: 3
"""
    (task,) = tasks_of(Project(tmp_path, {"site.yml": text}).play().blocks)
    keywords = task.keywords
    assert keywords.when == ("b", "c", "d")
    assert keywords.tags == ("p", "x", "t1", "t2")
    assert keywords.notify == ("g", "h")
    assert keywords.environment == ({"A": 1}, {"B": 2})
    assert keywords.module_defaults == ([{"file": {"mode": "0600"}}],)
    assert [(layer.level, layer.values) for layer in keywords.vars] == [
        ("block", {"of_block": 2}),
        ("task", {"of_task": 3}),
    ]
    assert keywords.values == {"become": False, "remote_user": "root", "throttle": 3, "delegate_to": "other"}


def test_every_keyword_of_a_task_is_read(tmp_path: Path) -> None:
    task = only_task(
        tmp_path,
        """
- name: "all {{ x }}"
  command: echo hi
  args: {chdir: /}
  register: out
  until: out.rc == 0
  retries: 4
  delay: 1
  changed_when: false
  failed_when: [a, b]
  with_items: "{{ list }}"
  loop_control: {loop_var: one, index_var: i, label: "{{ one }}", pause: 2, extended: true, break_when: one == 2}
  poll: 5
""",
    )
    assert (task.name, task.action, task.args) == ("all {{ x }}", "command", {"chdir": "/", "_raw_params": "echo hi"})
    assert (task.register, task.until, task.has_until) == ("out", ("out.rc == 0",), True)
    assert (task.retries, task.delay) == (4, 1)
    assert (task.changed_when, task.failed_when) == ((False,), ("a", "b"))
    assert (task.loop, task.loop_with, task.has_loop) == ("{{ list }}", "items", True)
    control = task.loop_control
    assert (control.loop_var, control.index_var, control.label, control.pause) == ("one", "i", "{{ one }}", 2)
    assert (control.extended, control.extended_allitems, control.break_when) == (True, True, ("one == 2",))
    assert (task.origin.line, task.origin.column) == (4, 7)


def test_local_action_is_delegated_to_localhost(tmp_path: Path) -> None:
    task = only_task(tmp_path, "- local_action: command ls\n")
    assert task.keywords.get("delegate_to") == "localhost"


def test_tags_may_be_templates_of_play_and_extra_variables(tmp_path: Path) -> None:
    text = """
- hosts: all
  vars: {one: a, two: "b,c"}
  tasks: [{ping: , tags: ["{{ one }}", "{{ two }}", "{{ extra }}", 5]}]
"""
    project = Project(tmp_path, {"site.yml": text}, extra_vars={"extra": "x", "one": "overridden"})
    (task,) = tasks_of(project.play().blocks)
    assert task.keywords.tags == ("overridden", "b", "c", "x", "5")


def test_handlers_are_those_of_roles_then_of_the_play_then_of_imported_roles(tmp_path: Path) -> None:
    files = {
        "site.yml": """
- hosts: all
  roles: [{role: r, tags: rt}]
  tasks: [{import_role: {name: s}, when: w}]
  handlers:
    - {name: own, ping: , listen: [t1, t2]}
    - import_tasks: more.yml
    - block: [{name: in block, ping: }]
      when: b
""",
        "more.yml": "- {name: imported, ping: }",
        "roles/r/handlers/main.yml": "- {name: of r, ping: , listen: topic}",
        "roles/s/handlers/main.yml": "- {name: of s, ping: }",
    }
    handlers = list(tasks_of(Project(tmp_path, files).play().handlers))
    assert [handler.name for handler in handlers] == ["of r", "own", "imported", "in block", "of s"]
    assert all(handler.is_handler for handler in handlers)
    assert handlers[0].listen == ("topic", "r : topic")
    assert handlers[0].keywords.tags == ("rt",)
    assert handlers[1].listen == ("t1", "t2")
    assert handlers[3].keywords.when == ("b",)
    assert handlers[4].keywords.when == ("w",)


def test_import_tasks_hands_its_keywords_to_every_task(tmp_path: Path) -> None:
    files = {
        "site.yml": """
- hosts: all
  vars: {which: a}
  tasks:
    - import_tasks: "{{ which }}.yml"
      when: outer
      tags: t
      become: true
      vars: {v: 1}
""",
        "a.yml": "- {name: one, ping: , when: inner}\n- import_tasks: sub/b.yml\n- include_tasks: c.yml\n",
        "sub/b.yml": "- {name: two, ping: }\n- import_tasks: beside.yml\n",
        "sub/beside.yml": "- {name: three, ping: }\n",
    }
    tasks = list(tasks_of(Project(tmp_path, files).play().blocks))
    assert [task.name or task.action for task in tasks] == ["one", "two", "three", "include_tasks"]
    assert tasks[0].keywords.when == ("outer", "inner")
    assert all(task.keywords.tags == ("t",) and task.keywords.get("become") is True for task in tasks)
    assert [layer.values for layer in tasks[2].keywords.vars] == [{"v": 1}]
    assert tasks[1].origin.file == str(tmp_path / "sub" / "b.yml")
    assert tasks[1].search_path == (tmp_path / "sub", tmp_path)


def test_an_empty_imported_file_is_warned_of(tmp_path: Path) -> None:
    project = Project(tmp_path, {"site.yml": "- hosts: all\n  tasks: [{import_tasks: a.yml}]\n", "a.yml": "---\n"})
    assert names_of(project.play().blocks) == []
    assert project.warnings == [f"file {tmp_path / 'a.yml'} is empty and had no tasks to include"]


def test_import_playbook_hands_vars_tags_and_condition_to_every_play(tmp_path: Path) -> None:
    files = {
        "site.yml": """
- import_playbook: "{{ folder }}/other.yml"
  vars: {folder: sub, v: outer, w: 1}
  tags: [o]
  when: cond
- hosts: b
""",
        "sub/other.yml": """
- hosts: a
  name: A
  tags: i
  vars: {v: inner, u: 2}
  tasks: [{ping: , when: own}]
  handlers: [{name: h, ping: }]
- ansible.builtin.import_playbook: last.yml
  tags: l
""",
        "sub/last.yml": "- hosts: c\n  roles: [r]\n",
        "sub/roles/r/tasks/main.yml": "- ping:\n",
    }
    first, second, third = Project(tmp_path, files).load().plays
    assert [play.hosts for play in (first, second, third)] == ["a", "c", "b"]
    assert first.vars == {"v": "outer", "u": 2, "folder": "sub", "w": 1}
    assert first.keywords.tags == ("o", "i")
    assert first.keywords.when == ("cond",)
    (task,) = tasks_of(first.blocks)
    assert (task.keywords.when, task.keywords.tags) == (("cond", "own"), ("o", "i"))
    (handler,) = tasks_of(first.handlers)
    assert handler.keywords.when == ()
    assert second.keywords.tags == ("o", "l")
    assert second.directory == tmp_path / "sub"
    (role_task,) = tasks_of(second.blocks)
    assert role_task.keywords.when == ("cond",)
    assert third.keywords.tags == ()


def test_the_keywords_of_a_play_stay_as_written(tmp_path: Path) -> None:
    text = """
- name: P
  hosts: [a, "{{ b }}"]
  user: root
  gather_facts: false
  gather_subset: [min]
  gather_timeout: 5
  fact_path: /f
  vars_files: [a.yml, [b.yml, c.yml]]
  vars_prompt: [{name: n, prompt: N?, private: false, default: d}]
  force_handlers: true
  max_fail_percentage: 30
  serial: [1, "50%"]
  strategy: free
  order: sorted
"""
    play = Project(tmp_path, {"site.yml": text}).play()
    assert (play.name, play.hosts, play.keywords.get("remote_user")) == ("P", ["a", "{{ b }}"], "root")
    assert (play.gather_facts, play.gather_subset, play.gather_timeout, play.fact_path) == (False, ["min"], 5, "/f")
    assert play.vars_files == ("a.yml", ["b.yml", "c.yml"])
    (prompt,) = play.vars_prompt
    assert (prompt.name, prompt.prompt, prompt.private, prompt.default) == ("n", "N?", False, "d")
    assert (play.force_handlers, play.max_fail_percentage, play.serial) == (True, 30, (1, "50%"))
    assert (play.strategy, play.order, play.directory) == ("free", "sorted", tmp_path)


def test_static_names_know_vars_files_too(tmp_path: Path) -> None:
    files = {
        "site.yml": "- hosts: all\n  vars_files: [v.yml, '{{ nope }}.yml']\n  tasks: [{import_tasks: '{{ f }}'}]\n",
        "v.yml": "f: t.yml\n",
        "t.yml": "- {name: found, ping: }\n",
    }
    assert names_of(Project(tmp_path, files).play().blocks) == ["found"]


# What is wrong -> (message, line, column, hint, exit status).
PARSER, ERROR = ExitStatus.PARSER_ERROR, ExitStatus.ERROR

# What is said of an unknown keyword of a task besides.
IGNORED = '\nThis error can be suppressed as a warning using the "invalid_task_attribute_failed" configuration'


@pytest.mark.parametrize(
    ("tasks", "message", "place", "hint"),
    [
        ("- ping:\n  with_foo: [1]", f"'with_foo' is not a valid attribute for a Task{IGNORED}", (4, 7), ""),
        ("- ping:\n  listen: x", f"'listen' is not a valid attribute for a Task{IGNORED}", (4, 7), ""),
        ("- block: []\n  foo: 1", "'foo' is not a valid attribute for a Block", (4, 7), ""),
        ("- block: []\n  wehn: 1", "'wehn' is not a valid attribute for a Block", (4, 7), "Did you mean 'when'?"),
        ("- include_tasks: x\n  become: true", "'become' is not a valid attribute for a TaskInclude", (4, 7), ""),
        ("- include_role: {name: x}\n  until: x", "'until' is not a valid attribute for a IncludeRole", (4, 7), ""),
        ("- ping:\n  loop_control: {foo: 1}", "'foo' is not a valid attribute for a LoopControl", (4, 22), ""),
        ("- name: [a]\n  ping:",
         "The field 'name' is supposed to be a string type, however the incoming data structure is a <class 'list'>",
         (3, 13), ""),
        ("- ping:\n  become: {a: 1}",
         "The field 'become' is supposed to be a bool type, however the incoming data structure is a <class 'dict'>",
         (4, 15), ""),
        ("- ping:\n  vars: [1]", "Vars in a Task must be specified as a dictionary.", (4, 13), ""),
        ("- ping:\n  loop_control: x",
         "the `loop_control` value must be specified as a dictionary and cannot be a variable itself"
         " (though it can contain variables)", (4, 21), ""),
        ("- block: []\n  rescue: x",
         "A malformed block was encountered while loading rescue: it should be a list but was a <class 'str'>",
         (4, 15), ""),
        ("- rescue: [{ping: }]", "'rescue' keyword cannot be used without 'block'", (3, 7), ""),
        ("- x", "A malformed block was encountered while loading tasks: a task should be a dict"
         " but was a <class 'str'>", (3, 7), ""),
        ("- include_tasks: {file: x, foo: 1}", "Invalid options for include_tasks: foo", (3, 7), ""),
        ("- include_tasks:", "No file specified for include_tasks", (3, 7), ""),
        ("- import_tasks: {file: x, apply: {tags: a}}", "Invalid options for import_tasks: apply", (3, 7), ""),
        ("- include_role: {nam: x}", "'name' is a required field for include_role.", (3, 7), ""),
        ("- include_role: {name: x, tasks_form: y}", "Invalid options for include_role: tasks_form", (3, 7),
         "Did you mean 'tasks_from'?"),
        ("- include_role: {name: x, tasks_from: [y]}",
         "Expected a string for tasks_from but got <class 'list'> instead", (3, 7), ""),
        ("- import_tasks: x\n  loop: [1]",
         "You cannot use loops on 'import_tasks' statements. You should use 'include_tasks' instead.", (3, 7), ""),
        ("- import_role: {name: x}\n  loop: [1]",
         "You cannot use loops on 'import_role' statements. You should use 'include_role' instead.", (3, 7), ""),
        ("- meta: end_role", "Cannot execute 'end_role' from outside of a role", (3, 7), ""),
        ("- block: []\n  module_defaults: {group/aws: {}}",
         "Error loading module_defaults: could not resolve the module_defaults group ansible.builtin.aws", (4, 25),
         "ansible-core, which has it, is not on this machine."),
    ],
)  # fmt: skip
def test_a_task_that_is_wrong_is_told_at_its_place(
    tmp_path: Path, tasks: str, message: str, place: tuple[int, int], hint: str
) -> None:
    project = Project(tmp_path, {"site.yml": "- hosts: all\n  tasks:\n" + indented(tasks, 4)})
    with pytest.raises(ParseError) as caught:
        project.load()
    error = caught.value
    assert error.message == message
    assert error.origin is not None
    assert (error.origin.line, error.origin.column) == place
    assert error.hint == hint
    assert error.exit_status == PARSER


@pytest.mark.parametrize(
    ("text", "message", "status"),
    [
        ("", "Empty playbook, nothing to do", PARSER),
        ("[]", "A playbook must contain at least one play", PARSER),
        ("hosts: all", "A playbook must be a list of plays, got a <class 'dict'> instead", PARSER),
        ("- foo", "playbook entries must be either valid plays or 'import_playbook' statements", PARSER),
        ("- tasks: []", "The field 'hosts' is required but was not set.", PARSER),
        ("- hosts:", "Hosts list cannot be empty. Please check your playbook", PARSER),
        ("- hosts: [1]", "Hosts list contains an invalid host value: '1'", PARSER),
        ("- hosts: {a: 1}", "Hosts list must be a sequence or string. Please check your playbook.", PARSER),
        ("- hosts: all\n  foo: 1", "'foo' is not a valid attribute for a Play", PARSER),
        ("- hosts: all\n  when: x", "'when' is not a valid attribute for a Play", PARSER),
        ("- hosts: all\n  user: a\n  remote_user: b", "both 'user' and 'remote_user' are set for this play.", PARSER),
        ("- hosts: all\n  tasks: x", "A malformed block was encountered while loading tasks", PARSER),
        ("- hosts: all\n  vars: {a-b: 1}", "Invalid variable name 'a-b'.", ERROR),
        ("- hosts: all\n  vars: {1: 1}", "Invalid variable name '1' of type 'int'.", ERROR),
        ("- hosts: all\n  tags: {a: 1}", "tags must be specified as a list", ERROR),
        ("- hosts: all\n  vars_prompt: [{nam: x}]", "Invalid vars_prompt data structure, missing 'name' key", PARSER),
        ("- hosts: all\n  vars_prompt: [{name: x, foo: 1}]",
         "Invalid vars_prompt data structure, found unsupported key 'foo'", PARSER),
        ("- hosts: all\n  roles: [nope]", "the role 'nope' was not found in ", ERROR),
        ("- hosts: all\n  roles: [{foo: bar}]", "role definitions must contain a role name", ERROR),
        ("- hosts: all\n  roles: x", "A malformed role declaration was encountered", PARSER),
        ("- hosts: all\n  roles: ['a,v1']", "Invalid old style role requirement: a,v1", ERROR),
        ("- import_playbook: nope.yml", "Unable to retrieve file contents.\nCould not find or access", ERROR),
        ("- import_playbook: '{{ x }}.yml'", "Error processing keyword 'import_playbook'", PARSER),
        ("- import_playbook: site.yml", "playbooks import each other", PARSER),
        ("- import_playbook: x\n  hosts: y", "'hosts' is not a valid attribute for a PlaybookInclude", PARSER),
        ("- hosts: all\n  tasks: [{import_tasks: nope.yml}]", "Unable to retrieve file contents.", ERROR),
        ("- hosts: all\n  tasks: [{import_tasks: '{{ x }}'}]",
         "Error when evaluating variable in import path '{{ x }}': 'x' is undefined", PARSER),
        ("- hosts: all\n  tasks: [{import_tasks: loop.yml}]", "imports are nested more than", PARSER),
        ("- hosts: all\n  tasks: [{import_tasks: map.yml}]", "included task files must contain a list of tasks",
         PARSER),
        ("- hosts: all\n  tasks: [{ping: , register: a-b}]",
         "Invalid 'register' specified", PARSER),
        ("- hosts: all\n  tasks: [{ping: , loop: [1], with_items: [1]}]", "duplicate loop in task: items", ERROR),
        ("- hosts: all\n  tasks: [{ping: , with_items: }]", "you must specify a value when using with_items", ERROR),
        ("- hosts: all\n  handlers: [{name: h, include_role: {name: x}}]",
         "Using 'include_role' as a handler is not supported.", PARSER),
        ("- hosts: all\n  handlers: [{meta: flush_handlers}]", "flush_handlers cannot be used as a handler", PARSER),
        ("- hosts: all\n  handlers: [{name: h, ping: , listen: [1]}]",
         "Keyword 'listen' items must be of type 'str', not 'int'.", PARSER),
        ("- hosts: all\n  handlers: [{block: [{block: []}]}]", "Using a block as a handler is not supported.", PARSER),
    ],
)  # fmt: skip
def test_a_playbook_that_is_wrong_ends_with_ansibles_status(
    tmp_path: Path, text: str, message: str, status: ExitStatus
) -> None:
    files = {"site.yml": text, "loop.yml": "- import_tasks: loop.yml\n", "map.yml": "a: b\n"}
    with pytest.raises(SourceError) as caught:
        Project(tmp_path, files).load()
    assert caught.value.message.startswith(message)
    assert caught.value.exit_status == status


def test_an_undefined_tag_is_an_error(tmp_path: Path) -> None:
    text = "- hosts: all\n  tasks: [{ping: , tags: '{{ nope }}'}]\n"
    with pytest.raises(TemplateError, match="nope"):
        Project(tmp_path, {"site.yml": text}).load()
