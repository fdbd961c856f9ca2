"""test_kept_packages: a package of an earlier run is used as long as it would be made the same."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pybible.server.engine.bridge.packer import Packer
from pybible.server.engine.bridge.places import Places
from pybible.server.engine.executor.packages import Packages
from pybible.server.engine.model.bridged import BridgedModule
from pybible.wire.errors import PybibleError


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of what is packed, in the course of the test."""
    names: list[str] = []
    pack = Packer.pack

    def noted(self: Packer, module: BridgedModule, *more: object) -> object:
        names.append(module.name)
        return pack(self, module, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Packer, "pack", noted)
    return names


@pytest.fixture
def module(tmp_path: Path) -> BridgedModule:
    (tmp_path / "library").mkdir()
    (tmp_path / "near").mkdir()
    (tmp_path / "far").mkdir()
    (tmp_path / "library" / "own.py").write_text("from ansible.module_utils.words import shout\n")
    (tmp_path / "far" / "words.py").write_text("def shout():\n    pass\n")
    utils = (tmp_path / "near", tmp_path / "far")
    return BridgedModule(name="ansible.legacy.own", path=tmp_path / "library" / "own.py", utils=utils)


def sha256(tmp_path: Path, module: BridgedModule) -> str:
    """Return the package as a new run has it."""
    packages = Packages(Places(ansible=str(tmp_path / "none")), tmp_path / "packages")
    return asyncio.run(packages.get(module)).attachment.sha256


def test_a_later_run_packs_nothing_again(tmp_path: Path, module: BridgedModule, packed: list[str]) -> None:
    first = sha256(tmp_path, module)
    assert sha256(tmp_path, module) == first
    assert packed == ["ansible.legacy.own"]


def changed_module(folder: Path) -> None:
    (folder / "library" / "own.py").write_text("from ansible.module_utils.words import shout\n# more\n")


def changed_utils(folder: Path) -> None:
    (folder / "far" / "words.py").write_text("def shout():\n    return 1\n")


def nearer_utils(folder: Path) -> None:
    (folder / "near" / "words.py").write_text("def shout():\n    return 2\n")


def nearer_package(folder: Path) -> None:
    (folder / "near" / "words").mkdir()
    (folder / "near" / "words" / "__init__.py").write_text("def shout():\n    return 3\n")


@pytest.mark.parametrize("change", [changed_module, changed_utils, nearer_utils, nearer_package])
def test_what_would_be_packed_otherwise_is_packed_again(
    tmp_path: Path, module: BridgedModule, packed: list[str], change: Callable[[Path], None]
) -> None:
    first = sha256(tmp_path, module)
    change(tmp_path)
    assert sha256(tmp_path, module) != first
    assert len(packed) == 2


@pytest.mark.parametrize("damage", [b"", b"damaged"])
def test_a_damaged_package_is_packed_again(
    tmp_path: Path, module: BridgedModule, packed: list[str], damage: bytes
) -> None:
    first = sha256(tmp_path, module)
    for path in (tmp_path / "packages").iterdir():
        path.write_bytes(damage)
    assert sha256(tmp_path, module) == first
    assert len(packed) == 2


def test_what_can_not_be_packed_is_not_kept(tmp_path: Path, module: BridgedModule, packed: list[str]) -> None:
    (tmp_path / "far" / "words.py").unlink()
    for _ in range(2):
        with pytest.raises(PybibleError, match="words"):
            sha256(tmp_path, module)
    (tmp_path / "far" / "words.py").write_text("def shout():\n    pass\n")
    sha256(tmp_path, module)
    assert len(packed) == 3


def test_the_folder_does_not_grow_for_ever(tmp_path: Path, module: BridgedModule) -> None:
    folder = tmp_path / "packages"
    folder.mkdir()
    for number in range(600):
        (folder / f"old{number}").touch()
        os.utime(folder / f"old{number}", (1000 + number, 1000 + number))
    sha256(tmp_path, module)
    names = {path.name for path in folder.iterdir()}
    assert len(names) == 500
    assert "old0" not in names
    assert "old599" in names
