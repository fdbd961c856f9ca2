"""loader: roles with all their files, and the includes that are read while a play runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from pybible.server.engine.model.keywords import VarsLayer
from pybible.server.engine.model.play import Play, Task
from pybible.server.engine.parsing.loader import IncludeError
from pybible.wire.errors import ParseError, SourceError
from tests.support.playbooks import Project, names_of, tasks_of

TASK = "- {name: of %s, ping: }\n"


def play_with(folder: Path, roles: str, files: Mapping[str, str], **more: str) -> Play:
    return Project(folder, {"site.yml": f"- hosts: all\n  roles: {roles}\n", **files, **more}).play()


def test_a_role_brings_its_variables_tasks_and_path(tmp_path: Path) -> None:
    files = {
        "roles/r/tasks/main.yaml": TASK % "r",
        "roles/r/defaults/main.yml": "d: 1\ne: 1\n",
        "roles/r/vars/main/a.yml": "v: 1\nw: 1\n",
        "roles/r/vars/main/b.yml": "w: 2\n",
        "roles/r/vars/main/c.txt": "ignored",
    }
    play = play_with(tmp_path, "[{role: r, p: 1, vars: {x: 2}, tags: t, when: c, become: true}]", files)
    (role,) = play.roles
    assert (role.name, role.path) == ("r", tmp_path / "roles" / "r")
    assert (role.defaults, role.vars) == ({"d": 1, "e": 1}, {"v": 1, "w": 2})
    assert (role.params, role.entry_vars, role.public) == ({"p": 1}, {"x": 2}, True)
    (task,) = tasks_of(play.blocks)
    assert task.role is role
    assert (task.keywords.tags, task.keywords.when) == (("t",), ("c",))
    assert task.keywords.get("become") is True
    assert task.search_path == (role.path, role.path / "tasks", tmp_path)


def test_dependencies_come_first_and_inherit(tmp_path: Path) -> None:
    files = {
        "roles/a/meta/main.yml": "dependencies: [{role: b, tags: bt, q: 1}, c]\ngalaxy_info: {author: me}\n",
        "roles/b/meta/main.yml": "dependencies: [c]\n",
    }
    for name in "abc":
        files[f"roles/{name}/tasks/main.yml"] = TASK % name
        files[f"roles/{name}/handlers/main.yml"] = TASK % f"{name} too"
    play = play_with(tmp_path, "[{role: a, when: aw}]", files)
    assert names_of(play.blocks) == ["of c", "of b", "of c", "of a"]
    assert names_of(play.handlers) == ["of c too", "of b too", "of c too", "of a too"]
    (a,) = play.roles
    b, c = a.dependencies
    assert b.parents == (a,)
    assert b.dependencies[0].parents == (a, b)
    assert b.dependencies[0].key == c.key
    assert b.params == {"q": 1}
    deepest, of_b, _, of_a = tasks_of(play.blocks)
    assert (deepest.keywords.when, deepest.keywords.tags) == (("aw",), ("bt",))
    assert deepest.search_path[:3] == (c.path, b.path, a.path)
    assert of_b.keywords.tags == ("bt",)
    assert of_a.keywords.tags == ()


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("r", "r", True),
        ("r", "{role: r}", True),
        ("{role: r, x: 1}", "{role: r, x: 1}", True),
        ("{role: r, x: 1}", "{role: r, x: 2}", False),
        ("{role: r, tags: a}", "r", False),
        ("{role: r, when: a}", "{role: r, when: b}", False),
        ("{role: r, vars: {x: [1, {y: 2}]}}", "{role: r, vars: {x: [1, {y: 2}]}}", True),
        ("r", "s", False),
    ],
)
def test_two_uses_are_the_same_role_when_nothing_differs(tmp_path: Path, first: str, second: str, same: bool) -> None:
    files = {"roles/r/tasks/main.yml": TASK % "r", "roles/s/tasks/main.yml": TASK % "s"}
    one, two = play_with(tmp_path, f"[{first}, {second}]", files).roles
    assert (one.key == two.key) is same


def test_roles_are_found_beside_the_playbook_on_the_path_and_by_path(tmp_path: Path) -> None:
    files = {
        "roles/a/tasks/main.yml": TASK % "a",
        "elsewhere/b/tasks/main.yml": TASK % "b",
        "elsewhere/b/meta/main.yml": "dependencies: [beside]\n",
        "elsewhere/beside/tasks/main.yml": TASK % "beside",
        "c/tasks/main.yml": TASK % "c",
        "far/d/tasks/main.yml": TASK % "d",
    }
    play = play_with(tmp_path, f"[a, b, c, {tmp_path}/far/d]", files)
    assert names_of(play.blocks) == ["of a", "of beside", "of b", "of c", "of d"]
    assert play.roles[3].path == tmp_path / "far" / "d"


def test_an_argument_specification_puts_its_check_first(tmp_path: Path) -> None:
    spec = "argument_specs:\n  main: {short_description: What it is, options: {x: {type: int}}}\n"
    files = {
        "roles/r/meta/argument_specs.yml": spec,
        "roles/r/meta/main.yml": "allow_duplicates: yes\nargument_specs: {main: {options: {y: {}}}}\n",
        "roles/r/tasks/main.yml": TASK % "r",
    }
    play = play_with(tmp_path, "[{role: r, x: 5}]", files)
    check, _ = tasks_of(play.blocks)
    assert check.name == "Validating arguments against arg spec 'main' - What it is"
    assert (check.action, check.keywords.tags) == ("validate_argument_spec", ("always",))
    assert check.args["argument_spec"] == {"x": {"type": "int"}}
    assert check.args["provided_arguments"] == {"x": 5}
    assert play.roles[0].metadata.allow_duplicates is True


def test_import_role_takes_other_files_and_is_known_to_the_play(tmp_path: Path) -> None:
    files = {
        "site.yml": """
