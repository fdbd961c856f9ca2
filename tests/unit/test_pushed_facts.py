"""test_pushed_facts: what a host told of itself, read as the result of setup."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybible.agent.facts import date_time
from pybible.server.client import pushed_facts
from pybible.wire.errors import ProtocolError
from pybible.wire.values import JsonObject, dumps


@pytest.fixture(params=["UTC", "Asia/Kolkata", "America/Caracas"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def packed(result: JsonObject) -> bytes:
    return zlib.compress(dumps(result))


@pytest.mark.usefixtures("zone")
def test_the_clock_is_put_on_as_the_host_s_own_would_have_gone_on() -> None:
    moment = 1_781_000_000.25
    before, after = date_time.shown(moment), date_time.shown(moment + 200_000.5)
    assert pushed_facts.later(before, 200_000.5) == after


def test_what_moves_is_put_in_and_the_uptime_goes_on() -> None:
    facts = packed({"ansible_facts": {"ansible_system": "Linux"}, "changed": False})
    result = pushed_facts.decode(facts, dumps({"ansible_uptime_seconds": 10, "ansible_memfree_mb": 5}), age=7.9)
    assert result == {
        "ansible_facts": {"ansible_system": "Linux", "ansible_uptime_seconds": 17, "ansible_memfree_mb": 5},
        "changed": False,
    }


@pytest.mark.parametrize(
    "facts",
    [b"", b"not deflated", packed({"no": "facts"}), zlib.compress(b"[]"), zlib.compress(b"0" * 20_000_000)],
    ids=["nothing", "not deflated", "no facts", "a list", "too large"],
)
def test_what_is_no_facts_is_an_error(facts: bytes) -> None:
    with pytest.raises(ProtocolError):
        pushed_facts.decode(facts, b"{}", age=0)


@given(st.binary(), st.binary(), st.floats(min_value=0, max_value=1e6))
def test_no_host_breaks_the_reader(facts: bytes, moving: bytes, age: float) -> None:
    for text in (facts, packed({"ansible_facts": {}})):
        with pytest.raises(ProtocolError):
            pushed_facts.decode(text, moving + b"x", age=age)


@given(st.dictionaries(st.sampled_from(["iso8601_micro", "tz_offset", "epoch"]), st.text()))
def test_a_clock_that_is_none_stays_as_it_is(moment: JsonObject) -> None:
    assert pushed_facts.later(moment, 5.0) == moment
