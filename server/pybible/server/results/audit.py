"""audit: who did what, as it is kept for good: each record holds the digest of all before it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from pybible.wire.values import JsonObject

# What stands before the first record.
BEGINNING = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who did it: identity and role as the certificate or the socket say, from where, with which certificate (hex)."""

    identity: str
    role: str
    address: str
    serial: str = ""


NOBODY = Actor(identity="", role="", address="")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One thing that somebody did, or was not let do. `moment`: seconds since the epoch; `target`: to what or whom."""

    moment: float
    actor: Actor
    action: str
    target: str = ""
    allowed: bool = True
    reason: str = ""
    run_id: str = ""
    details: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """An entry in its place."""

    seq: int
    entry: AuditEntry
    digest: str


def chained(entry: AuditEntry, *, seq: int, previous: str) -> AuditRecord:
    """Return the entry as the record after the one with the digest `previous`."""
    content = json.dumps([seq, previous, asdict(entry)], sort_keys=True, separators=(",", ":"))
    return AuditRecord(seq=seq, entry=entry, digest=hashlib.sha256(content.encode("ascii")).hexdigest())


def first_flaw(records: Iterable[AuditRecord], *, after: int = 0, previous: str = BEGINNING) -> str:
    """Say where records that follow on number `after` were changed, removed or reordered, empty when nowhere."""
    for record in records:
        if record.seq != after + 1:
            return f"record {after + 1} is not there: {record.seq} follows on {after}"
        if chained(record.entry, seq=record.seq, previous=previous).digest != record.digest:
            return f"record {record.seq}, or one before it, is not what was written"
        after, previous = record.seq, record.digest
    return ""
