"""test_synchronize_action: who packs what is to be copied, and who puts it in place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pybible.server.results.events import Status
from tests.support.fake_dispatcher import ModulesHere
from tests.support.plays import Played, play

needs_rsync = pytest.mark.skipif(shutil.which("rsync") is None, reason="this machine has no rsync")


async def synchronized(folder: Path, args: str, *more: str) -> Played:
    """Run one task."""
    lines = [f"    - synchronize: {{{args}}}", *(f"      {line}" for line in more)]
    text = "- hosts: h1\n  gather_facts: false\n  tasks:\n" + "\n".join(lines) + "\n"
    (folder / "content").mkdir()
    return await play(folder, text, answer=ModulesHere(folder / "content"), files={"files/tree/a": "x"})


def sent(played: Played) -> list[tuple[str, bool, bool]]:
    """Return of each module that ran: on which agent, whether it packed, whether it unpacked."""
    return [(item.target.agent, "_pack" in item.args, "_content" in item.args) for item in played.dispatcher.sent]


@needs_rsync
async def test_pushing_packs_here_and_unpacks_there(tmp_path: Path) -> None:
    played = await synchronized(tmp_path, f"src: tree/, dest: {tmp_path}/there")
    assert sent(played) == [("", True, False), ("h1", False, True)]
    assert played.dispatcher.sent[0].args["src"] == f"{tmp_path}/files/tree/"
    assert played.results("h1")[0].changed is True
    assert (tmp_path / "there" / "a").read_text() == "x"


@needs_rsync
async def test_pulling_packs_there_and_unpacks_here(tmp_path: Path) -> None:
    played = await synchronized(tmp_path, f"src: {tmp_path}/files, dest: back, mode: pull")
    assert sent(played) == [("h1", True, False), ("", False, True)]
    assert played.dispatcher.sent[1].args["dest"] == f"{tmp_path}/back"
    assert (tmp_path / "back" / "files" / "tree" / "a").read_text() == "x"


async def test_on_the_host_itself_nothing_is_packed(tmp_path: Path) -> None:
    played = await synchronized(tmp_path, f"src: tree/, dest: {tmp_path}/b", "delegate_to: h1")
    assert sent(played) == [("h1", False, False)]


async def test_on_the_control_node_nothing_is_packed(tmp_path: Path) -> None:
    played = await synchronized(tmp_path, "src: tree, dest: b/", "connection: local")
    assert sent(played) == [("", False, False)]
    assert played.dispatcher.sent[0].args["dest"] == f"{tmp_path}/b/"


@pytest.mark.parametrize("delegate", ["h2", "localhost"])
async def test_between_two_other_hosts_it_fails(delegate: str, tmp_path: Path) -> None:
    played = await synchronized(tmp_path, "src: /a/, dest: /b", f"delegate_to: {delegate}")
    result = played.results("h1")[0]
    assert result.status is Status.FAILED
    assert str(result.result["msg"]).startswith(f"synchronize between {delegate} and h1 needs rsync over ssh")
    assert sent(played) == []


async def test_both_paths_are_needed(tmp_path: Path) -> None:
    played = await synchronized(tmp_path, "src: tree")
    assert played.results("h1")[0].result["msg"] == "synchronize requires both src and dest parameters are set"
