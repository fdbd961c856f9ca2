"""sources: the parts of a controller that its metrics are read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pybible.server.controller.blobs.traffic import Traffic
from pybible.server.controller.counts import RunCounts
from pybible.server.controller.pki.authority import Authority
from pybible.server.controller.pki.waiting import WaitingRoom
from pybible.server.controller.retention import Retention
from pybible.server.controller.runs.registry import RunRegistry
from pybible.server.controller.services.access import Access
from pybible.server.controller.sessions.registry import SessionRegistry
from pybible.server.controller.store.certificates import CertificateRecord
from pybible.server.controller.store.database import Database
from pybible.wire.identity import Role


class Certificates(Protocol):
    """The certificates that are let in."""

    def of_role(self, role: Role) -> list[CertificateRecord]:
        """Return those of a role."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The parts of a controller that have something to show."""

    version: str
    database: Database
    sessions: SessionRegistry
    runs: RunRegistry
    counts: RunCounts
    access: Access
    waiting: WaitingRoom
    allowed: Certificates
    authority: Authority
    traffic: Traffic
    retention: Retention
