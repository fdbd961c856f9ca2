"""test_vars_prompt: what an operator types, and what holds when nothing is typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybible.server.engine.model.play import VarsPrompt
from pybible.wire.errors import ParseError, SourceError
from tests.support.plays import play

TEXT = """
- hosts: h1
  gather_facts: false
  vars_prompt: [%s]
  tasks:
    - debug: msg="{{ x }}"
"""


async def shown(folder: Path, entry: str, typed: str) -> object:
    def ask(_prompt: VarsPrompt) -> str:
        return typed

    played = await play(folder, TEXT % entry, hosts=("h1",), ask=ask)
    return played.results("h1")[0].result["msg"]


async def test_what_is_typed_is_never_a_template(tmp_path: Path) -> None:
    assert await shown(tmp_path, "{name: x}", "{{ 1 + 1 }}") == "{{ 1 + 1 }}"


async def test_what_is_not_typed_is_the_default_which_is_the_playbook_s(tmp_path: Path) -> None:
    assert await shown(tmp_path, "{name: x, default: '{{ 1 + 1 }}'}", "") == 2
    assert await shown(tmp_path, "{name: x}", "") == ""


async def test_an_answer_is_hashed(tmp_path: Path) -> None:
    hashed = await shown(tmp_path, "{name: x, encrypt: sha512_crypt, salt: abcdefgh}", "secret")
    assert str(hashed).startswith("$6$")
    assert "$abcdefgh$" in str(hashed)


async def test_an_answer_that_can_not_be_hashed(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="the answer for 'x' can't be hashed") as caught:
        await shown(tmp_path, "{name: x, encrypt: rot13}", "secret")
    assert caught.value.origin is not None


async def test_a_salt_s_size_is_a_number(tmp_path: Path) -> None:
    with pytest.raises(ParseError, match="'salt_size' must be a whole number, not 'big'"):
        await shown(tmp_path, "{name: x, salt_size: big}", "")
