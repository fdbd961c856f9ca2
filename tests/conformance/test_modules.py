"""test_modules: our modules do what the stock modules were recorded to do, with the same arguments and files."""

from __future__ import annotations

import grp
import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pybible.agent.modules import registry, runner
from pybible.agent.modules.api import Context
from tests.conformance.module_cases import CASES, Case, build, load, names, outcome

pytestmark = pytest.mark.conformance


@cache
def _records(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((CASES / f"{name}.recorded.json").read_text(encoding="utf-8"))
    return loaded


def _all() -> list[Any]:
    return [pytest.param(name, case, id=f"{name}: {case.name}") for name in names() for case in load(name)]


def _no_content(sha256: str) -> Path:
    raise AssertionError(f"nobody attached {sha256}")


# What these change is the machine's own: accounts, packages, services.
_OF_THE_MACHINE = frozenset({"apt", "apt_repository", "group", "hostname", "service", "sysvinit", "user"})
# What a make that runs the tests tells those below it.
_OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
# The number that the machine of the records gave to a new group.
_RECORDED_GROUP = 1001


def _next_group() -> int:
    """Return the number that this machine gives to a new group."""
    return max((group.gr_gid for group in grp.getgrall() if 1000 <= group.gr_gid < 60000), default=999) + 1


def _renumbered(value: Any, number: int) -> Any:
    """Return a value with `number` as the machine of the records would have it."""
    if isinstance(value, dict):
        return {key: _renumbered(item, number) for key, item in value.items()}
    if isinstance(value, list):
        return [_renumbered(item, number) for item in value]
    if isinstance(value, str):
        return re.sub(rf"\b{number}\b", str(_RECORDED_GROUP), value)
    return _RECORDED_GROUP if value == number and not isinstance(value, bool) else value


def _of_the_action(msg: str) -> str:
    return msg.replace(
        "remote module (uri) does not support check mode", "This action (uri) does not support check mode."
    )


@pytest.mark.parametrize(("name", "case"), _all())
def test_a_module_does_what_the_stock_module_did(
    name: str, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.getuid() != 0:
        pytest.skip("the records were made by root, and show owners")
    if lacking := case.lacking():
        pytest.skip(f"this machine has no {lacking}")
    if (case.machine or name in _OF_THE_MACHINE) and not (
        os.environ.get("CI") or os.environ.get("PYBIBLE_SYSTEM_TESTS")
    ):
        pytest.skip("changes this machine's accounts, packages or services: set PYBIBLE_SYSTEM_TESTS=1")
    folder = tmp_path / "case"
    build(case, folder)
    module = registry.find(f"{case.collection}.{case.module}" if case.collection else case.module)
    assert module is not None
    context = Context(check=case.check, diff=case.diff, content=_no_content, emit=lambda _stream, _data: None)
    monkeypatch.chdir(folder)
    for variable, value in case.surroundings(folder).items():
        monkeypatch.setenv(variable, value)
    for variable in _OF_MAKE:
        monkeypatch.delenv(variable, raising=False)
    next_group = _next_group()
    found = outcome(case, folder, lambda arguments: runner.run(module, arguments, context))
    if name == "user":
        found = _renumbered(found, next_group)
    expected = _records(name)[case.name]
    for part in ("result", "again"):
        if part not in expected:
            continue
        if "crashed" in expected[part]:
            assert found.pop(part)["failed"]
            del expected[part]
        elif isinstance(expected[part].get("msg"), str):
            # A stock module that is run by itself does not know its name.
            expected[part]["msg"] = expected[part]["msg"].replace("(basic.py)", f"({module.name})")
            if name == "uri":
                # In a playbook it stands behind an action, which has words of its own.
                expected[part]["msg"] = _of_the_action(expected[part]["msg"])
    if "result" in expected:
        assert found == expected
