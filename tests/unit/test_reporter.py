"""test_reporter: what the process that gathers facts prints, read by the agent."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybible.agent import reporter
from pybible.agent.facts import report
from pybible.wire.errors import ProtocolError
from pybible.wire.frames import encode
from pybible.wire.values import loads_object


def test_a_report_of_this_host_is_read() -> None:
    read = reporter._report(report.report(), 1.5)
    facts, moving = loads_object(zlib.decompress(read.facts))["ansible_facts"], loads_object(read.moving)
    assert facts["ansible_system"] == "Linux"
    assert set(moving) <= set(report.MOVING)
    assert not set(moving) & set(facts)
    assert (len(read.digest), read.at) == (32, 1.5)


@pytest.mark.parametrize(
    "output",
    [
        b"",
        encode({"type": "facts"}),
        encode({"type": "facts", "digest": "no hex", "user": "root", "moving": {}}),
        encode({"type": "facts", "digest": "00" * 32, "user": "root", "moving": {}}, bytes(1024 * 1024 + 1)),
        encode({"type": "facts"}) * 2,
    ],
    ids=["nothing", "no fields", "no digest", "too large", "two"],
)
def test_what_is_no_report_is_refused(output: bytes) -> None:
    with pytest.raises((ValueError, LookupError)):
        reporter._report(output, 0.0)


@given(st.binary())
def test_nothing_that_is_printed_ends_the_agent(output: bytes) -> None:
    with pytest.raises((ValueError, LookupError, ProtocolError)):
        reporter._report(output, 0.0)


def test_signs_stay_the_same_on_a_host_that_does() -> None:
    assert reporter.signs() == reporter.signs()
