"""allowed: the certificates that are let in, in memory: every call asks, and the store is not asked for each."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterable

from pybible.server.controller.store.certificates import CertificateRecord
from pybible.wire.identity import Identity, Role


class AllowedCertificates:
    """The live certificates. Loaded from the store at start; issuing and revoking change both.

    What counts is the certificate itself, by its digest: a serial number can be copied by whoever has stolen the key of
    an issuing authority.
    """

    def __init__(self, records: Iterable[CertificateRecord] = ()) -> None:
        self._records: dict[str, CertificateRecord] = {}
        # In the order of their issue.
        self._held: dict[Identity, dict[str, None]] = {}
        for record in records:
            self.allow(record)

    def allow(self, record: CertificateRecord) -> None:
        """Let a certificate in, once its row is durable. Those of the same identity that expired before it go."""
        held = self._held.setdefault(record.identity, {})
        for expired in [each for each in held if self._records[each].expires < record.issued]:
            del held[expired]
            del self._records[expired]
        self._records[record.fingerprint] = record
        held[record.fingerprint] = None

    def revoke(self, identity: Identity) -> None:
        """Let no certificate of `identity` in any more."""
        for fingerprint in self._held.pop(identity, ()):
            del self._records[fingerprint]

    def revoke_issued_by(self, issuer: int) -> set[Identity]:
        """Let in nothing that the authority of that serial number signed. Return who has no certificate any more."""
        out = set()
        for record in [each for each in self._records.values() if each.issuer == issuer]:
            del self._records[record.fingerprint]
            held = self._held[record.identity]
            del held[record.fingerprint]
            if not held:
                del self._held[record.identity]
                out.add(record.identity)
        return out

    def find(self, pem: bytes) -> CertificateRecord | None:
        """Return what is known of a certificate (PEM) that a caller shows, None unless it is allowed.

        Nothing in it is read: this is asked for every call.
        """
        try:
            encoded = ssl.PEM_cert_to_DER_cert(pem.decode("ascii"))
        except ValueError:
            return None
        return self._records.get(hashlib.sha256(encoded).hexdigest())

    def of_role(self, role: Role) -> list[CertificateRecord]:
        """Return the live certificates of a role, by their holders' ids."""
        found = [record for record in self._records.values() if record.identity.role is role]
        return sorted(found, key=lambda record: (record.identity.id, record.issued))

    def hanging_on(self, issuer: int, *, moment: float) -> list[CertificateRecord]:
        """Return what the authority of that serial number signed, is good at `moment`, and is its holder's newest."""
        newest = (self.newest(identity) for identity in self._held)
        return [each for each in newest if each is not None and each.issuer == issuer and each.expires > moment]

    def newest(self, identity: Identity) -> CertificateRecord | None:
        """Return the certificate of `identity` that was issued last, None without one."""
        last = next(reversed(self._held.get(identity, {})), None)
        return self._records[last] if last is not None else None

    def expiry(self, identity: Identity) -> float | None:
        """Return when the last certificate of `identity` expires (seconds since the epoch), None without one."""
        held = self._held.get(identity)
        return max([self._records[each].expires for each in held]) if held else None
