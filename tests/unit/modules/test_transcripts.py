"""test_transcripts: package managers that are not on this machine, against what real ones were recorded to say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pybible.agent.modules import modprobe
from tests.support import transcripts
from tests.support.modules import context, run_module
from tests.support.transcripts import Case

CASES = [
    pytest.param(case, id=f"{name}: {case.name}") for name in transcripts.names() for case in transcripts.load(name)
]


@pytest.fixture(autouse=True)
def _kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's modules, and what it loads at boot, are the case's own: not every kernel has any."""
    builtin = tmp_path / "kernels" / os.uname().release / "modules.builtin"
    builtin.parent.mkdir(parents=True)
    builtin.write_text("kernel/fs/ext4/ext4.ko\n")
    for name, place in (("_LOADED", "loaded"), ("_KERNELS", "kernels"), ("_AT_BOOT", "load"), ("_OPTIONS", "options")):
        monkeypatch.setattr(modprobe, name, tmp_path / place)


@pytest.mark.parametrize("case", CASES)
def test_a_module_asks_and_answers_as_recorded(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(transcripts.stand_in(case, tmp_path)))
    how = context(check=case.check, diff=case.diff)
    result = run_module(case.module, transcripts.placed(case.args, tmp_path), how)
    assert transcripts.asked(tmp_path) == transcripts.expected(case, tmp_path)
    for key in ("invocation", "warnings"):
        result.pop(key, None)
    assert transcripts.without_place(result, tmp_path) == case.result


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("apk", "Installing bar"),
        ("dnf", "Installing:"),
        ("dnf5", "Installing:"),
        ("pacman", "installing pone..."),
        ("snap", "bar 1.0 from Me installed"),
        ("zypper", "<to-install>"),
    ],
)
def test_what_a_package_manager_says_is_shown_while_it_runs(
    name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = next(case for case in transcripts.load(name) if case.name == "installed")
    monkeypatch.setenv("PATH", str(transcripts.stand_in(case, tmp_path)))
    shown: list[bytes] = []
    how = context(emit=lambda _stream, data: shown.append(data))
    run_module(case.module, transcripts.placed(case.args, tmp_path), how)
    assert words in b"".join(shown).decode()
