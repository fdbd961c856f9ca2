"""authority: the controller's certificate authority and its own certificate, as files in the state folder.

`root.pem` is what the fleet trusts; `root.key` may be taken away, and is needed only for a new issuing authority.
`issuing.pem` and `server.pem` each hold a key and its certificate in one file, so that neither comes without the other.
`former/` has the certificates of issuing authorities that were replaced, without their keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pybible.server.controller.pki import signing
from pybible.server.controller.pki.signing import CertifiedKey
from pybible.wire.errors import ConfigError, UsageError
from pybible.wire.identity import Identity, public_key_pin
from pybible.wire.keys import load_certificate
from pybible.wire.private import read_private, write_private

_T = TypeVar("_T")
ROOT_LIFETIME = timedelta(days=7300)
ISSUING_LIFETIME = timedelta(days=730)
SERVER_LIFETIME = timedelta(days=365)
# What part of its life a certificate of the controller's own has left when it is to be replaced.
_RENEWED_WITH = 1 / 3
_OF_EARLIER_VERSIONS = ("ca.key", "ca.pem")


class RootKeyMissing(UsageError):
    """What was asked for needs the root's key, which is not here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate that was just made, and the chain below the root that goes with it (PEM).

    `fingerprint`: SHA-256 of the certificate (DER), hex. `issuer`: the serial number of its issuing authority. Moments
    in seconds since the epoch.
    """

    identity: Identity
    serial: int
    fingerprint: str
    issuer: int
    pem: bytes
    issued: float
    expires: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A private key, and its certificate with the one of its authority. PEM."""

    key: bytes
    certificate: bytes


class Authority:
    """The authority of one controller."""

    def __init__(self, folder: Path, *, root: x509.Certificate, issuing: CertifiedKey, server: CertifiedKey) -> None:
        self._folder = folder
        self._root = root
        self._issuing = issuing
        self._server = server
        self._pending: ec.EllipticCurvePrivateKey | None = None
        self.server = _shown(server, issuing)
        self.certificate_pem = signing.certificate_pem(root)
        self.pin = public_key_pin(root)

    @property
    def root(self) -> x509.Certificate:
        """What the fleet trusts."""
        return self._root

    @property
    def root_key_file(self) -> Path:
        """Where the root's key is, if it was not taken away."""
        return self._folder / "root.key"

    @property
    def has_root_key(self) -> bool:
        """Whether a new issuing authority can be made here."""
        return self.root_key_file.exists()

    @property
    def issuing(self) -> x509.Certificate:
        """The certificate of the authority that signs now."""
        return self._issuing.certificate

    @property
    def server_certificate(self) -> x509.Certificate:
        """The certificate that the ports show."""
        return self._server.certificate

    def former(self) -> list[x509.Certificate]:
        """Return the issuing authorities that were replaced and not retired, the oldest first."""
        found = [_loaded(load_certificate, path, path.read_bytes()) for path in (self._folder / "former").glob("*.pem")]
        # A rotation that was cut short may have left the one that signs.
        replaced = [each for each in found if each.serial_number != self.issuing.serial_number]
        return sorted(replaced, key=lambda each: each.not_valid_before_utc)

    def issue(
        self, identity: Identity, key: ec.EllipticCurvePublicKey, lifetime: timedelta, *, unit: str = ""
    ) -> Issued:
        """Certify that `key` speaks for `identity`, for clients of this controller only. `unit`: an operator's role."""
        # One look: it may be another in the next moment, on another thread.
        issuing = self._issuing
        certificate = signing.certify_holder(issuing, identity, key, lifetime, unit=unit)
        encoded = certificate.public_bytes(serialization.Encoding.DER)
        return Issued(
            identity=identity,
            serial=certificate.serial_number,
            fingerprint=hashlib.sha256(encoded).hexdigest(),
            issuer=issuing.certificate.serial_number,
            pem=signing.certificate_pem(certificate) + signing.certificate_pem(issuing.certificate),
            issued=(certificate.not_valid_before_utc + signing.CLOCK_SKEW).timestamp(),
            expires=certificate.not_valid_after_utc.timestamp(),
        )

    def request_issuing(self) -> bytes:
        """Return a certificate request (PEM) for the next issuing authority, to be signed where the root's key is."""
        self._pending = signing.new_key()
        return signing.request_for(self._pending)

    def rotate(self, certificate: bytes = b"", *, lifetime: timedelta = ISSUING_LIFETIME) -> None:
        """Take a new issuing authority, and make a new certificate for the ports with it.

        `certificate`: what the root made of the last request (PEM). Without one the root's key must be here:
        RootKeyMissing. CertificateRequestRefused for one that is not of this root, or not over that request.
        """
        issuing = self._asked_for(certificate) if certificate else _new_issuing(self._folder, self._root, lifetime)
        self._pending = None
        former = self._issuing.certificate
        (self._folder / "former").mkdir(mode=0o700, exist_ok=True)
        write_private(self._former_file(former.serial_number), signing.certificate_pem(former))
        # From here on a start finds the new one. The old key is gone: nobody is to sign with it any more.
        _write_pair(self._folder / "issuing.pem", issuing)
        self._issuing = issuing
        self.renew_server()

    def renew_server(self) -> None:
        """Make a new key and certificate for the ports."""
        self._server = _new_server(self._folder, self._issuing)
        self.server = _shown(self._server, self._issuing)

    def forget(self, serial: int) -> None:
        """Drop an issuing authority that was replaced."""
        self._former_file(serial).unlink(missing_ok=True)

    def _former_file(self, serial: int) -> Path:
        return self._folder / "former" / f"{serial:x}.pem"

    def _asked_for(self, pem: bytes) -> CertifiedKey:
        if self._pending is None:
            raise signing.CertificateRequestRefused("no certificate was asked for, or the controller was started anew")
        try:
            certificate = load_certificate(pem)
        except ValueError as error:
            raise signing.CertificateRequestRefused("that is not a certificate") from error
        signing.check_issuing(certificate, self._pending.public_key(), root=self._root)
        if certificate.not_valid_after_utc <= datetime.now(UTC):
            raise signing.CertificateRequestRefused("the certificate has expired")
        return CertifiedKey(key=self._pending, certificate=certificate)


