"""test_entry: the commands of an install without the extra `server`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib.machinery import ModuleSpec

import pytest

from pybible.server import entry


@pytest.mark.parametrize(("command", "name"), [(entry.ctl, "pybible-ctl"), (entry.controller, "pybible-controller")])
@pytest.mark.parametrize("missing", ["click", "jinja2", "sqlalchemy"])
def test_an_install_without_the_extra_says_what_to_install(
    command: Callable[[], None],
    name: str,
    missing: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def find(package: str) -> ModuleSpec | None:
        return None if package == missing else importlib.util.find_spec(package)

    monkeypatch.setattr(entry, "find_spec", find)
    with pytest.raises(SystemExit) as ended:
        command()
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        f"{name}: this is an agent's install; for this command: pip install 'pybible[server]'\n"
    )
