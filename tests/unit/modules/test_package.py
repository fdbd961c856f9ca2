"""test_package: package hands its task to the module of the host's package manager, or of the one that is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybible.agent.facts import packages
from tests.support import transcripts
from tests.support.modules import context, run_module
from tests.support.transcripts import Case


def recorded(name: str, of: str = "pacman") -> Case:
    return next(case for case in transcripts.load(of) if case.name == name)


@pytest.mark.parametrize("use", ["pacman", "community.general.pacman"])
def test_the_named_managers_module_does_the_task(use: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = recorded("installed")
    monkeypatch.setenv("PATH", str(transcripts.stand_in(case, tmp_path)))
    result = run_module("package", {**case.args, "use": use})
    assert transcripts.asked(tmp_path) == transcripts.expected(case, tmp_path)
    assert result["msg"] == "Installed 1 package(s)"
    assert "use" not in result["invocation"]["module_args"]


@pytest.mark.parametrize(
    ("manager", "transcript", "name"),
    [
        ("pacman", "pacman", "installed (check)"),
        ("dnf5", "dnf5", "installed (check)"),
        ("yum", "dnf", "installed (check)"),
    ],
)
def test_the_hosts_own_manager_does_it_without_a_name(
    manager: str, transcript: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = recorded(name, transcript)
    monkeypatch.setenv("PATH", str(transcripts.stand_in(case, tmp_path)))
    monkeypatch.setattr(packages, "collect", lambda _host: {"pkg_mgr": manager})
    result = run_module("package", {**case.args, "state": "present"}, context(check=True))
    assert result["changed"] is True
    assert transcripts.asked(tmp_path) == transcripts.expected(case, tmp_path)


def test_a_manager_that_nobody_knows_is_told() -> None:
    result = run_module("package", {"name": "x", "state": "present", "use": "nopkg"})
    assert result["failed"] is True
    assert result["msg"] == 'Could not find a matching action for the "nopkg" package manager.'


def test_package_does_not_call_itself() -> None:
    assert run_module("package", {"name": "x", "use": "ansible.builtin.package"})["failed"] is True


def test_an_argument_that_the_managers_module_does_not_have_is_its_failure() -> None:
    result = run_module("package", {"name": "x", "state": "present", "use": "apk", "upgrade_all": True})
    assert str(result["msg"]).startswith("Unsupported parameters for (community.general.apk) module: upgrade_all.")
