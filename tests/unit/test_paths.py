"""test_paths: names of files as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybible.server.engine.model.paths import expanded


def test_a_home_is_put_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert expanded("~/x") == Path("/home/me/x")
    assert expanded(Path("~")) == Path("/home/me")


@pytest.mark.parametrize("name", ["~nobody-of-that-name/x", "~ /x", "~\0", "a~b", "./~"])
def test_what_is_nobody_s_home_stays(name: str) -> None:
    assert expanded(name) == Path(name)
