"""test_enrolment_names: which inventory name is bound to an agent; how often an address may ask."""

from __future__ import annotations

import pytest

from pybible.server.controller.pki.enrolment import EnrolmentRefused, bound_name
from pybible.server.controller.services.rate import RateLimit


@pytest.mark.parametrize(
    ("asked", "hostname", "pattern", "bound"),
    [
        ("web01", "ip-10-0-0-1", "", "web01"),
        ("", "ip-10-0-0-1", "", "ip-10-0-0-1"),
        ("", "ip-10-0-0-1", "web01", "web01"),
        ("web01", "ip-10-0-0-1", "web01", "web01"),
        ("ip-10-0-0-1", "ip-10-0-0-1", "web01", "web01"),
        ("", "web07.example.com", "web*", "web07.example.com"),
        ("WEB01", "", "WEB[0-9]*", "WEB01"),
    ],
)
def test_a_name_that_the_token_allows_is_bound(asked: str, hostname: str, pattern: str, bound: str) -> None:
    assert bound_name(asked=asked, hostname=hostname, pattern=pattern) == bound


@pytest.mark.parametrize(
    ("asked", "pattern"),
    [
        ("db01", "web*"),
        ("web02", "web01"),
        ("WEB01", "web*"),
        ("", ""),
        ("a b", ""),
        ("a:b", ""),
        ("-x", ""),
        ("web*", "web*"),
        ("x" * 254, ""),
        ("localhost", ""),
        ("all", "*"),
        ("web\n01", ""),
    ],
)
def test_a_name_that_can_not_be_bound_is_refused(asked: str, pattern: str) -> None:
    with pytest.raises(EnrolmentRefused):
        bound_name(asked=asked, hostname="", pattern=pattern)


def test_an_address_may_ask_in_a_burst_and_then_at_its_rate() -> None:
    moment = [0.0]
    limit = RateLimit(rate=1.0, burst=3.0, now=lambda: moment[0])
    assert [limit.take("a") for _ in range(4)] == [True, True, True, False]
    assert limit.take("b")
    moment[0] = 1.0
    assert [limit.take("a") for _ in range(2)] == [True, False]


def test_a_refusal_costs_an_address_more() -> None:
    moment = [0.0]
    limit = RateLimit(rate=1.0, burst=3.0, now=lambda: moment[0])
    limit.take("a")
    limit.take("a", 19.0)
    moment[0] = 17.0
    assert not limit.take("a")
    moment[0] = 18.0
    assert limit.take("a")
