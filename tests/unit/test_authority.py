"""test_authority: the CA's files, and what it certifies."""

from __future__ import annotations

import base64
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from pybible.server.controller.pki import authority as authority_module
from pybible.server.controller.pki.authority import RootKeyMissing, load_root, open_authority, sign_issuing
from pybible.server.controller.pki.signing import (
    REQUEST_BYTES,
    CertificateRequestRefused,
    certificate_pem,
    certify_issuing,
    certify_server,
    load_key,
    load_request,
    request_for,
)
from pybible.wire.errors import ConfigError
from pybible.wire.identity import CONTROLLER_NAME, Identity, Role, certificate_identity
from tests.support.controller import key_and_request

AGENT = Identity(Role.AGENT, "0b6f0f5e-5b8a-4d2b-9f0e-1f1d5f5a2c11")


KEYS = ("root.key", "issuing.pem", "server.pem")


def public_key() -> ec.EllipticCurvePublicKey:
    return ec.generate_private_key(ec.SECP256R1()).public_key()


def path_length(certificate: x509.Certificate) -> int | None:
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert constraints.ca == (constraints.path_length is not None)
    return constraints.path_length


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_authority_is_for_its_owner_only(tmp_path: Path) -> None:
    open_authority(tmp_path / "pki")
    assert mode(tmp_path / "pki") == 0o700
    assert {path.name: mode(path) for path in (tmp_path / "pki").iterdir()} == {
        "root.key": 0o600,
        "root.pem": 0o600,
        "issuing.pem": 0o600,
        "server.pem": 0o600,
    }


def test_an_authority_is_the_same_after_a_restart(tmp_path: Path) -> None:
    first, second = open_authority(tmp_path), open_authority(tmp_path)
    assert (first.pin, first.certificate_pem, first.issuing, first.server) == (
        *(second.pin, second.certificate_pem, second.issuing, second.server),
    )


def test_the_root_signs_the_issuing_authority_and_that_one_all_else(tmp_path: Path) -> None:
    authority = open_authority(tmp_path)
    issued = authority.issue(AGENT, public_key(), timedelta(days=7))
    for chain in (issued.pem, authority.server.certificate):
        leaf, issuing = x509.load_pem_x509_certificates(chain)
        leaf.verify_directly_issued_by(issuing)
        issuing.verify_directly_issued_by(authority.root)
        assert issuing == authority.issuing
        assert path_length(leaf) is None
    assert path_length(authority.root) == 1
    assert path_length(authority.issuing) == 0
    assert issued.issuer == authority.issuing.serial_number
    assert issued.fingerprint == x509.load_pem_x509_certificate(issued.pem).fingerprint(hashes.SHA256()).hex()
    assert authority.issuing.not_valid_after_utc < authority.root.not_valid_after_utc


def test_the_roots_key_may_be_elsewhere(tmp_path: Path) -> None:
    first = open_authority(tmp_path)
    (tmp_path / "root.key").unlink()
    second = open_authority(tmp_path)
    assert (second.pin, second.server) == (first.pin, first.server)
    assert not second.has_root_key
    second.issue(AGENT, public_key(), timedelta(days=7))
    with pytest.raises(RootKeyMissing, match=r"needs the root's key, which is not in .*root\.key"):
        second.rotate()
    assert second.former() == []


def test_a_first_start_that_was_cut_short_is_finished_by_the_next(tmp_path: Path) -> None:
    first = open_authority(tmp_path)
    for name in ("root.pem", "issuing.pem", "server.pem"):
        (tmp_path / name).unlink()
    second = open_authority(tmp_path)
    assert second.pin == first.pin
    # What the first one certified still verifies.
    first.issuing.verify_directly_issued_by(second.root)


@pytest.mark.parametrize(
    ("gone", "why"),
    [
        (("root.pem",), "root.pem is missing, although there is an issuing authority"),
        (("root.key", "issuing.pem"), "issuing.pem is missing, and so is the root's key"),
    ],
)
def test_what_can_not_be_made_again_is_an_error(tmp_path: Path, gone: tuple[str, ...], why: str) -> None:
    open_authority(tmp_path)
    for name in gone:
        (tmp_path / name).unlink()
    with pytest.raises(ConfigError, match=why):
        open_authority(tmp_path)


