"""waiting: hosts that ask to be enrolled without a token, until an operator, or a rule of admission, decides.

In memory only: nobody without a certificate gets anything written to the store. A host that finds itself forgotten asks
again, with the same key.
"""

from __future__ import annotations

import hashlib
import ipaddress
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pybible.server.controller.pki.enrolment import Enrolled, EnrolmentRefused, EnrolmentRequest
from pybible.wire.errors import ConfigError, UsageError
from pybible.wire.tables import Convert, named_tables, read_table, table_of_texts, texts

# Who has not asked for so long is gone.
FORGOTTEN_AFTER = 3600.0
_FACTS = 16
_FACT_LENGTH = 256
_SHORTEST_PREFIX = 8


class Decision(Enum):
    """What was decided of a host."""

    OPEN = "waiting"
    APPROVED = "approved"
    DENIED = "denied"


@dataclass(slots=True, kw_only=True, eq=False)
class Waiting:
    """One host that waits. `fingerprint`: SHA-256 of its public key, hex. Moments in seconds since the epoch."""

    enrollment_id: str
    fingerprint: str
    request: EnrolmentRequest
    address: str
    facts: Mapping[str, str]
    since: float
    heard: float
    decision: Decision = Decision.OPEN
    reason: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    # Once its certificate was made: should the answer get lost, it is there to be asked for again.
    enrolled: Enrolled | None = None
    # Its address, as far as addresses are counted.
    network: str = field(init=False)

    def __post_init__(self) -> None:
        self.network = network_of(self.address)

    @property
    def name(self) -> str:
        """The name that it is to get."""
        return self.request.name or self.request.hostname


class WaitingRoom:
    """All hosts that wait: at most `limit`, and at most `per_address` from one address."""

    def __init__(self, *, limit: int, per_address: int, now: Callable[[], float] = time.time) -> None:
        self.limit = limit
        self._per_address = per_address
        self._now = now
        self._waiting: dict[str, Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Waiting]:
        self._forget()
        return iter(sorted(self._waiting.values(), key=lambda each: each.since))

    def ask(
        self, request: EnrolmentRequest, *, key: ec.EllipticCurvePublicKey, address: str, facts: Mapping[str, str]
    ) -> Waiting:
        """Let a host wait: the same key waits once. EnrolmentRefused when there is no room."""
        self._forget()
        fingerprint, moment = fingerprint_of(key), self._now()
        known = next((each for each in self._waiting.values() if each.fingerprint == fingerprint), None)
        if known is not None:
            known.heard = moment
            return known
        network = network_of(address)
        if sum(each.network == network for each in self._waiting.values()) >= self._per_address:
            raise EnrolmentRefused(f"{self._per_address} hosts of this address wait to be enrolled already")
        if len(self._waiting) >= self.limit:
            raise EnrolmentRefused(f"{self.limit} hosts wait to be enrolled already")
        waiting = Waiting(
            enrollment_id=str(uuid.uuid4()),
            fingerprint=fingerprint,
            request=request,
            address=address,
            facts={name[:_FACT_LENGTH]: value[:_FACT_LENGTH] for name, value in list(facts.items())[:_FACTS]},
            since=moment,
            heard=moment,
        )
        self._waiting[waiting.enrollment_id] = waiting
        return waiting

    def find(self, enrollment_id: str, key: ec.EllipticCurvePublicKey) -> Waiting | None:
        """Return the host of that number, if it has that key."""
        self._forget()
        waiting = self._waiting.get(enrollment_id)
        if waiting is None or waiting.fingerprint != fingerprint_of(key):
            return None
        waiting.heard = self._now()
        return waiting

    def named(self, word: str) -> Waiting:
        """Return the open request of that name, or with a fingerprint that begins so. UsageError unless it is one."""
        opened = [each for each in self if each.decision is Decision.OPEN]
        plain = word.replace(":", "").lower()
        found = [each for each in opened if each.name == word]
        if not found and len(plain) >= _SHORTEST_PREFIX:
            found = [each for each in opened if each.fingerprint.startswith(plain)]
        if not found:
            raise UsageError(f"no host waits that is called {word!r}, or has that fingerprint")
        if len(found) > 1:
            raise UsageError(f"{len(found)} hosts that wait are called {word!r}: name one by its fingerprint")
        return found[0]

    def matching(self, pattern: str) -> list[Waiting]:
        """Return the open requests whose names match."""
        return [each for each in self if each.decision is Decision.OPEN and fnmatchcase(each.name, pattern)]

    def _forget(self) -> None:
        before = self._now() - FORGOTTEN_AFTER
        for each in [each for each in self._waiting.values() if each.heard < before]:
            del self._waiting[each.enrollment_id]


def network_of(address: str) -> str:
    """Return what counts as one address: of IPv6 the /64, whose addresses one host may all have."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    mapped = getattr(found, "ipv4_mapped", None)
    return (
        str(mapped or found) if mapped or found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))
    )


def fingerprint_of(key: ec.EllipticCurvePublicKey) -> str:
    """Return the SHA-256 of a public key (SubjectPublicKeyInfo, DER), hex."""
    encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Which hosts need no operator's decision: what it mentions must all be so."""

    rule: str
    names: tuple[str, ...] = ()
    networks: tuple[_Network, ...] = ()
    fingerprints: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def admits(self, waiting: Waiting) -> bool:
        """Tell whether a host is let in."""
        return (
            (not self.names or any(fnmatchcase(waiting.name, pattern) for pattern in self.names))
            and (not self.networks or any(_is_in(waiting.address, network) for network in self.networks))
            and (not self.fingerprints or waiting.fingerprint in self.fingerprints)
        )


def _is_in(address: str, network: _Network) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found) in network


def read_admissions(found: object, *, where: str) -> tuple[Admission, ...]:
    """Read the table `admit` of the configuration. ConfigError names the setting that is wrong."""
    tables = named_tables(found, "admit", where=where)
    return tuple(_admission(rule, values, where=place) for rule, (values, place) in tables.items())


def _admission(rule: str, found: object, *, where: str) -> Admission:
    values = read_table(found, _SETTINGS, where=where)
    if not values.get("networks") and not values.get("fingerprints"):
        raise ConfigError(f"{where}: a name alone would let anybody in", hint="Give networks or fingerprints as well.")
    try:
        networks = tuple(ipaddress.ip_network(each) for each in values.pop("networks", ()))
    except ValueError as error:
        raise ConfigError(f"{where}: networks: {error}") from error
    return Admission(rule=rule, networks=networks, **values)


def _fingerprints(value: object) -> tuple[str, ...]:
    return tuple(each.replace(":", "").lower() for each in texts(value))


_SETTINGS: Mapping[str, Convert] = {
    "names": texts,
    "networks": texts,
    "fingerprints": _fingerprints,
    "labels": table_of_texts,
}
