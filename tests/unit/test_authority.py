"""test_authority: the CA's files, and what it certifies."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from pybible.server.controller.pki import authority as authority_module
from pybible.server.controller.pki.authority import (
    CSR_BYTES,
    CertificateRequestRefused,
    load_request,
    open_authority,
)
from pybible.wire.errors import ConfigError
from pybible.wire.identity import CONTROLLER_NAME, Identity, Role, certificate_identity
from tests.support.controller import key_and_request

AGENT = Identity(Role.AGENT, "0b6f0f5e-5b8a-4d2b-9f0e-1f1d5f5a2c11")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_authority_is_for_its_owner_only(tmp_path: Path) -> None:
    open_authority(tmp_path / "pki")
    assert mode(tmp_path / "pki") == 0o700
    assert {path.name: mode(path) for path in (tmp_path / "pki").iterdir()} == {
        "ca.key": 0o600,
        "ca.pem": 0o600,
        "server.key": 0o600,
        "server.pem": 0o600,
    }


def test_an_authority_is_the_same_after_a_restart(tmp_path: Path) -> None:
    first, second = open_authority(tmp_path), open_authority(tmp_path)
    assert (first.pin, first.certificate_pem, first.server) == (second.pin, second.certificate_pem, second.server)


def test_a_first_start_that_was_cut_short_is_finished_by_the_next(tmp_path: Path) -> None:
    first = open_authority(tmp_path)
    for name in ("ca.pem", "server.pem"):
        (tmp_path / name).unlink()
    second = open_authority(tmp_path)
    assert second.pin == first.pin
    # What the first one certified still verifies.
    issued = first.issue(AGENT, ec.generate_private_key(ec.SECP256R1()).public_key(), timedelta(days=1))
    certificate = x509.load_pem_x509_certificate(issued.pem)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(second.certificate_pem))


def test_the_servers_certificate_carries_the_name_that_clients_ask_for(tmp_path: Path) -> None:
    certificate = x509.load_pem_x509_certificate(open_authority(tmp_path).server.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [CONTROLLER_NAME]
    assert certificate_identity(certificate) == Identity(Role.CONTROLLER, "main")


def test_a_server_certificate_near_its_end_is_renewed_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority_module, "SERVER_LIFETIME", timedelta(days=30))
    old = open_authority(tmp_path).server
    monkeypatch.undo()
    new = open_authority(tmp_path).server
    assert new.certificate != old.certificate
    assert open_authority(tmp_path).server == new


@pytest.mark.parametrize("name", ["ca.key", "server.key"])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, name: str) -> None:
    open_authority(tmp_path)
    (tmp_path / name).chmod(0o640)
    with pytest.raises(ConfigError, match=rf"{name} may be read by others \(mode 0640\)"):
        open_authority(tmp_path)


def test_a_key_of_another_authority_is_refused(tmp_path: Path) -> None:
    open_authority(tmp_path / "one")
    open_authority(tmp_path / "two")
    (tmp_path / "one" / "ca.key").replace(tmp_path / "two" / "ca.key")
    with pytest.raises(ConfigError, match="is not the key of"):
        open_authority(tmp_path / "two")


@pytest.mark.parametrize("name", ["ca.key", "ca.pem", "server.key", "server.pem"])
def test_a_file_that_is_garbage_is_an_error_and_not_replaced(tmp_path: Path, name: str) -> None:
    open_authority(tmp_path)
    (tmp_path / name).write_bytes(b"garbage")
    with pytest.raises(ConfigError, match=r"can't be read|is not"):
        open_authority(tmp_path)
    assert (tmp_path / name).read_bytes() == b"garbage"


def test_only_the_key_of_a_request_counts(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("pybible://operator/root")])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    public = load_request(request.public_bytes(serialization.Encoding.PEM))
    issued = open_authority(tmp_path).issue(AGENT, public, timedelta(days=7))
    certificate = x509.load_pem_x509_certificate(issued.pem)
    assert certificate_identity(certificate) == AGENT
    assert certificate.public_key() == key.public_key()
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not constraints.ca


def test_nothing_outlives_its_authority(tmp_path: Path) -> None:
    authority = open_authority(tmp_path)
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    issued = authority.issue(AGENT, key, timedelta(days=20 * 365))
    end = x509.load_pem_x509_certificate(authority.certificate_pem).not_valid_after_utc
    assert issued.expires == end.timestamp()


def signed_by(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    algorithm = hashes.SHA256() if isinstance(key, rsa.RSAPrivateKey) else None
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, algorithm)
    return request.public_bytes(serialization.Encoding.PEM)


def with_another_signature() -> bytes:
    request = x509.load_pem_x509_csr(key_and_request()[1])
    der = bytearray(request.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        (b"", "not a certificate request"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "not a certificate"),
        (b"x" * (CSR_BYTES + 1), "larger than"),
        (signed_by(rsa.generate_private_key(public_exponent=65537, key_size=2048)), "must be over an EC P-256"),
        (signed_by(ed25519.Ed25519PrivateKey.generate()), "must be over an EC P-256"),
        (with_another_signature(), "not signed with its own key"),
    ],
    ids=["empty", "not DER", "too large", "RSA", "Ed25519", "another signature"],
)
def test_a_request_that_can_not_be_certified_is_refused(pem: bytes, why: str) -> None:
    with pytest.raises(CertificateRequestRefused, match=why):
        load_request(pem)