def test_an_authority_of_an_earlier_version_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "ca.key").write_bytes(b"whatever")
    with pytest.raises(ConfigError, match=r"ca\.key is of an earlier pybible"):
        open_authority(tmp_path)


def test_a_rotation_makes_another_issuing_authority_of_the_same_root(tmp_path: Path) -> None:
    authority = open_authority(tmp_path)
    before, shown = authority.issuing, authority.server
    authority.rotate()
    assert authority.issuing != before
    assert authority.server != shown
    assert authority.former() == [before]
    after = open_authority(tmp_path)
    assert (after.pin, after.issuing, after.server) == (authority.pin, authority.issuing, authority.server)
    # The key of the old one is gone: nothing is to be signed with it.
    keys = [path.name for path in tmp_path.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert sorted(keys) == ["issuing.pem", "root.key", "server.pem"]
    after.forget(before.serial_number)
    assert after.former() == []


def test_a_rotation_may_be_signed_where_the_roots_key_is(tmp_path: Path) -> None:
    authority = open_authority(tmp_path / "pki")
    key_file = (tmp_path / "pki" / "root.key").rename(tmp_path / "root.key")
    signed = sign_issuing(authority.request_issuing(), key_file=key_file, root_pem=authority.certificate_pem)
    authority.rotate(signed)
    assert authority.issuing == x509.load_pem_x509_certificate(signed)
    assert len(authority.former()) == 1
    with pytest.raises(CertificateRequestRefused, match="no certificate was asked for"):
        authority.rotate(signed)


def test_only_what_the_root_made_of_the_last_request_is_taken(tmp_path: Path) -> None:
    authority, other = open_authority(tmp_path / "one"), open_authority(tmp_path / "two")
    pem, key_file = authority.certificate_pem, tmp_path / "one" / "root.key"
    earlier = sign_issuing(authority.request_issuing(), key_file=key_file, root_pem=pem)
    request = authority.request_issuing()
    key = load_request(request)
    foreign = sign_issuing(request, key_file=tmp_path / "two" / "root.key", root_pem=other.certificate_pem)
    root = load_root(key_file, authority.root)
    expired = certificate_pem(certify_issuing(root, key, timedelta(seconds=-60)))
    server = certificate_pem(certify_server(root, key, timedelta(days=1)))
    for given, why in (
        (earlier, "not over the key"),
        (foreign, "was not made with this controller's root key"),
        (expired, "has expired"),
        (server, "not one of an issuing authority"),
        (b"garbage", "not a certificate"),
    ):
        with pytest.raises(CertificateRequestRefused, match=why):
            authority.rotate(given)
    with pytest.raises(ConfigError, match="is not the key of this controller's root"):
        sign_issuing(request, key_file=tmp_path / "two" / "root.key", root_pem=pem)


def test_an_issuing_authority_that_has_expired_does_not_keep_the_controller_from_starting(tmp_path: Path) -> None:
    authority = open_authority(tmp_path, issuing_lifetime=timedelta(seconds=-3600))
    again = open_authority(tmp_path)
    assert again.issuing == authority.issuing
    again.rotate()
    assert again.issuing.not_valid_after_utc > datetime.now(UTC)


def test_the_servers_certificate_carries_the_name_that_clients_ask_for(tmp_path: Path) -> None:
    certificate = open_authority(tmp_path).server_certificate
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [CONTROLLER_NAME]
    assert certificate_identity(certificate) == Identity(Role.CONTROLLER, "main")


def test_a_server_certificate_near_its_end_is_renewed_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority_module, "SERVER_LIFETIME", timedelta(seconds=60))
    monkeypatch.setattr(authority_module, "_RENEWED_WITH", 1.0)
    old = open_authority(tmp_path).server
    new = open_authority(tmp_path).server
    assert new.certificate != old.certificate
    monkeypatch.undo()
    kept = open_authority(tmp_path).server
    assert open_authority(tmp_path).server == kept


