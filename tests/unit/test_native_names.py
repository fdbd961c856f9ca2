"""test_native_names: which names mean a native module, as ansible-core would resolve them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybible.agent.modules import registry
from pybible.server.engine.bridge.finder import Finder
from pybible.server.engine.bridge.places import Places
from pybible.server.engine.model.keywords import NO_KEYWORDS
from pybible.server.engine.model.text import SourceDict
from pybible.server.engine.parsing import known
from pybible.server.engine.parsing.actions import Statement, read_statement
from pybible.server.engine.parsing.scope import PlayScope, Scope, ScopedFinder
from pybible.wire.errors import Origin, ParseError
from tests.support.ansible_tree import write_files

MINE = "plugins/modules/{}.py"


def statement(name: str, project: Path, *, collections: list[str] | None = None) -> Statement:
    keywords = NO_KEYWORDS.child(values={"collections": collections} if collections else {})
    scope = Scope(play=PlayScope(directory=project, variables={}), keywords=keywords)
    finder = ScopedFinder(Finder(Places()), scope)
    return read_statement(SourceDict({name: {}}, Origin("site.yml", 1, 1)), finder)


@pytest.mark.parametrize(
    ("written", "action"),
    [
        ("apk", "community.general.apk"),
        ("community.general.apk", "community.general.apk"),
        ("ansible.builtin.apk", "community.general.apk"),
        ("ansible.legacy.apk", "community.general.apk"),
        ("sysctl", "ansible.posix.sysctl"),
        ("yum", "dnf"),
        ("ansible.builtin.yum", "dnf"),
        ("copy", "copy"),
        ("ansible.builtin.copy", "copy"),
    ],
)
def test_a_name_means_the_module_that_ansible_core_takes_it_for(written: str, action: str, tmp_path: Path) -> None:
    found = statement(written, tmp_path)
    assert (found.action, found.bridged) == (action, None)


def test_a_module_that_is_younger_than_collections_has_no_short_name(tmp_path: Path) -> None:
    assert statement("ansible.posix.firewalld_info", tmp_path).bridged is None
    with pytest.raises(ParseError, match="couldn't resolve module/action 'firewalld_info'"):
        statement("firewalld_info", tmp_path)


@pytest.mark.parametrize(
    ("written", "own"),
    [("apk", True), ("ansible.legacy.apk", True), ("community.general.apk", False), ("ansible.builtin.apk", False)],
)
def test_a_module_of_a_library_takes_a_short_name_and_no_full_one(written: str, own: bool, tmp_path: Path) -> None:
    write_files(tmp_path, {"library/apk.py": ""})
    bridged = statement(written, tmp_path).bridged
    assert (bridged is not None and bridged.name == "ansible.legacy.apk") is own


def test_a_collection_that_a_play_names_comes_before_a_native_module(tmp_path: Path) -> None:
    write_files(tmp_path / "collections/ansible_collections/my/own", {MINE.format("apk"): "", MINE.format("file"): ""})
    for name in ("apk", "file"):
        bridged = statement(name, tmp_path, collections=["my.own"]).bridged
        assert bridged is not None
        assert bridged.name == f"my.own.{name}"
        assert statement(name, tmp_path).bridged is None


def test_of_the_collections_that_are_native_the_native_module_is_meant(tmp_path: Path) -> None:
    files = {MINE.format("apk"): ""}
    for collection in ("my/own", "community/general"):
        write_files(tmp_path / "collections/ansible_collections" / collection, files)
    assert statement("apk", tmp_path, collections=["community.general", "my.own"]).bridged is None
    assert statement("apk", tmp_path, collections=["ansible.legacy", "my.own"]).bridged is None
    assert statement("community.general.apk", tmp_path, collections=["my.own"]).bridged is None


def test_agents_have_what_the_engine_sends_to_them() -> None:
    assert frozenset(registry.NAMES) == known.MODULES