def renewal_of(certificate: x509.Certificate) -> datetime:
    """Return when a certificate of the controller's own is to be replaced."""
    begins, ends = certificate.not_valid_before_utc + signing.CLOCK_SKEW, certificate.not_valid_after_utc
    return ends - (ends - begins) * _RENEWED_WITH


def open_authority(folder: Path, *, issuing_lifetime: timedelta = ISSUING_LIFETIME) -> Authority:
    """Load the authority in `folder`, or create it there; renew the server's certificate when it is near its end.

    ConfigError when the files can't be used.
    """
    for name in _OF_EARLIER_VERSIONS:
        if (folder / name).exists():
            raise ConfigError(
                f"{folder / name} is of an earlier pybible, whose authority was made otherwise",
                hint=f"Move {folder} away and enrol the hosts anew: the fleet gets a new authority.",
            )
    try:
        root = _root(folder)
        issuing = _issuing(folder, root, issuing_lifetime)
        return Authority(folder, root=root, issuing=issuing, server=_server(folder, issuing))
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"the certificate authority in {folder} can't be read: {error}") from error


def load_root(key_file: Path, root: x509.Certificate) -> CertifiedKey:
    """Read the root's key. RootKeyMissing when it is not there, ConfigError when it is not the root's."""
    try:
        key = signing.load_key(read_private(key_file))
    except FileNotFoundError as error:
        raise RootKeyMissing(
            f"a new issuing authority needs the root's key, which is not in {key_file}",
            hint="Give it with --root-key FILE: it is used where you are, and not sent to the controller.",
        ) from error
    except ValueError as error:
        raise ConfigError(f"{key_file} can't be read: {error}") from error
    except OSError as error:
        raise ConfigError(f"{key_file}: {error.strerror}") from error
    if key.public_key() != root.public_key():
        raise ConfigError(f"{key_file} is not the key of this controller's root")
    return CertifiedKey(key=key, certificate=root)