@pytest.mark.parametrize("name", KEYS)
def test_a_key_that_others_may_open_is_refused(tmp_path: Path, name: str) -> None:
    open_authority(tmp_path)
    (tmp_path / name).chmod(0o640)
    with pytest.raises(ConfigError, match=rf"{name} holds a key and is not its owner's alone \(mode 0640\)") as caught:
        open_authority(tmp_path)
    assert caught.value.hint == f"If nobody else has read it: chmod 600 {tmp_path / name}"


def test_keys_of_another_user_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_authority(tmp_path)
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(
        ConfigError, match=rf"belongs to another user \(uid {owner}, this is uid {owner + 1}\)"
    ) as caught:
        open_authority(tmp_path)
    assert "chown" in (caught.value.hint or "")


def test_a_key_of_another_authority_is_refused(tmp_path: Path) -> None:
    open_authority(tmp_path / "one")
    open_authority(tmp_path / "two")
    (tmp_path / "one" / "root.key").replace(tmp_path / "two" / "root.key")
    with pytest.raises(ConfigError, match="is not the key of"):
        open_authority(tmp_path / "two")
    (tmp_path / "two" / "root.key").unlink()
    (tmp_path / "one" / "issuing.pem").replace(tmp_path / "two" / "issuing.pem")
    with pytest.raises(ConfigError, match="was not made with this controller's root key"):
        open_authority(tmp_path / "two")


@pytest.mark.parametrize("name", [*KEYS, "root.pem"])
def test_a_file_that_is_garbage_is_an_error_and_not_replaced(tmp_path: Path, name: str) -> None:
    open_authority(tmp_path)
    (tmp_path / name).write_bytes(b"garbage")
    with pytest.raises(ConfigError, match=r"can't be read|is not"):
        open_authority(tmp_path)
    assert (tmp_path / name).read_bytes() == b"garbage"


@pytest.mark.parametrize(
    ("name", "kind", "known", "unknown"),
    [
        # The names of the algorithm and of the curve, as every such key has them: others that nobody uses.
        ("root.pem", "CERTIFICATE", "06072a8648ce3d0201", "06072a8648ce2c0201"),
        ("issuing.pem", "CERTIFICATE", "06082a8648ce3d030107", "06082a8648ce3d030177"),
        ("issuing.pem", "PRIVATE KEY", "06082a8648ce3d030107", "06082a8648ce3d030177"),
        ("server.pem", "PRIVATE KEY", "06082a8648ce3d030107", "06082a8648ce3d030177"),
        ("root.key", "PRIVATE KEY", "06082a8648ce3d030107", "06082a8648ce3d030177"),
    ],
)
def test_a_key_of_no_known_kind_is_an_error(tmp_path: Path, name: str, kind: str, known: str, unknown: str) -> None:
    open_authority(tmp_path)
    file = tmp_path / name
    before, begin, rest = file.read_text().partition(f"-----BEGIN {kind}-----\n")
    body, end, after = rest.partition(f"-----END {kind}-----\n")
    odd = base64.b64decode(body).replace(bytes.fromhex(known), bytes.fromhex(unknown))
    file.write_text(before + begin + base64.encodebytes(odd).decode() + end + after)
    with pytest.raises(ConfigError, match=rf"{name}.*(Unknown|not supported)"):
        open_authority(tmp_path)


def test_a_certificate_is_over_the_key_of_the_request_and_no_authoritys(tmp_path: Path) -> None:
    key = load_key(key_and_request()[0])
    public = load_request(request_for(key))
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
    end = authority.issuing.not_valid_after_utc
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
        (b"x" * (REQUEST_BYTES + 1), "larger than"),
        (signed_by(rsa.generate_private_key(public_exponent=65537, key_size=2048)), "must be over an EC P-256"),
        (signed_by(ed25519.Ed25519PrivateKey.generate()), "must be over an EC P-256"),
        (with_another_signature(), "not signed with its own key"),
    ],
    ids=["empty", "not DER", "too large", "RSA", "Ed25519", "another signature"],
)
def test_a_request_that_can_not_be_certified_is_refused(pem: bytes, why: str) -> None:
    with pytest.raises(CertificateRequestRefused, match=why):
        load_request(pem)
