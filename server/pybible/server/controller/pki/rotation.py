"""rotation: one issuing authority follows another, both trusted meanwhile; the ports' certificate is renewed in time.

Agents are asked over their streams to renew, some at a time. What the old authority signed is good until it is retired.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from cryptography import x509

from pybible.server.controller.beside import beside
from pybible.server.controller.pki.allowed import AllowedCertificates
from pybible.server.controller.pki.authority import ISSUING_LIFETIME, Authority, renewal_of
from pybible.server.controller.store import certificates
from pybible.server.controller.store.certificates import CertificateRecord
from pybible.server.controller.store.database import Database
from pybible.wire.errors import PybibleError, UsageError
from pybible.wire.identity import Identity, Role
from pybible.wire.logs import fields

log = logging.getLogger(__name__)

# So many agents are asked to renew in a round, and a round takes so many seconds.
_AGENTS_A_ROUND = 50
_ROUND = 1.0
# An agent that is about to attach is waited for so many rounds; later it is asked when it comes again.
_ROUNDS = 30
# What is near its end is looked at so often: clocks are set, and a root's key may come back.
_LOOK = 6 * 3600.0
_AGAIN = 300.0
_NAMED = 5


class Sessions(Protocol):
    """The agents that are attached."""

    def attached_ids(self) -> Iterable[str]:
        """Return who is, by agent id."""

    def ask_to_renew(self, agent_id: str) -> bool:
        """Ask an agent to renew its certificate. False: it is not attached."""

    def remove(self, agent_id: str) -> None:
        """End an agent's session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InUse:
    """An issuing authority, and what hangs on it: certificates than which their holders have none newer."""

    certificate: x509.Certificate
    signs: bool
    holders: tuple[CertificateRecord, ...]

    def count(self, role: Role) -> int:
        """Return how many holders of a role there are."""
        return sum(record.identity.role is role for record in self.holders)