- hosts: all
  tasks:
    - import_role: {name: "{{ n }}", tasks_from: other, vars_from: v.yml, defaults_from: d, handlers_from: h}
      vars: {n: r}
      tags: t
""",
        "roles/r/tasks/main.yml": TASK % "main",
        "roles/r/tasks/other.yml": TASK % "other",
        "roles/r/vars/v.yml": "v: 1\n",
        "roles/r/defaults/d.yml": "d: 1\n",
        "roles/r/handlers/h.yml": TASK % "handler",
    }
    play = Project(tmp_path, files).play()
    (task,) = tasks_of(play.blocks)
    assert (task.name, task.keywords.tags) == ("of other", ("t",))
    (role,) = play.roles
    assert (role.vars, role.defaults, role.entry_vars) == ({"v": 1}, {"d": 1}, {"n": "r"})
    assert (role.public, role.metadata.allow_duplicates) == (True, True)
    assert names_of(play.handlers) == ["of handler"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"meta/main.yml": "dependencies: [r]\n"}, "A recursion loop was detected with the roles specified."),
        ({"tasks/main.yml": "a: b\n"}, "The tasks/main.yml file for role 'r' must contain a list of tasks."),
        ({"handlers/main.yml": "a: b\n"}, "The handlers/main.yml file for role 'r' must contain a list of tasks."),
        ({"vars/main.yml": "[a]\n"}, "The vars/main.yml file for role 'r' must contain a dictionary of variables"),
        ({"meta/main.yml": "[a]\n"}, "the 'meta/main.yml' for role r is not a dictionary"),
        ({"meta/main.yml": "foo: 1\n"}, "'foo' is not a valid attribute for a RoleMetadata"),
        ({"meta/main.yml": "dependencies: x\n"}, "Expected role dependencies to be a list."),
        ({"meta/main.yml": "dependencies: [3]\n"}, "Invalid role definition."),
        ({"meta/main.yml": "allow_duplicates: perhaps\n"}, "the value 'perhaps' of 'allow_duplicates'"),
        ({"tasks/main.yml": "- import_tasks: main.yml\n"}, "imports are nested more than"),
        ({"tasks/main.yml": "- import_role: {name: r}\n"}, "imports are nested more than"),
        ({"tasks/main.yml": "- import_role: {name: r, tasks_from: nope}\n"},
         "Could not find specified file in role: tasks/nope"),
        ({"tasks/main.yml": "- import_role: {name: r, tasks_from: ../../../site.yml}\n"},
         "Failed loading"),
    ],
)  # fmt: skip
def test_a_role_that_is_wrong_is_told(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(SourceError) as caught:
        play_with(tmp_path, "[r]", {f"roles/r/{name}": text for name, text in files.items()})
    assert caught.value.message.startswith(message)


def test_a_role_must_be_a_name_or_a_mapping(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"^Invalid role definition\.") as caught:
        play_with(tmp_path, "[3]", {})
    assert caught.value.origin is not None


# -- includes -----------------------------------------------------------------------------------------------------


def first_task(play: Play, action: str) -> Task:
    return next(task for task in tasks_of(play.blocks) if task.action == action)


INCLUDES = {
    "site.yml": """
