"""test_modules: our modules do what the stock modules were recorded to do, with the same arguments and files."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.module_cases import Case, load, names
from tests.conformance.module_playbooks import Playbooks
from tests.conformance.module_sides import aligned, native, records

pytestmark = pytest.mark.conformance

# What these change is the machine's own: accounts, packages, services.
_OF_THE_MACHINE = frozenset({"apt", "apt_repository", "group", "hostname", "service", "sysvinit", "user"})
# Their programs take a second for each call, and there are transcripts of them too.
_SLOW = frozenset({"firewalld"})


def _all() -> list[Any]:
    return [pytest.param(name, case, id=f"{name}: {case.name}") for name in names() for case in load(name)]


@pytest.fixture(scope="module")
def playbooks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Playbooks]]:
    """Give a function that starts pybible-ctl at its first use."""
    with contextlib.ExitStack() as opened:
        yield cache(
            lambda: opened.enter_context(Playbooks("pybible-ctl", sys.executable, tmp_path_factory.mktemp("playbooks")))
        )


@pytest.mark.parametrize(("name", "case"), _all())
def test_a_module_does_what_the_stock_module_did(
    name: str, case: Case, tmp_path: Path, playbooks: Callable[[], Playbooks]
) -> None:
    if os.getuid() != 0:
        pytest.skip("the records were made by root, and show owners")
    if lacking := case.lacking():
        pytest.skip(f"this machine has no {lacking}")
    if name in _SLOW and not os.environ.get("PYBIBLE_SYSTEM_TESTS"):
        pytest.skip("takes its time, and make conformance runs it: set PYBIBLE_SYSTEM_TESTS=1")
    if (case.action or case.machine or name in _OF_THE_MACHINE) and not (
        os.environ.get("CI") or os.environ.get("PYBIBLE_SYSTEM_TESTS")
    ):
        pytest.skip("takes its time, or changes this machine's accounts and packages: set PYBIBLE_SYSTEM_TESTS=1")
    expected, found = aligned(case, records(name)[case.name], native(case, tmp_path / "case", playbooks))
    assert found == expected
