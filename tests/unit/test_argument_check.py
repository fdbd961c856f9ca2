"""test_argument_check: a task that is sure to fail for its argument is refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybible.server.engine.bridge.finder import Finder
from pybible.server.engine.bridge.places import Places
from pybible.server.engine.parsing.loader import Loader
from pybible.server.engine.plan.arguments import check_arguments
from pybible.wire.errors import ExitStatus, ParseError
from tests.support.playbooks import Project, render, write

HEAD = "- hosts: all\n  tasks:\n"


def check(folder: Path, tasks: str) -> None:
    check_arguments([Project(folder, {"site.yml": HEAD + tasks}).load()])


@pytest.mark.parametrize(
    ("tasks", "said", "place", "hint"),
    [
        (
            "    - file: {path: /x, stat: touch}\n",
            "'stat' is not an argument of the module 'file'.",
            "3:24",
            "Did you mean 'state'?",
        ),
        (
            "    - ansible.builtin.copy: src=a dst=/b\n",
            "'dst' is not an argument of the module 'ansible.builtin.copy'.",
            "3:29",
            "Did you mean 'dest'?",
        ),
        (
            "    - block:\n        - ping:\n      always:\n        - ping: {nonsense: 1}\n",
            "'nonsense' is not an argument of the module 'ping'.",
            "6:18",
            "Arguments are data.",
        ),
    ],
)
def test_it_is_told_with_its_place_and_the_nearest_word(
    tmp_path: Path, tasks: str, said: str, place: str, hint: str
) -> None:
    with pytest.raises(ParseError) as raised:
        check(tmp_path, tasks)
    assert raised.value.message == said
    assert str(raised.value.origin) == f"{tmp_path}/site.yml:{place}"
    assert raised.value.hint.startswith(hint)
    assert raised.value.exit_status is ExitStatus.PARSER_ERROR


@pytest.mark.parametrize(
    "tasks",
    [
        "    - file: {path: /x, state: touch}\n",
        "    - command: echo creates=/x chdir=/\n",
        "    - template: {src: a, dest: b, trim_blocks: true, mode: '0600'}\n",
        "    - package: {name: x, update_cache: true}\n",
        "    - ping: {nonsense: 1}\n      when: some\n",
        "    - ping: {nonsense: 1}\n      ignore_errors: true\n",
        "    - ping: {nonsense: 1}\n      loop: [1]\n",
        "    - ping: {nonsense: 1}\n      tags: never\n",
        "    - ping: {nonsense: 1}\n      failed_when: false\n",
        "    - block:\n        - ping: {nonsense: 1}\n      rescue:\n        - ping: {nonsense: 1}\n",
        "    - block:\n        - ping: {nonsense: 1}\n      when: some\n",
        "    - ping:\n      args: '{{ given }}'\n",
        "  handlers:\n    - ping: {nonsense: 1}\n      name: later\n",
    ],
)
def test_what_may_come_to_no_harm_is_left_to_the_run(tmp_path: Path, tasks: str) -> None:
    check(tmp_path, tasks)


def test_a_module_of_ones_own_has_arguments_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, {"site.yml": HEAD + "    - ping: {nonsense: 1}\n", "library/ping.py": "#!/usr/bin/python\n"})
    loader = Loader(static_render=render, finder=Finder(Places()))
    check_arguments([loader.load_playbook(tmp_path / "site.yml")])