- hosts: all
  tags: pt
  vars: {tagged: yes_it_is}
  tasks:
    - block:
        - include_tasks: {file: part.yml, apply: {tags: at, become: true, when: aw}}
          vars: {v: 1}
          tags: own
          when: own
          loop: [1]
      when: bw
      tags: bt
""",
    "part.yml": "- {name: one, ping: , tags: '{{ tagged }}'}\n- block: [{name: two, ping: }]\n",
}


def test_an_include_hands_on_what_surrounds_it_its_vars_and_apply_only(tmp_path: Path) -> None:
    project = Project(tmp_path, INCLUDES)
    play = project.play()
    include = first_task(play, "include_tasks")
    assert include.keywords.tags == ("pt", "bt", "own")
    included = project.loader.include_tasks("part.yml", include=include, play=play)
    assert included.path == tmp_path / "part.yml"
    one, two = tasks_of(included.blocks)
    assert one.keywords.when == two.keywords.when == ("bw", "aw")
    assert one.keywords.tags == ("pt", "bt", "at", "yes_it_is")
    assert two.keywords.tags == ("pt", "bt", "at")
    assert one.keywords.get("become") is True
    assert [(layer.level, layer.values) for layer in one.keywords.vars] == [("include", {"v": 1})]


def test_a_loops_item_reaches_what_is_included(tmp_path: Path) -> None:
    project = Project(tmp_path, INCLUDES)
    play = project.play()
    include = first_task(play, "include_tasks")
    item = VarsLayer(level="include", values={"item": 7})
    with_item = dataclasses.replace(include, keywords=include.keywords.child(vars=item))
    included = project.loader.include_tasks("part.yml", include=with_item, play=play)
    (layer,) = next(tasks_of(included.blocks)).keywords.vars
    assert (layer.level, layer.values) == ("include", {"v": 1, "item": 7})


def test_an_include_in_a_role_looks_in_the_role_first_an_import_beside_its_file(tmp_path: Path) -> None:
    files = {
        "roles/r/tasks/main.yml": "- import_tasks: sub/i.yml\n",
        "roles/r/tasks/sub/i.yml": "- import_tasks: b.yml\n- include_tasks: b.yml\n",
        "roles/r/tasks/b.yml": TASK % "tasks",
        "roles/r/tasks/sub/b.yml": TASK % "sub",
        "roles/r/tasks/sub/only.yml": TASK % "only",
    }
    project = Project(tmp_path, {"site.yml": "- hosts: all\n  roles: [r]\n", **files})
    play = project.play()
    assert names_of(play.blocks) == ["of sub", "include_tasks"]
    include = first_task(play, "include_tasks")
    assert names_of(project.loader.include_tasks("b.yml", include=include, play=play).blocks) == ["of tasks"]
    assert names_of(project.loader.include_tasks("only.yml", include=include, play=play).blocks) == ["of only"]


def test_a_missing_included_file_is_the_tasks_failure(tmp_path: Path) -> None:
    project = Project(tmp_path, INCLUDES)
    play = project.play()
    with pytest.raises(IncludeError) as caught:
        project.loader.include_tasks("nope.yml", include=first_task(play, "include_tasks"), play=play)
    path = tmp_path / "nope.yml"
    assert caught.value.message == (
        f"Could not find or access '{path}' on the Ansible Controller: Unable to retrieve file contents.\n"
        f"Could not find or access '{path}' on the Ansible Controller.\n"
        "If you are using a module and expect the file to exist on the remote, see the remote_src option:"
        f" [Errno 2] No such file or directory: '{path}'"
    )


def test_a_wrong_included_file_ends_the_run(tmp_path: Path) -> None:
    project = Project(tmp_path, {**INCLUDES, "part.yml": "- comand: ls\n"})
    play = project.play()
    with pytest.raises(ParseError):
        project.loader.include_tasks("part.yml", include=first_task(play, "include_tasks"), play=play)


def test_an_include_of_handlers_brings_handlers(tmp_path: Path) -> None:
    files = {
        "site.yml": "- hosts: all\n  handlers: [{name: h, include_tasks: more.yml, listen: t}]\n",
        "more.yml": "- {name: one, ping: , listen: u}\n",
    }
    project = Project(tmp_path, files)
    play = project.play()
    (handler,) = tasks_of(play.handlers)
    included = project.loader.include_tasks("more.yml", include=handler, play=play)
    (one,) = tasks_of(included.blocks)
    assert (one.name, one.is_handler, one.listen) == ("one", True, ("u",))


ROLE_INCLUDE = {
    "site.yml": """
