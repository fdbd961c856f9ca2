"""keys: a fresh key and its certificate request. Imported only to enrol and to renew: cryptography is large."""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from pybible.wire.errors import ProtocolError
from pybible.wire.identity import Identity, Role, certificate_identity


def load_private_key(pem: bytes) -> PrivateKeyTypes:
    """Read a private key. ValueError when it is none, has a password, or is of a kind that nobody here knows."""
    try:
        return serialization.load_pem_private_key(pem, None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from error


def load_certificate(pem: bytes) -> x509.Certificate:
    """Read a certificate. ValueError when it is none, or its key is of a kind that nobody here knows."""
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        certificate.public_key()
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    return certificate


class NewKey:
    """A P-256 key that has no certificate yet. It never leaves this machine. `pem`: one that was made before."""

    def __init__(self, pem: bytes = b"") -> None:
        """Make one, or read it: ValueError when it is none."""
        key = load_private_key(pem) if pem else ec.generate_private_key(ec.SECP256R1())
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("not an EC key")
        self._key = key

    @property
    def pem(self) -> bytes:
        """The private key, PKCS 8."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the public key (SubjectPublicKeyInfo, DER), hex, as operators see it."""
        encoded = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return hashlib.sha256(encoded).hexdigest()

    def request(self) -> bytes:
        """Return a certificate request over it, PEM. It names nobody: the controller says who this is."""
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def check(self, certificate: bytes, authority: x509.Certificate, *, role: Role = Role.AGENT) -> Identity:
        """Return the identity in a certificate for this key. ProtocolError when it is not one of that role.

        `certificate`: with the chain to `authority`, which is not in it, PEM.
        """
        try:
            chain = x509.load_pem_x509_certificates(certificate)
            found = chain[0]
            for each, issuer in zip(chain, (*chain[1:], authority), strict=True):
                each.verify_directly_issued_by(issuer)
            public, identity = found.public_key(), certificate_identity(found)
        except Exception as error:  # whatever a parser of foreign bytes may raise
            raise ProtocolError("the controller's answer is not a certificate of its authority") from error
        if public != self._key.public_key() or identity is None:
            raise ProtocolError("the controller's answer is not a certificate for this key")
        if identity.role is not role:
            raise ProtocolError(f"the controller gave a certificate of an {identity.role}, not of an {role}")
        return identity
