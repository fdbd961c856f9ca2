"""test_ctl_doc: what pybible-ctl doc says of modules, native and not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pybible.agent.modules import registry
from pybible.server.cli.doc import command
from pybible.server.cli.module_docs import native_modules
from pybible.wire.errors import ParseError, UsageError


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


def _doc(*arguments: str) -> str:
    done = CliRunner().invoke(command, arguments, standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.output


def test_every_native_module_is_listed_with_its_purpose() -> None:
    listed = json.loads(_doc("--list", "--json"))
    assert tuple(listed) == registry.NAMES
    assert all(listed.values())
    assert {line.partition(" ")[0] for line in _doc("--list").splitlines()} >= set(listed)


def test_every_argument_of_a_native_module_says_what_it_is_for() -> None:
    silent = [
        f"{name}: {item['name']}"
        for name, module in native_modules().items()
        for item in module["arguments"]
        if not item["doc"] and not item["choices"]
    ]
    assert silent == []


def test_a_native_module_is_shown_with_its_arguments_and_their_rules() -> None:
    shown = _doc("ansible.builtin.lineinfile")
    assert shown.startswith("lineinfile\n  Makes sure that one line is, or is not, in a text file.\n")
    assert "  path (path, required)\n      the file\n      Also called dest, destfile, name\n" in shown
    assert "      whether the line is to be there\n      One of: absent, present\n" in shown
    assert "\nOF THE FILE\n  mode (any)\n" in shown
    assert "  At most one of insertbefore, insertafter.\n" in shown


def test_what_the_engine_takes_of_a_module_is_among_its_arguments() -> None:
    arguments = {item["name"]: item for item in json.loads(_doc("--json", "fetch"))["fetch"]["arguments"]}
    assert arguments["dest"]["required"]
    assert arguments["flat"]["default"] is False


def test_a_module_of_a_library_is_said_to_be_sent_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "library" / "mine.py"
    path.parent.mkdir()
    path.write_text("#!/usr/bin/python\n")
    assert _doc("mine") == f"ansible.legacy.mine\n  is not native: it is sent to hosts as it is, from\n  {path}\n"
    assert json.loads(_doc("--json", "mine"))["mine"] == {
        "name": "ansible.legacy.mine",
        "native": False,
        "path": str(path),
    }


def test_a_module_of_a_library_stands_before_a_native_one(tmp_path: Path) -> None:
    path = tmp_path / "own" / "ping.py"
    path.parent.mkdir()
    path.write_text("#!/usr/bin/python\n")
    assert f"from\n  {path}\n" in _doc("-M", str(path.parent), "ping")
    assert _doc("-M", str(path.parent), "ansible.builtin.ping").startswith("ping\n  Answers")


def test_what_the_engine_does_itself_is_no_module() -> None:
    assert _doc("debug") == "debug\n  is not a module: the engine does it itself, on the control node.\n"


def test_a_name_of_no_module_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(ParseError, match="Did you mean 'lineinfile'"):
        _doc("lineinfle")


@pytest.mark.parametrize("arguments", [(), ("--list", "ping")], ids=["nothing", "a list and a name"])
def test_either_names_or_a_list_are_asked_for(arguments: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        _doc(*arguments)