class Rotation:
    """Rotates, renews and retires the authorities of one controller. `lifetime`: of a new issuing authority."""

    def __init__(
        self,
        *,
        authority: Authority,
        database: Database,
        allowed: AllowedCertificates,
        sessions: Sessions,
        lifetime: timedelta = ISSUING_LIFETIME,
        by_itself: Callable[[int], None] = lambda _serial: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.authority = authority
        self._database = database
        self._allowed = allowed
        self._sessions = sessions
        self.lifetime = lifetime
        # Told of a rotation that nobody asked for, by the serial number of the new authority.
        self._by_itself = by_itself
        self._now = now
        self._changed = asyncio.Event()
        # Agents to be asked, and how often it was tried.
        self._outdated: dict[str, int] = {}
        # With whose certificate each agent last attached: the serial number of the authority.
        self._came_with: dict[str, int] = {}
        self._warned = 0.0

    def in_use(self) -> list[InUse]:
        """Return the issuing authorities, the one that signs first."""
        former = reversed(self.authority.former())
        return [
            InUse(
                certificate=each,
                signs=each is self.authority.issuing,
                holders=tuple(self._allowed.hanging_on(each.serial_number, moment=self._now())),
            )
            for each in (self.authority.issuing, *former)
        ]

    def warnings(self) -> list[str]:
        """Return what an operator should see to."""
        found = []
        authority = self.authority
        if self._now() >= renewal_of(authority.issuing).timestamp() and not authority.has_root_key:
            found.append(
                f"the issuing authority ends on {authority.issuing.not_valid_after_utc:%Y-%m-%d}, and the root's key is"
                " not here to make another: pybible-ctl pki rotate --root-key FILE"
            )
        if self._now() >= renewal_of(authority.root).timestamp():
            ends = f"{authority.root.not_valid_after_utc:%Y-%m-%d}"
            found.append(f"the root ends on {ends}, and the whole fleet must be enrolled anew until then")
        return found

    def attached(self, agent_id: str, *, issuer: int) -> None:
        """An agent comes with a certificate of that authority: it is to have one of the present one."""
        self._came_with[agent_id] = issuer
        if issuer != self.authority.issuing.serial_number:
            self._outdated[agent_id] = 0
            self._changed.set()

    async def rotate(self, certificate: bytes = b"") -> int:
        """Go over to a new issuing authority, and return how many agents are to renew.

        `certificate`, and what is raised: see Authority.rotate.
        """
        former = self.authority.issuing
        await asyncio.to_thread(self.authority.rotate, certificate, lifetime=self.lifetime)
        log.warning(
            "the issuing authority was rotated",
            extra=fields(former=f"{former.serial_number:x}", serial=f"{self.authority.issuing.serial_number:x}"),
        )
        self._outdated |= dict.fromkeys(self._sessions.attached_ids(), 0)
        self._changed.set()
        return len(self._outdated)

    async def retire(self, serial: int, *, force: bool = False) -> set[Identity]:
        """Refuse what a replaced issuing authority signed. Return who has no certificate any more.

        UsageError when it is the one that signs, or is not known, or holders still need it and it is not forced.
        """
        if serial == self.authority.issuing.serial_number:
            raise UsageError(
                "that issuing authority is the one that signs", hint="Make another first: pybible-ctl pki rotate"
            )
        found = next((each for each in self.in_use() if each.certificate.serial_number == serial), None)
        if found is None:
            raise UsageError(f"there is no issuing authority {serial:x}", hint="See pybible-ctl pki status.")
        needed = sorted({record.identity.id for record in found.holders} | self._attached_with(serial))
        if needed and not force:
            more = f" and {len(needed) - _NAMED} more" if len(needed) > _NAMED else ""
            raise UsageError(
                f"{len(needed)} holders have nothing newer than its certificates: {', '.join(needed[:_NAMED])}{more}",
                hint="Wait until they have renewed or expired, or shut them out with --force.",
            )
        moment = self._now()
        await self._database.write(lambda connection: certificates.revoke_issued_by(connection, serial, moment))
        out = self._allowed.revoke_issued_by(serial)
        for identity in out:
            if identity.role is Role.AGENT:
                self._sessions.remove(identity.id)
        self.authority.forget(serial)
        log.warning("an issuing authority was retired", extra=fields(serial=f"{serial:x}", shut_out=len(out)))
        return out

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep everything fresh while the block runs."""
        async with beside(self._run(), name="certificates"):
            yield

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            try:
                await self._renew_own()
            except (PybibleError, OSError) as error:
                log.error("the controller's own certificates were not renewed", extra=fields(error=str(error)))
            self._ask_some()
            if self._outdated:
                await asyncio.sleep(_ROUND)
                continue
            try:
                async with asyncio.timeout(self._due()):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _due(self) -> float:
        """Return in how many seconds to look again."""
        own = (self.authority.issuing, self.authority.server_certificate)
        left = min(renewal_of(each).timestamp() - self._now() for each in own)
        # What could not be renewed is tried again after a while.
        return min(_LOOK, left if left > 0 else _AGAIN)

    async def _renew_own(self) -> None:
        moment, authority = self._now(), self.authority
        if moment >= renewal_of(authority.issuing).timestamp():
            if authority.has_root_key:
                await self.rotate()
                self._by_itself(authority.issuing.serial_number)
            elif moment - self._warned >= _LOOK:
                self._warned = moment
                for warning in self.warnings():
                    log.warning("the authority needs an operator", extra=fields(warning=warning))
        server = authority.server_certificate.not_valid_after_utc
        # It ends with its authority at the latest: then only another authority helps.
        if moment >= renewal_of(authority.server_certificate).timestamp() and (
            server < authority.issuing.not_valid_after_utc
        ):
            await asyncio.to_thread(authority.renew_server)
            log.info("the certificate of the ports was renewed")

    def _ask_some(self) -> None:
        """Ask some agents to renew, the ones that have waited longest first."""
        current = self.authority.issuing.serial_number
        for agent_id, tried in list(self._outdated.items())[:_AGENTS_A_ROUND]:
            del self._outdated[agent_id]
            newest = self._allowed.newest(Identity(Role.AGENT, agent_id))
            if newest is None or (newest.issuer == current and self._came_with.get(agent_id) == current):
                continue
            if not self._sessions.ask_to_renew(agent_id) and tried < _ROUNDS:
                self._outdated[agent_id] = tried + 1

    def _attached_with(self, serial: int) -> set[str]:
        return {each for each in self._sessions.attached_ids() if self._came_with.get(each) == serial}
