"""test_waiting: hosts that wait for an operator, and the rules that let some in without one."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pybible.server.controller.pki.enrolment import EnrolmentRefused, EnrolmentRequest
from pybible.server.controller.pki.waiting import (
    FORGOTTEN_AFTER,
    Decision,
    Waiting,
    WaitingRoom,
    fingerprint_of,
    network_of,
    read_admissions,
)
from pybible.wire.errors import ConfigError, UsageError


def new_key() -> ec.EllipticCurvePublicKey:
    return ec.generate_private_key(ec.SECP256R1()).public_key()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def room(clock: Clock) -> WaitingRoom:
    return WaitingRoom(limit=5, per_address=3, now=clock)


def ask(
    room: WaitingRoom, name: str = "web01", address: str = "192.0.2.1", key: ec.EllipticCurvePublicKey | None = None
) -> Waiting:
    request = EnrolmentRequest(secret="", csr=b"", name=name, hostname="host")
    return room.ask(request, key=key or new_key(), address=address, facts={"os": "Debian"})


def test_the_same_key_waits_once(room: WaitingRoom) -> None:
    key = new_key()
    assert ask(room, key=key) is ask(room, "another", key=key)
    assert len(list(room)) == 1


def test_one_address_does_not_fill_the_room(room: WaitingRoom) -> None:
    for number in range(3):
        ask(room, f"web{number}")
    with pytest.raises(EnrolmentRefused, match="3 hosts of this address wait to be enrolled already"):
        ask(room)
    ask(room, address="192.0.2.2")
    ask(room, address="192.0.2.3")
    with pytest.raises(EnrolmentRefused, match="5 hosts wait to be enrolled already"):
        ask(room, address="192.0.2.4")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("unknown", "unknown"),
    ],
)
def test_of_ipv6_a_network_counts_as_one_address(address: str, network: str) -> None:
    assert network_of(address) == network


def test_one_network_does_not_fill_the_room(room: WaitingRoom) -> None:
    for number in range(3):
        ask(room, f"web{number}", address=f"2001:db8::{number}")
    with pytest.raises(EnrolmentRefused, match="3 hosts of this address wait to be enrolled already"):
        ask(room, address="2001:db8::ffff")
    ask(room, address="2001:db8:0:1::1")


def test_who_does_not_ask_any_more_is_forgotten(room: WaitingRoom, clock: Clock) -> None:
    key = new_key()
    gone, there = ask(room, "gone"), ask(room, "there", key=key)
    clock.now += FORGOTTEN_AFTER - 1
    assert room.find(there.enrollment_id, key) is there
    clock.now += 2
    assert list(room) == [there]
    assert gone.decision is Decision.OPEN


def test_a_request_is_answered_to_its_own_key_only(room: WaitingRoom) -> None:
    waiting = ask(room)
    assert room.find(waiting.enrollment_id, new_key()) is None
    assert room.find("nonsense", new_key()) is None


def test_hosts_are_named_by_name_and_by_fingerprint(room: WaitingRoom) -> None:
    key = new_key()
    first, second = ask(room, "web01", key=key), ask(room, "web02")
    digits = fingerprint_of(key)
    assert room.named("web01") is room.named(digits) is room.named(digits[:8].upper()) is first
    assert room.named(f"{digits[:2]}:{digits[2:4]}:{digits[4:8]}") is first
    for word in ("web03", digits[:7], ""):
        with pytest.raises(UsageError, match="no host waits"):
            room.named(word)
    assert room.matching("web*") == [first, second]
    second.decision = Decision.DENIED
    assert room.matching("web*") == [first]


def test_two_hosts_of_one_name_are_told_apart_by_their_keys(room: WaitingRoom) -> None:
    ask(room), ask(room)
    with pytest.raises(UsageError, match="2 hosts that wait are called 'web01': name one by its fingerprint"):
        room.named("web01")


@pytest.mark.parametrize(
    ("rule", "name", "address", "admitted"),
    [
        ({"networks": ["10.0.0.0/8", "2001:db8::/32"]}, "web01", "10.1.2.3", True),
        ({"networks": ["10.0.0.0/8", "2001:db8::/32"]}, "web01", "2001:db8::7", True),
        ({"networks": ["10.0.0.0/8"]}, "web01", "::ffff:10.1.2.3", True),
        ({"networks": ["10.0.0.0/8"]}, "web01", "192.0.2.1", False),
        ({"networks": ["10.0.0.0/8"]}, "web01", "nonsense", False),
        ({"networks": ["10.0.0.0/8"], "names": ["db*"]}, "web01", "10.1.2.3", False),
        ({"networks": ["10.0.0.0/8"], "names": ["db*", "web*"]}, "web01", "10.1.2.3", True),
        ({"fingerprints": ["00" * 32]}, "web01", "10.1.2.3", False),
    ],
)
def test_a_rule_lets_in_what_it_is_for(
    room: WaitingRoom, rule: dict[str, object], name: str, address: str, admitted: bool
) -> None:
    (admission,) = read_admissions({"plant": rule}, where="controller.toml")
    assert admission.admits(ask(room, name, address)) is admitted


def test_a_rule_may_name_keys(room: WaitingRoom) -> None:
    key = new_key()
    printed = ":".join(fingerprint_of(key)[at : at + 2].upper() for at in range(0, 64, 2))
    (admission,) = read_admissions({"plant": {"fingerprints": [printed]}}, where="controller.toml")
    assert admission.admits(ask(room, key=key))


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([], "admit must be tables: [admit.NAME]"),
        ({"a": {"names": ["web*"]}}, "[admit.a]: a name alone would let anybody in"),
        ({"a": {"network": ["10.0.0.0/8"]}}, "[admit.a]: unknown setting 'network'"),
        ({"a": {"networks": ["10.0.0.1/8"]}}, "[admit.a]: networks: 10.0.0.1/8 has host bits set"),
        ({"a": {"networks": "10.0.0.0/8"}}, "[admit.a]: networks must be a list of texts, not '10.0.0.0/8'"),
        ({"a": {"networks": ["10.0.0.0/8"], "labels": []}}, "[admit.a]: labels must be a table of texts, not []"),
    ],
)
def test_a_rule_that_is_wrong_is_told_with_its_name(rules: object, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_admissions(rules, where="controller.toml")
    assert str(raised.value).startswith(f"controller.toml: {said}")
