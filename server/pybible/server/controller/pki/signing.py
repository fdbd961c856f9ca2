"""signing: the certificates of a controller's authority, as they are made: root, issuing authority, server, holders.

The root signs issuing authorities and nothing else; an issuing authority signs the server's certificate and those of
agents and operators, and no other authority (its path length is 0).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pybible.wire.identity import CONTROLLER_NAME, Identity, Role
from pybible.wire.keys import load_private_key

# Clocks of hosts differ: a certificate is valid from a little before now.
CLOCK_SKEW = timedelta(minutes=10)
REQUEST_BYTES = 16 * 1024


class CertificateRequestRefused(ValueError):
    """A certificate request, or a certificate that was made for one, can't be used; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifiedKey:
    """A private key and the certificate over it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new key. P-256: gRPC's TLS takes no Ed25519 certificates."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as PKCS 8."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Read a private key. ValueError when it is none, or of another kind."""
    key = load_private_key(pem)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("that is not an EC key")
    return key


def load_request(pem: bytes) -> ec.EllipticCurvePublicKey:
    """Return the public key of a certificate request (PEM): the only thing that may be in it.

    Raises CertificateRequestRefused for one that is too large, not signed with its own key, over a key that is not
    EC P-256, or that asks for anything: a name, or to be an authority.
    """
    if len(pem) > REQUEST_BYTES:
        raise CertificateRequestRefused(f"the certificate request is larger than {REQUEST_BYTES} bytes")
    try:
        request = x509.load_pem_x509_csr(pem)
        key = request.public_key()
        valid = request.is_signature_valid
        wishes = _wishes(request)
    except Exception as error:  # whatever a parser of foreign bytes may raise
        raise CertificateRequestRefused("that is not a certificate request") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CertificateRequestRefused("the certificate request must be over an EC P-256 key")
    if not valid:
        raise CertificateRequestRefused("the certificate request is not signed with its own key")
    if wishes:
        raise CertificateRequestRefused(
            f"the certificate request asks for {wishes}: it may hold a key and nothing else"
        )
    return key


def _wishes(request: x509.CertificateSigningRequest) -> str:
    """Return what a request asks for, empty when it is nothing. ValueError when that can't be read."""
    found = {type(extension.value): extension.value for extension in request.extensions}
    constraints, usage = found.get(x509.BasicConstraints), found.get(x509.KeyUsage)
    if (isinstance(constraints, x509.BasicConstraints) and constraints.ca) or (
        isinstance(usage, x509.KeyUsage) and (usage.key_cert_sign or usage.crl_sign)
    ):
        return "the certificate of an authority"
    if request.subject.rdns or x509.SubjectAlternativeName in found:
        return "a name"
    return "extensions" if found else ""


def request_for(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a certificate request over a key, PEM. It names nobody."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def certify_root(key: ec.EllipticCurvePrivateKey, lifetime: timedelta) -> x509.Certificate:
    """Return the certificate of a root, which it signs itself.

    Its name follows from the key: a lost certificate can be made again, and is the same authority.
    """
    name = _authority_name("root", key.public_key())
    now = _now()
    return (
        _builder(name, now - CLOCK_SKEW, now + lifetime, path_length=1)
        .issuer_name(name)
        .public_key(key.public_key())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def certify_issuing(root: CertifiedKey, key: ec.EllipticCurvePublicKey, lifetime: timedelta) -> x509.Certificate:
    """Return the certificate of an issuing authority."""
    now = _now()
    ends = min(now + lifetime, root.certificate.not_valid_after_utc)
    builder = _builder(_authority_name("issuing", key), now - CLOCK_SKEW, ends, path_length=0)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key)
    return _sign(builder.add_extension(identifier, critical=False), key, by=root)


def check_issuing(certificate: x509.Certificate, key: ec.EllipticCurvePublicKey, *, root: x509.Certificate) -> None:
    """Raise CertificateRequestRefused unless `certificate` makes an issuing authority of `key`, in the root's name."""
    try:
        certificate.verify_directly_issued_by(root)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
        raise CertificateRequestRefused("the certificate was not made with this controller's root key") from error
    if certificate.public_key() != key:
        raise CertificateRequestRefused("the certificate is not over the key that it was asked for")
    if not constraints.ca or constraints.path_length != 0:
        raise CertificateRequestRefused("the certificate is not one of an issuing authority")


def certify_server(issuing: CertifiedKey, key: ec.EllipticCurvePublicKey, lifetime: timedelta) -> x509.Certificate:
    """Return the certificate that the controller's ports show."""
    now = _now()
    names: list[x509.GeneralName] = [
        x509.DNSName(CONTROLLER_NAME),
        x509.UniformResourceIdentifier(Identity(Role.CONTROLLER, "main").uri),
    ]
    builder = (
        _builder(_name(CONTROLLER_NAME), now - CLOCK_SKEW, _within(issuing, now + lifetime))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    return _sign(builder, key, by=issuing)


def certify_holder(
    issuing: CertifiedKey, identity: Identity, key: ec.EllipticCurvePublicKey, lifetime: timedelta, *, unit: str = ""
) -> x509.Certificate:
    """Return a certificate with which `key` speaks for `identity`, as a client only. `unit`: an operator's role."""
    now = _now()
    name = _name(f"{identity.role} {identity.id}"[:64], unit=unit)
    names = [x509.UniformResourceIdentifier(identity.uri)]
    builder = (
        # Nothing outlives its authority: such a certificate would be refused with a riddle.
        _builder(name, now - CLOCK_SKEW, _within(issuing, now + lifetime))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )
    return _sign(builder, key, by=issuing)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _within(authority: CertifiedKey, end: datetime) -> datetime:
    return min(end, authority.certificate.not_valid_after_utc)


def _name(common: str, *, unit: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if unit:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    return x509.Name(attributes)


def _authority_name(kind: str, key: ec.EllipticCurvePublicKey) -> x509.Name:
    return _name(f"pybible {kind} {x509.SubjectKeyIdentifier.from_public_key(key).digest.hex()}")


def _builder(
    name: x509.Name, start: datetime, end: datetime, *, path_length: int | None = None
) -> x509.CertificateBuilder:
    """Begin a certificate. `path_length` is an authority's; None: it is none."""
    authority = path_length is not None
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .serial_number(x509.random_serial_number())
        # Of an authority that has expired nothing but what has expired can be had.
        .not_valid_before(min(start, end - CLOCK_SKEW))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=path_length), critical=True)
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


def _sign(builder: x509.CertificateBuilder, key: ec.EllipticCurvePublicKey, *, by: CertifiedKey) -> x509.Certificate:
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key())
    return (
        builder.issuer_name(by.certificate.subject)
        .public_key(key)
        .add_extension(identifier, critical=False)
        .sign(by.key, hashes.SHA256())
    )
