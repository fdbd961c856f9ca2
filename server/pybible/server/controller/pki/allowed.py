"""allowed: the serial numbers that are let in, in memory: every call asks, and the store is not asked for each."""

from __future__ import annotations

from collections.abc import Iterable

from pybible.server.controller.store.certificates import CertificateRecord
from pybible.wire.identity import Identity, Role


class AllowedSerials:
    """The live certificates. Loaded from the store at start; issuing and revoking change both."""

    def __init__(self, records: Iterable[CertificateRecord] = ()) -> None:
        self._records: dict[int, CertificateRecord] = {}
        self._serials: dict[Identity, set[int]] = {}
        for record in records:
            self.allow(record)

    def allow(self, record: CertificateRecord) -> None:
        """Let a certificate in, once its row is durable. Those of the same identity that expired before it go."""
        serials = self._serials.setdefault(record.identity, set())
        for serial in [serial for serial in serials if self._records[serial].expires < record.issued]:
            serials.discard(serial)
            del self._records[serial]
        self._records[record.serial] = record
        serials.add(record.serial)

    def revoke(self, identity: Identity) -> None:
        """Let no certificate of `identity` in any more."""
        for serial in self._serials.pop(identity, ()):
            del self._records[serial]

    def find(self, serial: int) -> CertificateRecord | None:
        """Return the certificate of that serial number, None unless it is allowed."""
        return self._records.get(serial)

    def of_role(self, role: Role) -> list[CertificateRecord]:
        """Return the live certificates of a role, by their holders' ids."""
        found = [record for record in self._records.values() if record.identity.role is role]
        return sorted(found, key=lambda record: (record.identity.id, record.issued))

    def expiry(self, identity: Identity) -> float | None:
        """Return when the last certificate of `identity` expires (seconds since the epoch), None without one."""
        return max((self._records[serial].expires for serial in self._serials.get(identity, ())), default=None)
