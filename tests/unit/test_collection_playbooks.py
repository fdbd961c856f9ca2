"""finder: playbooks of collections, by name and by path, and what short names mean in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybible.server.engine.bridge.finder import Finder
from pybible.server.engine.bridge.places import Places
from pybible.server.engine.model.play import Playbook
from pybible.server.engine.parsing.loader import IncludeError, Loader
from pybible.wire.errors import ParseError
from tests.support.playbooks import names_of, render, write

COLLECTION = "collections/ansible_collections/acme/tools"
FILES = {
    f"{COLLECTION}/playbooks/deploy.yml": (
        "- hosts: all\n  roles: [r, acme.tools.inner.deep]\n  tasks: [{hello: }, {acme.tools.hello: }]\n"
    ),
    f"{COLLECTION}/roles/r/tasks/main.yml": "- {hello: }\n- {import_role: {name: other}}\n",
    f"{COLLECTION}/roles/other/tasks/main.yml": "- {name: of other, hello: }\n",
    f"{COLLECTION}/roles/inner/deep/tasks/main.yml": "- {name: of deep, hello: }\n",
    f"{COLLECTION}/plugins/modules/hello.py": "",
    "by_name.yml": "- import_playbook: acme.tools.deploy\n",
}


def load(path: Path, *, collections: Path | None = None) -> Playbook:
    places = Places(collections=() if collections is None else (collections,), beside_core=False)
    return Loader(static_render=render, finder=Finder(places)).load_playbook(path)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path, FILES)
    return tmp_path


def test_one_that_is_imported_by_name_knows_its_collection_without_full_names(project: Path) -> None:
    (play,) = load(project / "by_name.yml").plays
    shown = ["hello", "of other", "of deep", "hello", "acme.tools.hello"]
    assert [name for name in names_of(play.blocks) if name != "meta flush_handlers"] == shown
    assert [role.name for role in play.roles] == ["acme.tools.r", "acme.tools.deep", "acme.tools.other"]


def test_one_that_is_given_by_its_path_knows_it_where_collections_are_looked_for(project: Path) -> None:
    path = project / COLLECTION / "playbooks/deploy.yml"
    (play,) = load(path, collections=project / "collections").plays
    assert play.roles[0].name == "acme.tools.r"
    with pytest.raises(IncludeError, match="the role 'r' was not found"):
        load(path)


def test_one_is_found_by_its_full_name(project: Path) -> None:
    finder = Finder(Places(collections=(project / "collections",)))
    assert finder.find_playbook("acme.tools.deploy") == project / COLLECTION / "playbooks/deploy.yml"
    assert finder.find_playbook("acme.tools.nothing") is None
    assert finder.find_playbook("acme.deploy") is None
    assert Finder(Places(beside_core=False)).find_playbook("acme.tools.deploy") is None


@pytest.mark.parametrize(
    ("role", "found"),
    [
        ("- hello:\n", False),
        ("- hello:\n  collections: [acme.tools]\n", True),
        ("- collections: [acme.tools]\n  block: [{hello: }]\n", True),
        ("- acme.tools.hello:\n", True),
    ],
)
def test_a_role_has_its_own_list_of_collections(project: Path, role: str, found: bool) -> None:
    text = "- hosts: all\n  collections: [acme.tools]\n  tasks: [{hello: }]\n  roles: [mine]\n"
    write(project, {"site.yml": text, "roles/mine/tasks/main.yml": role})
    if found:
        assert len(load(project / "site.yml").plays) == 1
    else:
        with pytest.raises(ParseError, match="couldn't resolve module/action 'hello'"):
            load(project / "site.yml")


def test_a_role_that_is_nowhere_was_looked_for_in_collections_too(project: Path) -> None:
    write(project, {"site.yml": "- hosts: all\n  collections: [acme.tools]\n  roles: [nowhere]\n"})
    with pytest.raises(IncludeError) as caught:
        load(project / "site.yml")
    places = f"acme.tools:ansible.legacy:{project}/roles:{project}"
    assert caught.value.message == f"the role 'nowhere' was not found in {places}"