- hosts: all
  roles: [outer]
""",
    "roles/outer/tasks/main.yml": "- include_role: {name: x, apply: {tags: at}}\n  vars: {v: 1}\n  when: w\n",
    "roles/inner/tasks/main.yml": "- {name: main, ping: }\n- import_role: {name: third}\n",
    "roles/inner/tasks/other.yml": "- {name: other, ping: }\n",
    "roles/inner/handlers/main.yml": "- {name: h, ping: }\n",
    "roles/inner/defaults/main.yml": "d: 1\n",
    "roles/third/tasks/main.yml": "- {name: third, ping: }\n",
    "roles/third/handlers/main.yml": "- {name: h3, ping: }\n",
}


def test_include_role_brings_the_role_its_blocks_and_handlers(tmp_path: Path) -> None:
    project = Project(tmp_path, ROLE_INCLUDE)
    play = project.play()
    include = first_task(play, "include_role")
    included = project.loader.include_role({"name": "inner"}, include=include, play=play)
    role = included.role
    assert role is not None
    assert (role.name, role.public, role.defaults, role.entry_vars) == ("inner", False, {"d": 1}, {"v": 1})
    assert role.parents == (play.roles[0],)
    assert names_of(included.blocks) == ["main", "third"]
    assert names_of(included.handlers) == ["h", "h3"]
    assert [role.name for role in included.roles] == ["inner", "third"]
    main, third = tasks_of(included.blocks)
    assert (main.keywords.tags, main.keywords.when) == (("at",), ())
    assert [layer.values for layer in third.keywords.vars] == [{"v": 1}]
    assert names_of(included.blocks, implicit=True)[-1] == "meta role_complete"
    assert play.handlers == ()


@pytest.mark.parametrize(("public", "expected"), [(True, True), ("yes", True), (False, False), (None, False)])
def test_include_role_is_public_when_it_says_so(tmp_path: Path, public: object, expected: bool) -> None:
    project = Project(tmp_path, ROLE_INCLUDE)
    play = project.play()
    args = {"name": "inner", "tasks_from": "other", "public": public, "allow_duplicates": False}
    included = project.loader.include_role(args, include=first_task(play, "include_role"), play=play)
    assert included.role is not None
    assert included.role.public is expected
    assert included.role.metadata.allow_duplicates is False
    assert names_of(included.blocks) == ["other"]


def test_a_missing_included_role_is_the_tasks_failure(tmp_path: Path) -> None:
    project = Project(tmp_path, ROLE_INCLUDE)
    play = project.play()
    with pytest.raises(IncludeError, match="the role 'nope' was not found in"):
        project.loader.include_role({"name": "nope"}, include=first_task(play, "include_role"), play=play)