def sign_issuing(request: bytes, *, key_file: Path, root_pem: bytes, lifetime: timedelta = ISSUING_LIFETIME) -> bytes:
    """Return the certificate (PEM) that the root's key makes of a request for an issuing authority."""
    root = load_root(key_file, x509.load_pem_x509_certificate(root_pem))
    return signing.certificate_pem(signing.certify_issuing(root, signing.load_request(request), lifetime))


def _root(folder: Path) -> x509.Certificate:
    key_file, file = folder / "root.key", folder / "root.pem"
    if not file.exists():
        if (folder / "issuing.pem").exists():
            raise ConfigError(
                f"{file} is missing, although there is an issuing authority",
                hint="Put it back from a backup; any agent has it as ca.crt.",
            )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not key_file.exists():
            write_private(key_file, signing.key_pem(signing.new_key()))
        write_private(
            file, signing.certificate_pem(signing.certify_root(signing.load_key(read_private(key_file)), ROOT_LIFETIME))
        )
    root = _loaded(load_certificate, file, file.read_bytes())
    if key_file.exists():
        load_root(key_file, root)
    return root


def _issuing(folder: Path, root: x509.Certificate, lifetime: timedelta) -> CertifiedKey:
    file = folder / "issuing.pem"
    if not file.exists():
        if not (folder / "root.key").exists():
            raise ConfigError(
                f"{file} is missing, and so is the root's key, with which a new one could be made",
                hint=f"Put {file.name} back from a backup, or root.key for this one start.",
            )
        issuing = _new_issuing(folder, root, lifetime)
        _write_pair(file, issuing)
        return issuing
    issuing = _read_pair(file)
    try:
        signing.check_issuing(issuing.certificate, issuing.key.public_key(), root=root)
    except signing.CertificateRequestRefused as error:
        raise ConfigError(f"{file} can't be used: {error}", hint="A new one: pybible-ctl pki rotate.") from error
    return issuing


def _new_issuing(folder: Path, root: x509.Certificate, lifetime: timedelta) -> CertifiedKey:
    signer = load_root(folder / "root.key", root)
    key = signing.new_key()
    return CertifiedKey(key=key, certificate=signing.certify_issuing(signer, key.public_key(), lifetime))


def _server(folder: Path, issuing: CertifiedKey) -> CertifiedKey:
    """Return the controller's own key and certificate, made anew when missing, foreign or near their end."""
    file = folder / "server.pem"
    if file.exists():
        present = _read_pair(file)
        ours = present.certificate.issuer == issuing.certificate.subject
        if ours and datetime.now(UTC) < renewal_of(present.certificate):
            return present
    return _new_server(folder, issuing)


def _new_server(folder: Path, issuing: CertifiedKey) -> CertifiedKey:
    key = signing.new_key()
    server = CertifiedKey(key=key, certificate=signing.certify_server(issuing, key.public_key(), SERVER_LIFETIME))
    _write_pair(folder / "server.pem", server)
    return server


def _shown(server: CertifiedKey, issuing: CertifiedKey) -> KeyPair:
    chain: Sequence[x509.Certificate] = (server.certificate, issuing.certificate)
    return KeyPair(key=signing.key_pem(server.key), certificate=b"".join(map(signing.certificate_pem, chain)))


def _write_pair(path: Path, pair: CertifiedKey) -> None:
    write_private(path, signing.key_pem(pair.key) + signing.certificate_pem(pair.certificate))


def _read_pair(path: Path) -> CertifiedKey:
    content = read_private(path)
    key, certificate = _loaded(signing.load_key, path, content), _loaded(load_certificate, path, content)
    pair = CertifiedKey(key=key, certificate=certificate)
    if pair.key.public_key() != pair.certificate.public_key():
        raise ConfigError(f"the key and the certificate in {path} are not of each other")
    return pair


def _loaded(load: Callable[[bytes], _T], path: Path, content: bytes) -> _T:
    """Return what a file holds. ValueError, with the file's name, when it is not that."""
    try:
        return load(content)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
