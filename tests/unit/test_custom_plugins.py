"""test_custom_plugins: the operator's own filters, tests and lookups, and those that stand on ansible-core."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest

from pybible.server.engine.bridge.places import Places
from pybible.server.engine.model.text import Trusted
from pybible.server.engine.parsing.keywords import is_loop
from pybible.server.engine.templating.engine import TemplateEngine
from pybible.server.engine.templating.templar import Templar
from pybible.wire.errors import Origin, PybibleError

SHOUT = """
class LookupModule:
    def run(self, terms, variables=None, **options):
        if terms == ["bad"]:
            raise ValueError("it is bad")
        return [term.upper() + options.get("end", "!") + variables["who"] for term in terms]
"""

# A stand-in for ansible-core: as much of it as is asked of it.
CORE = {
    "__init__.py": "",
    "module_utils/basic.py": "",
    "errors.py": "class AnsibleFilterError(Exception): pass\n",
    "template.py": "class Templar:\n    def __init__(self, loader, variables): pass\n",
    "parsing/__init__.py": "",
    "parsing/dataloader.py": "class DataLoader:\n    def set_basedir(self, folder): self.folder = folder\n",
    "plugins/__init__.py": "",
    "plugins/lookup.py": "class LookupBase: pass\n",
    "plugins/loader.py": """
import importlib.util, jinja2, pathlib

class Found:
    def __init__(self, function): self.j2_function = function

@jinja2.pass_environment
def takes_environment(environment, value): return [type(environment).__name__, type(value).__name__]

class Filters:
    known = {"my.own.twice": lambda value: [value, value], "my.own.env": takes_environment}
    def get(self, name): return Found(self.known[name]) if name in self.known else None

class Tests:
    def get(self, name): return Found(lambda value: value == 1) if name == "my.own.one" else None

class Context:
    def __init__(self, resolved): self.resolved = resolved

class Lookups:
    folders = []
    def add_directory(self, folder): self.folders.append(folder)
    def find_plugin_with_context(self, name): return Context(name == "my.own.echo" or self.path(name) is not None)
    def path(self, name):
        return next((p for f in self.folders if (p := pathlib.Path(f, name + ".py")).exists()), None)
    def get(self, name, loader, templar):
        if name == "my.own.echo":
            return Echo(loader)
        spec = importlib.util.spec_from_file_location(name, self.path(name))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.LookupModule()

class Echo:
    def __init__(self, loader): self.loader = loader
    def run(self, terms, variables, **options):
        return [*terms, variables["who"], "nobody" in variables, sorted(options)]

