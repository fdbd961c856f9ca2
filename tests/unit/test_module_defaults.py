"""test_module_defaults: which actions the keyword's entries are for, and entries that are for none."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybible.server.engine.bridge.finder import Finder
from pybible.server.engine.bridge.places import Places
from pybible.server.engine.parsing.module_defaults import ModuleDefaults
from pybible.server.engine.parsing.yaml_source import load_yaml
from pybible.wire.errors import ParseError

RUNTIME = """
plugin_routing:
  modules:
    moved: {redirect: my.own.here}
action_groups:
  mine:
    - moved
    - ansible.builtin.copy
    - metadata: {extend_group: [circle, no.such.group]}
  circle:
    - here
    - metadata: {extend_group: mine}
"""


@pytest.fixture
def defaults(tmp_path: Path) -> ModuleDefaults:
    """The reader for a playbook in the folder of the test, with a collection beside it and no ansible-core."""
    collection = tmp_path / "collections" / "ansible_collections" / "my" / "own"
    (collection / "meta").mkdir(parents=True)
    (collection / "meta" / "runtime.yml").write_text(RUNTIME)
    (collection / "plugins" / "modules").mkdir(parents=True)
    (collection / "plugins" / "modules" / "here.py").touch()
    return ModuleDefaults(Finder(Places(ansible=str(tmp_path / "nowhere"))))


def read(defaults: ModuleDefaults, text: str, folder: Path) -> object:
    mapping = load_yaml(f"module_defaults: {text}\n", "site.yml")
    assert isinstance(mapping, dict)
    return defaults.read(mapping, folder)


def test_actions_are_known_by_any_of_their_names(tmp_path: Path, defaults: ModuleDefaults) -> None:
    levels = read(defaults, "[{ansible.legacy.copy: {a: 1}, my.own.moved: {}}, {ansible.builtin.ping: x}]", tmp_path)
    assert levels == [{"copy": {"a": 1}, "my.own.here": {}}, {"ping": "x"}]


@pytest.mark.parametrize(
    ("action", "groups"),
    [("copy", ["mine", "circle"]), ("my.own.here", ["mine", "circle"]), ("ping", [])],
)
def test_groups_may_extend_each_other(tmp_path: Path, defaults: ModuleDefaults, action: str, groups: list[str]) -> None:
    levels = read(defaults, "{group/my.own.mine: {}, group/my.own.circle: {}}", tmp_path)
    found = defaults.groups_of(action, [levels], tmp_path)
    assert found == tuple(f"group/my.own.{name}" for name in groups)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{group/my.own.x: {}}", "could not resolve the module_defaults group my.own.x"),
        ("{group/no.such.x: {}}", "could not resolve the module_defaults group no.such.x"),
        ("{group/aws: {}}", "could not resolve the module_defaults group ansible.builtin.aws"),
        ("{nothing: {}}", "Could not resolve action ansible.legacy.nothing in module_defaults"),
        ("{my.own.nothing: {}}", "Could not resolve action my.own.nothing in module_defaults"),
        ("ping", "is supposed to be a dictionary or list of dictionaries"),
        ("[ping]", "is supposed to be a dictionary or list of dictionaries"),
    ],
)
def test_what_is_for_no_action_is_an_error(tmp_path: Path, defaults: ModuleDefaults, text: str, message: str) -> None:
    with pytest.raises(ParseError, match=message) as caught:
        read(defaults, text, tmp_path)
    assert caught.value.origin is not None
    assert caught.value.origin.line == 1
