"""authority: the controller's certificate authority and its own certificate, as files in the state folder.

`ca.key`, `ca.pem`, `server.key`, `server.pem`. The keys are for their owner's eyes only; a folder in which they are not
is refused, because nobody can say who has read them.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pybible.wire.errors import ConfigError
from pybible.wire.identity import CONTROLLER_NAME, Identity, Role, public_key_pin

AUTHORITY_LIFETIME = timedelta(days=3650)
SERVER_LIFETIME = timedelta(days=1825)
SERVER_RENEWAL = timedelta(days=365)
# Clocks of hosts differ: a certificate is valid from a little before now.
CLOCK_SKEW = timedelta(minutes=10)
CSR_BYTES = 16 * 1024


class CertificateRequestRefused(ValueError):
    """A certificate request can't be used; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate that was just made. Moments in seconds since the epoch."""

    identity: Identity
    serial: int
    pem: bytes
    issued: float
    expires: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A private key and its certificate, PEM."""

    key: bytes
    certificate: bytes


class Authority:
    """The CA of one controller."""

    def __init__(self, *, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, server: KeyPair) -> None:
        self._key = key
        self._certificate = certificate
        self.server = server
        self.certificate_pem = certificate.public_bytes(serialization.Encoding.PEM)
        self.pin = public_key_pin(certificate)

    def issue(
        self, identity: Identity, key: ec.EllipticCurvePublicKey, lifetime: timedelta, *, unit: str = ""
    ) -> Issued:
        """Certify that `key` speaks for `identity`, for clients of this controller only. `unit`: an operator's role."""
        now = datetime.now(UTC).replace(microsecond=0)
        # Nothing outlives its authority: such a certificate would be refused with a riddle.
        expires = min(now + lifetime, self._certificate.not_valid_after_utc)
        certificate = _sign(
            _builder(f"{identity.role} {identity.id}"[:64], now - CLOCK_SKEW, expires, unit=unit)
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity.uri)]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False),
            issuer_key=self._key,
        )
        return Issued(
            identity=identity,
            serial=certificate.serial_number,
            pem=certificate.public_bytes(serialization.Encoding.PEM),
            issued=now.timestamp(),
            expires=expires.timestamp(),
        )


def load_request(pem: bytes) -> ec.EllipticCurvePublicKey:
    """Return the public key of a certificate request (PEM): the only thing in it that counts.

    Raises CertificateRequestRefused for one that is too large, not signed with its own key, or over a key that is not
    EC P-256 (gRPC's TLS takes no Ed25519 certificates).
    """
    if len(pem) > CSR_BYTES:
        raise CertificateRequestRefused(f"the certificate request is larger than {CSR_BYTES} bytes")
    try:
        request = x509.load_pem_x509_csr(pem)
        key = request.public_key()
        valid = request.is_signature_valid
    except Exception as error:  # whatever a parser of foreign bytes may raise
        raise CertificateRequestRefused("that is not a certificate request") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CertificateRequestRefused("the certificate request must be over an EC P-256 key")
    if not valid:
        raise CertificateRequestRefused("the certificate request is not signed with its own key")
    return key


def open_authority(folder: Path) -> Authority:
    """Load the CA in `folder`, or create it there; renew the server's certificate when it is near its end.

    ConfigError when the files can't be used.
    """
    try:
        if not (folder / "ca.pem").exists():
            _create(folder)
        key = _read_key(folder / "ca.key")
        certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        if key.public_key() != certificate.public_key():
            raise ConfigError(f"{folder / 'ca.key'} is not the key of {folder / 'ca.pem'}")
        return Authority(key=key, certificate=certificate, server=_server(folder, key=key, certificate=certificate))
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"the certificate authority in {folder} can't be read: {error}") from error


def _server(folder: Path, *, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> KeyPair:
    """Return the controller's own key and certificate, made anew when missing, foreign or near their end."""
    key_file, certificate_file = folder / "server.key", folder / "server.pem"
    if key_file.exists() and certificate_file.exists():
        present = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        fresh = present.not_valid_after_utc - datetime.now(UTC) > SERVER_RENEWAL
        ours = present.issuer == certificate.subject and present.public_key() == _read_key(key_file).public_key()
        if fresh and ours:
            return KeyPair(key=key_file.read_bytes(), certificate=certificate_file.read_bytes())
    server_key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    issued = _sign(
        _builder(CONTROLLER_NAME, now - CLOCK_SKEW, min(now + SERVER_LIFETIME, certificate.not_valid_after_utc))
        .issuer_name(certificate.subject)
        .public_key(server_key.public_key())
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    x509.DNSName(CONTROLLER_NAME),
                    x509.UniformResourceIdentifier(Identity(Role.CONTROLLER, "main").uri),
                ]
            ),
            critical=False,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False),
        issuer_key=key,
    )
    pair = KeyPair(key=_key_pem(server_key), certificate=issued.public_bytes(serialization.Encoding.PEM))
    write_private(key_file, pair.key)
    write_private(certificate_file, pair.certificate)
    return pair


def _create(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key_file = folder / "ca.key"
    if not key_file.exists():
        write_private(key_file, _key_pem(ec.generate_private_key(ec.SECP256R1())))
    key = _read_key(key_file)
    # The name follows from the key: a start that was cut short between the two files, or a lost ca.pem, gives the same
    # authority again.
    name = f"pybible CA {x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()}"
    now = datetime.now(UTC)
    certificate = (
        _builder(name, now - CLOCK_SKEW, now + AUTHORITY_LIFETIME, authority=True)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .public_key(key.public_key())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(folder / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM))


def _builder(
    name: str, start: datetime, end: datetime, *, authority: bool = False, unit: str = ""
) -> x509.CertificateBuilder:
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if unit:
        subject.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name(subject))
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=authority,
                crl_sign=authority,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )


def _sign(builder: x509.CertificateBuilder, *, issuer_key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return builder.add_extension(identifier, critical=False).sign(issuer_key, hashes.SHA256())


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise ConfigError(
            f"{path} may be read by others (mode {mode:04o})",
            hint=f"If nobody else has read it: chmod 600 {path}",
        )
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(f"{path} is not an EC key")
    return key


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    scratch = path.with_name(f".{path.name}.new")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
