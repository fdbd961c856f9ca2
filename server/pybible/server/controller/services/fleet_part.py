"""fleet_part: what the parts of FleetService stand on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from pybible.server.controller.blobs.traffic import Traffic
from pybible.server.controller.pki.allowed import AllowedCertificates
from pybible.server.controller.pki.enrolment import Enrolment
from pybible.server.controller.pki.rotation import Rotation
from pybible.server.controller.pki.waiting import WaitingRoom
from pybible.server.controller.services.access import Access
from pybible.server.controller.services.fleet_list import AgentList, Presence
from pybible.server.controller.store.database import Database
from pybible.v1 import fleet_pb2_grpc

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
Context: TypeAlias = grpc.aio.ServicerContext[_Request, _Response]


class Runs(Protocol):
    """The runs that are open."""

    def interrupt(self, identity: str, reason: str) -> None:
        """End those of an operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerFacts:
    """What a controller says of itself. Addresses HOST:PORT as others reach them; `started` as time.time().

    `operator_address` is empty where operators come to the socket only.
    """

    version: str
    started: float
    agent_address: str
    enroll_address: str
    operator_address: str
    authority_pin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What a controller knows of its fleet, and whoever acts on it."""

    access: Access
    database: Database
    enrolment: Enrolment
    rotation: Rotation
    waiting: WaitingRoom
    allowed: AllowedCertificates
    presence: Presence
    runs: Runs
    traffic: Traffic
    facts: ControllerFacts


class FleetPart(fleet_pb2_grpc.FleetServiceServicer):
    """One part of FleetService."""

    def __init__(self, fleet: Fleet) -> None:
        self._access = fleet.access
        self._database = fleet.database
        self._enrolment = fleet.enrolment
        self._rotation = fleet.rotation
        self._waiting = fleet.waiting
        self._allowed = fleet.allowed
        self._agents = AgentList(
            directory=fleet.database.directory,
            presence=fleet.presence,
            allowed=fleet.allowed,
            traffic=fleet.traffic,
        )
        self._runs = fleet.runs
        self._traffic = fleet.traffic
        self._facts = fleet.facts


def moment(seconds: float) -> Timestamp:
    """Return seconds since the epoch as a Timestamp, to the microsecond."""
    stamp = Timestamp()
    stamp.FromNanoseconds(int(seconds * 1_000_000) * 1000)
    return stamp