roots = []
def init_plugin_loader(found): roots.extend(found)
filter_loader, test_loader, lookup_loader = Filters(), Tests(), Lookups()
""",
}


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Path]:
    """A folder of packages with the stand-in in it. The process forgets it afterwards."""
    site = tmp_path / "site"
    for name, text in CORE.items():
        path = site / "ansible" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    before = list(sys.path)
    hidden = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "ansible"}
    for name in hidden:
        del sys.modules[name]
    yield site
    sys.path[:] = before
    for name in [name for name in sys.modules if name.partition(".")[0] == "ansible"]:
        del sys.modules[name]
    sys.modules.update(hidden)
    importlib.invalidate_caches()


def templar(folder: Path, core: Path | None = None) -> Templar:
    places = Places(ansible=str(core or folder / "nowhere"))
    engine = TemplateEngine(playbook_directory=folder, places=places)
    engine.add_plugins(folder)
    return Templar(engine, {"who": "me", "evil": "{{ who }}", "items": [1, 2]}, search_path=[folder])


def render(one: Templar, text: str) -> object:
    return one.render(Trusted(text, Origin("site.yml", 1, 1)))


def plugin(folder: Path, kind: str, name: str, text: str) -> None:
    (folder / kind).mkdir(exist_ok=True)
    (folder / kind / f"{name}.py").write_text(text)


def test_a_lookup_of_ones_own(tmp_path: Path) -> None:
    plugin(tmp_path, "lookup_plugins", "shout", SHOUT)
    one = templar(tmp_path)
    assert render(one, "{{ lookup('shout', 'a', 'b', end='?') }}") == "A?me,B?me"
    assert render(one, "{{ query('shout', 'a') }}") == ["A!me"]
    with pytest.raises(PybibleError, match="The lookup plugin 'shout' failed: it is bad"):
        render(one, "{{ lookup('shout', 'bad') }}")
    assert render(one, "{{ lookup('shout', 'bad', errors='ignore') }}") is None


def test_what_a_lookup_of_ones_own_returns_is_no_template(tmp_path: Path) -> None:
    plugin(
        tmp_path,
        "lookup_plugins",
        "raw",
        "class LookupModule:\n    def run(self, terms, variables=None):\n        return ['{{ who }}']\n",
    )
    assert render(templar(tmp_path), "{{ lookup('raw') }}") == "{{ who }}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class Other: pass\n", "it has no class LookupModule"),
        ("1/0\n", "division by zero"),
        ("def broken(:\n", "invalid syntax"),
        ("import no_such_package_here\n", "No module named 'no_such_package_here'"),
    ],
)
def test_a_broken_lookup_is_told_when_it_is_used(tmp_path: Path, text: str, message: str) -> None:
    plugin(tmp_path, "lookup_plugins", "broken", text)
    one = templar(tmp_path)
    assert render(one, "{{ who }}") == "me"
    with pytest.raises(PybibleError, match=message) as caught:
        render(one, "{{ lookup('broken') }}")
    assert "broken.py" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "text", "template"),
    [
        ("lookup_plugins", "from ansible.plugins.lookup import LookupBase\n", "{{ lookup('mine', 1) }}"),
        ("filter_plugins", "from ansible.errors import AnsibleFilterError\n", ""),
        ("test_plugins", "import ansible.errors\n", ""),
    ],
)
def test_a_plugin_that_imports_ansible_names_the_extra(
    tmp_path: Path, kind: str, text: str, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pybible.server.engine.templating.external.find_spec", lambda _name: None)
    plugin(tmp_path, kind, "mine", text)
    with pytest.raises(PybibleError, match="needs ansible-core, which is not here") as caught:
        render(templar(tmp_path), template)
    assert "pybible[server,ansible]" in str(caught.value)


def test_a_filter_that_imports_ansible_works_where_ansible_is(tmp_path: Path, core: Path) -> None:
    text = "from ansible.errors import AnsibleFilterError\nclass FilterModule:\n    def filters(self):\n"
    plugin(tmp_path, "filter_plugins", "mine", text + "        return {'mine': lambda value: 'mine ' + value}\n")
    assert render(templar(tmp_path, core), "{{ who | mine }}") == "mine me"


def test_a_lookup_that_imports_ansible_is_made_by_its_loader(tmp_path: Path, core: Path) -> None:
    text = "from ansible.plugins.lookup import LookupBase\nclass LookupModule(LookupBase):\n"
    plugin(tmp_path, "lookup_plugins", "based", text + "    def run(self, terms, variables=None): return terms\n")
    assert render(templar(tmp_path, core), "{{ query('based', 1, 2) }}") == [1, 2]


def test_filters_tests_and_lookups_of_collections(tmp_path: Path, core: Path) -> None:
    one = templar(tmp_path, core)
    assert render(one, "{{ who | my.own.twice }}") == ["me", "me"]
    assert render(one, "{{ items | my.own.env }}") == ["TemplateEnvironment", "list"]
    assert render(one, "{{ 1 is my.own.one }}") is True
    assert render(one, "{{ query('my.own.echo', 1, a=2) }}") == [1, "me", False, ["a"]]
    assert render(one, "{{ evil | my.own.twice }}") == ["{{ who }}", "{{ who }}"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ 1 | my.own.nosuch }}", "No filter named 'my.own.nosuch'"),
        ("{{ 1 is my.own.nosuch }}", "No test named 'my.own.nosuch'"),
        ("{{ 1 | nosuch }}", "No filter named 'nosuch'"),
        ("{{ lookup('my.own.nosuch') }}", "The lookup plugin 'my.own.nosuch' was not found"),
    ],
)
def test_what_no_collection_has(tmp_path: Path, core: Path, text: str, message: str) -> None:
    with pytest.raises(PybibleError, match=message):
        render(templar(tmp_path, core), text)


def test_without_ansible_a_collections_filter_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pybible.server.engine.templating.external.find_spec", lambda _name: None)
    with pytest.raises(PybibleError, match=r"'community.general.json_query'.* needs ansible-core") as caught:
        render(templar(tmp_path), "{{ items | community.general.json_query('x') }}")
    assert "pybible[server,ansible]" in str(caught.value)


def test_folders_that_ansible_cfg_names(tmp_path: Path) -> None:
    text = "class FilterModule:\n    def filters(self): return {'who_am_i': lambda value: "
    plugin(tmp_path, "first", "mine", f"{text}'first'}}\n")
    plugin(tmp_path, "second", "mine", f"{text}'second'}}\n")
    plugin(tmp_path, "first", "shout", SHOUT)
    one = templar(tmp_path)
    folders = [tmp_path / "first", tmp_path / "second", tmp_path / "nowhere"]
    one.engine.add_plugin_paths(filters=folders, tests=folders, lookups=folders)
    assert render(one, "{{ 1 | who_am_i }} {{ lookup('shout', 'a') }}") == "first A!me"


def test_loops_with_lookups_of_ones_own(tmp_path: Path) -> None:
    plugin(tmp_path, "lookup_plugins", "shout", SHOUT)
    assert is_loop("with_shout", [tmp_path])
    assert is_loop("with_my.own.echo")
    assert is_loop("with_items")
    assert not is_loop("with_whisper", [tmp_path])
    assert not is_loop("when", [tmp_path])


def test_jinja_knows_which_filters_there_are(tmp_path: Path, core: Path) -> None:
    environment: jinja2.Environment = templar(tmp_path, core).engine._environment
    assert "my.own.twice" in environment.filters
    assert "my.own.nosuch" not in environment.filters
    assert "bool" in environment.filters
