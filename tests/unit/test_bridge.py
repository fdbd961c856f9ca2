"""bridge: modules that are not native are found as Ansible finds them, and packed with what they import."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path

import pytest

from pybible.server.engine.bridge.finder import BridgeError, Finder
from pybible.server.engine.bridge.imports import imported
from pybible.server.engine.bridge.packer import Packer
from pybible.server.engine.bridge.places import Places
from pybible.server.engine.bridge.styles import Style, interpreter_of, style_of
from tests.support.ansible_tree import write_files, write_tree

USES_OWN_UTILS = """
    #!/usr/bin/python
    from ansible.module_utils.basic import AnsibleModule
    from ansible.module_utils.mine import thing
"""


@pytest.fixture
def core(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "core")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def names(content: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(content)).namelist()


def found(finder: Finder, name: str, project: Path, role: Path | None = None) -> str:
    module = finder.find(name, directory=project, role=role)
    return "" if module is None else f"{module.name} {module.path.name}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("stocky", "ansible.builtin.stocky stocky.py"),
        ("ansible.builtin.stocky", "ansible.builtin.stocky stocky.py"),
        ("ansible.legacy.stocky", "ansible.builtin.stocky stocky.py"),
        ("acme.tools.hello", "acme.tools.hello hello.py"),
        ("hello", "acme.tools.hello hello.py"),
        ("acme.tools.hi", "acme.tools.hello hello.py"),
        ("mine", "ansible.legacy.mine mine.sh"),
        ("ansible.legacy.mine", "ansible.legacy.mine mine.sh"),
        ("ansible.builtin.mine", ""),
        ("acme.tools.nothing", ""),
        ("acme.nothing.hello", ""),
        ("nothing", ""),
    ],
)
def test_a_name_leads_to_a_file(core: Path, project: Path, name: str, expected: str) -> None:
    write_files(project, {"library/mine.sh": "#!/bin/sh", "library/notes.md": ""})
    assert found(Finder(Places(ansible=str(core))), name, project) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("two_parts", "part that runs on the control node"),
        ("acme.tools.two_parts", "part that runs on the control node"),
        ("moved", "'ansible.builtin.two_parts' has a part that"),
        ("acme.tools.only_here", "part that runs on the control node"),
        ("acme.tools.led_elsewhere", "part that runs on the control node"),
        ("beside", "part that runs on the control node"),
        ("set_by_the_operator", "part that runs on the control node"),
        ("acme.tools.for_windows", "is for Windows"),
    ],
)
def test_what_can_not_run_is_found_with_what_it_lacks(core: Path, project: Path, name: str, text: str) -> None:
    write_files(project, {"action_plugins/beside.py": "", "actions/set_by_the_operator.py": ""})
    finder = Finder(Places(ansible=str(core), actions=(project / "actions",)))
    module = finder.find(name, directory=project)
    assert module is not None
    assert text in module.lacking


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("acme.tools.around", "go round in a circle"),
        ("gone", "The 'ansible.builtin.gone' module has been removed. Use something else."
         " This feature was removed from ansible-core version 9."),
        ("gone_action", "The 'ansible.builtin.gone_action' action plugin has been removed. Use another."
         " This feature was removed from ansible-core in a release after 2026-01-01."),
        ("acme.tools.gone", "The 'acme.tools.gone' module has been removed. Use nothing."
         " This feature was removed from collection 'acme.tools' version 2.0.0."),
    ],
)  # fmt: skip
def test_what_is_gone_is_told(core: Path, project: Path, name: str, text: str) -> None:
    with pytest.raises(BridgeError) as caught:
        found(Finder(Places(ansible=str(core))), name, project)
    assert text in str(caught.value)


def test_a_folder_lies_in_the_collection_that_is_found_first(core: Path, project: Path) -> None:
    write_files(project, {"collections/ansible_collections/acme/tools/README.md": ""})
    finder = Finder(Places(ansible=str(core)))
    mine = project / "collections/ansible_collections"
    assert finder.collection_of(core / "ansible_collections/acme/tools/playbooks") == "acme.tools"
    assert finder.collection_of(mine / "acme/tools/playbooks") == ""
    assert finder.collection_of(mine) == ""
    assert finder.collection_of(project) == ""


def test_the_nearest_library_wins(core: Path, project: Path, tmp_path: Path) -> None:
    role, other = project / "roles/r", tmp_path / "lib"
    write_files(role / "library", {"stocky.py": ""})
    write_files(project / "library", {"stocky.py": "", "beside.py": ""})
    write_files(other, {"beside.py": "", "far.py": ""})
    finder = Finder(Places(ansible=str(core), library=(other,)))
    places = {
        name: module.path.parent
        for name in ("stocky", "beside", "far")
        if (module := finder.find(name, directory=project, role=role)) is not None
    }
    assert places == {"stocky": role / "library", "beside": project / "library", "far": other}


def test_a_roles_library_is_for_all_that_follows(core: Path, project: Path) -> None:
    write_files(project / "roles/r/library", {"late.py": ""})
    finder = Finder(Places(ansible=str(core)))
    assert found(finder, "late", project) == ""
    finder.enter_role(project / "roles/r")
    assert found(finder, "late", project) == "ansible.legacy.late late.py"


def test_collections_need_no_full_name_where_they_are_listed(core: Path, project: Path) -> None:
    write_files(project, {"collections/ansible_collections/my/own/plugins/modules/stocky.py": ""})
    module = Finder(Places(ansible=str(core))).find("stocky", directory=project, collections=("my.own",))
    assert module is not None
    assert module.name == "my.own.stocky"


def test_a_package_holds_what_the_module_imports_and_no_more(core: Path, project: Path) -> None:
    places = Places(ansible=str(core))
    module = Finder(places).find("acme.tools.hello", directory=project)
    assert module is not None
    package = Packer(places).pack(module)
    assert package.entry == "ansible_collections.acme.tools.plugins.modules.hello"
    assert package.style is Style.PYTHON
    collection = "ansible_collections/acme/tools"
    assert names(package.content) == [
        "ansible/__init__.py",
        "ansible/module_utils/__init__.py",
        "ansible/module_utils/basic.py",
        "ansible/module_utils/text/__init__.py",
        "ansible/module_utils/text/words.py",
        "ansible_collections/__init__.py",
        "ansible_collections/acme/__init__.py",
        f"{collection}/__init__.py",
        f"{collection}/plugins/__init__.py",
        f"{collection}/plugins/module_utils/__init__.py",
        f"{collection}/plugins/module_utils/greet.py",
        f"{collection}/plugins/module_utils/inner/__init__.py",
        f"{collection}/plugins/modules/__init__.py",
        f"{collection}/plugins/modules/hello.py",
    ]


def test_a_package_is_the_same_whenever_and_wherever_it_is_made(tmp_path: Path, project: Path) -> None:
    sums = set()
    for number, folder in enumerate(("one", "two")):
        core = write_tree(tmp_path / folder)
        for path in core.rglob("*.py"):
            os.utime(path, (1e9 + number, 1e9 + number))
        places = Places(ansible=str(core))
        module = Finder(places).find("acme.tools.hello", directory=project)
        assert module is not None
        package = Packer(places).pack(module)
        assert package.sha256 == hashlib.sha256(package.content).hexdigest()
        sums.add(package.sha256)
    assert len(sums) == 1


def test_module_utils_that_have_moved_are_found_where_they_are(core: Path, project: Path) -> None:
    places = Places(ansible=str(core))
    module = Finder(places).find("uses_old", directory=project)
    assert module is not None
    inside = names(Packer(places).pack(module).content)
    assert "ansible/module_utils/old_greet.py" in inside
    assert "ansible_collections/acme/tools/plugins/module_utils/greet.py" in inside


def test_module_utils_beside_the_playbook_come_first(core: Path, project: Path) -> None:
    write_files(project, {"library/m.py": USES_OWN_UTILS, "module_utils/mine.py": "thing = 1\n"})
    places = Places(ansible=str(core))
    module = Finder(places).find("m", directory=project)
    assert module is not None
    archive = zipfile.ZipFile(io.BytesIO(Packer(places).pack(module).content))
    assert archive.read("ansible/module_utils/mine.py") == b"thing = 1\n"


def test_module_utils_that_are_nowhere_are_told(core: Path, project: Path) -> None:
    write_files(project, {"library/m.py": USES_OWN_UTILS})
    places = Places(ansible=str(core))
    module = Finder(places).find("m", directory=project)
    assert module is not None
    with pytest.raises(BridgeError, match=r"Could not find imported module support code for ansible\.legacy\.m\."):
        Packer(places).pack(module)


def test_without_ansible_core_its_module_utils_are_asked_for(project: Path) -> None:
    write_files(project, {"library/m.py": "from ansible.module_utils.basic import AnsibleModule\n"})
    places = Places(ansible=str(project / "nowhere"))
    module = Finder(places).find("m", directory=project)
    assert module is not None
    with pytest.raises(BridgeError, match="ansible-core is not installed"):
        Packer(places).pack(module)


def test_text_that_is_no_python_is_told(core: Path, project: Path) -> None:
    write_files(project, {"library/m.py": "from ansible.module_utils.basic import AnsibleModule\nif:\n"})
    places = Places(ansible=str(core))
    module = Finder(places).find("m", directory=project)
    assert module is not None
    with pytest.raises(BridgeError, match=r"Unable to compile 'ansible\.legacy\.m'"):
        Packer(places).pack(module)


@pytest.mark.parametrize(
    ("text", "style"),
    [
        (b"#!/usr/bin/python\nfrom ansible.module_utils.basic import *\n", Style.PYTHON),
        (b"import ansible.module_utils.basic\n", Style.PYTHON),
        (b"from ..module_utils.x import y\n", Style.PYTHON),
        (b"from ansible_collections.a.b.plugins.module_utils.c import d\n", Style.PYTHON),
        (b"def f():\n    pass\n#<<INCLUDE_ANSIBLE_MODULE_COMMON>>\n", Style.PYTHON),
        (b"#!/bin/sh\n# WANT_JSON\n", Style.WANT_JSON),
        (b"#!/bin/sh\nx='<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>'\n", Style.JSON_ARGUMENTS),
        (b"#!/bin/sh\necho\n", Style.OLD),
        (b"\x7fELF\x02\x01\x01\x00\x00", Style.BINARY),
    ],
)
def test_a_modules_style_is_told_by_its_text(text: bytes, style: Style) -> None:
    assert style_of(text) is style


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"#!/usr/bin/python3\n", ("/usr/bin/python3",)),
        (b"#!/usr/bin/env python\n", ("python",)),
        (b"#!/usr/bin/env -S perl -w\n", ("perl", "-w")),
        (b"#! /bin/bash -e\n", ("/bin/bash", "-e")),
        (b"x = 1\n", ()),
    ],
)
def test_an_interpreter_is_told_by_the_first_line(text: bytes, words: tuple[str, ...]) -> None:
    assert interpreter_of(text) == words


@pytest.mark.parametrize(
    ("source", "package", "modules"),
    [
        (b"import ansible.module_utils.a.b", False, ["ansible.module_utils.a.b"]),
        (b"def f():\n  from ansible.module_utils import x", False, ["ansible.module_utils"]),
        (b"from ansible import module_utils", False, ["ansible.module_utils"]),
        (b"from . import y", False, ["ansible_collections.n.c.plugins.module_utils"]),
        (b"from .y import z", True, ["ansible_collections.n.c.plugins.module_utils.me.y"]),
        (b"from ...... import y", False, []),
        (b"import os, json", False, []),
    ],
)
def test_imports_are_told_by_full_names(source: bytes, package: bool, modules: list[str]) -> None:
    name = "ansible_collections.n.c.plugins.module_utils.me"
    assert [each.module for each in imported(source, name=name, package=package)] == modules


def test_ansible_core_is_found_in_an_environment_and_by_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = write_tree(tmp_path / "venv/lib/python3.12/site-packages")
    assert Places(ansible=str(tmp_path / "venv")).core == site / "ansible"
    assert Places(ansible=str(site / "ansible")).version == "2.19.99"
    command = tmp_path / "venv/bin/ansible-playbook"
    command.parent.mkdir()
    command.write_text(f"#!{tmp_path}/venv/bin/python\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent))
    monkeypatch.setattr("pybible.server.engine.bridge.places.find_spec", lambda name: None)
    assert Places().core == site / "ansible"
