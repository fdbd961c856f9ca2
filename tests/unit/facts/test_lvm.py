"""test_lvm: LVM's programs cost a host more than all other facts: no more of them run than have something to say."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pybible.agent.facts import lvm
from pybible.agent.facts.source import Host
from pybible.wire.values import JsonObject

_GROUP: JsonObject = {"size_g": "19.00", "free_g": "0", "num_lvs": "1", "num_pvs": "1"}
_VOLUME: JsonObject = {"size_g": "4.00", "vg": "root"}
_DISK: JsonObject = {"size_g": "19.00", "free_g": "0", "vg": "root"}
_PRINTED = {
    "vgs": "  root,1,1,0,wz--n-,19.00,0\n",
    "lvs": "  swap,root,-wi-ao----,4.00,,,,,,,,\n",
    "pvs": "  /dev/sdb1,root,lvm2,a--,19.00,0\n",
}

Asked = Callable[[dict[str, tuple[str, int]]], tuple[object, list[str]]]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Return what gives the facts of a host whose programs write a text and exit so, and which of them ran."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    log = tmp_path / "log"

    def ask(programs: dict[str, tuple[str, int]]) -> tuple[object, list[str]]:
        for name, (text, status) in programs.items():
            script = f"#!/bin/sh\necho {name} >> {log}\nprintf '%s' '{text}'\nexit {status}\n"
            (tmp_path / name).write_text(script)
            (tmp_path / name).chmod(0o755)
        found = lvm.volumes(Host(environment={"PATH": f"{tmp_path}:/usr/bin:/bin"}))
        return found, log.read_text().split()

    return ask


@pytest.mark.parametrize("text", ["", "\n"])
def test_a_host_without_physical_volumes_is_asked_for_nothing_else(asked: Asked, text: str) -> None:
    found, ran = asked(dict.fromkeys(_PRINTED, (text, 0)))
    assert found == {"lvs": {}, "vgs": {}, "pvs": {}}
    assert ran == ["pvs"]


def test_a_host_with_volumes_tells_all_of_them(asked: Asked) -> None:
    found, ran = asked({name: (text, 0) for name, text in _PRINTED.items()})
    assert found == {"lvs": {"swap": _VOLUME}, "vgs": {"root": _GROUP}, "pvs": {"/dev/sdb1": _DISK}}
    assert ran == ["pvs", "vgs", "lvs"]


def test_the_others_are_asked_when_the_physical_volumes_can_t_be_listed(asked: Asked) -> None:
    found, ran = asked({name: (text, 5 if name == "pvs" else 0) for name, text in _PRINTED.items()})
    assert found == {"lvs": {"swap": _VOLUME}, "vgs": {"root": _GROUP}, "pvs": {}}
    assert ran == ["pvs", "vgs", "lvs"]
