"""test_keys: a certificate is taken for a key only with a chain that ends at the authority which is trusted."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from pybible.server.controller.pki.authority import Authority, open_authority
from pybible.server.controller.pki.signing import certificate_pem, load_request
from pybible.wire.errors import ProtocolError
from pybible.wire.identity import Identity, Role
from pybible.wire.keys import NewKey

AGENT = Identity(Role.AGENT, "an-id")


def issued(authority: Authority, key: NewKey) -> bytes:
    """Return what the authority gives for the key's request, PEM."""
    return authority.issue(AGENT, load_request(key.request()), timedelta(days=7)).pem


def of_another_curve(chain: bytes) -> bytes:
    """Return a chain whose keys are on a curve that nobody knows."""
    found = [each.public_bytes(serialization.Encoding.DER) for each in x509.load_pem_x509_certificates(chain)]
    odd = [each.replace(bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d030177")) for each in found]
    return b"".join(
        b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(each) + b"-----END CERTIFICATE-----\n" for each in odd
    )


def test_the_chain_leads_to_the_root(tmp_path: Path) -> None:
    authority, key = open_authority(tmp_path), NewKey()
    assert key.check(issued(authority, key), authority.root) == AGENT
    authority.rotate()
    assert key.check(issued(authority, key), authority.root) == AGENT


def test_what_leads_elsewhere_or_nowhere_is_refused(tmp_path: Path) -> None:
    authority, other, key = open_authority(tmp_path / "one"), open_authority(tmp_path / "two"), NewKey()
    good = issued(authority, key)
    leaf, issuing = x509.load_pem_x509_certificates(good)
    for given in (
        issued(other, key),
        certificate_pem(leaf),
        certificate_pem(issuing) + certificate_pem(leaf),
        certificate_pem(leaf) + certificate_pem(other.issuing),
        good + authority.certificate_pem + other.certificate_pem,
        b"",
        b"garbage",
        of_another_curve(good),
    ):
        with pytest.raises(ProtocolError, match="not a certificate of its authority"):
            key.check(given, authority.root)


def test_a_certificate_over_another_key_or_of_another_role_is_refused(tmp_path: Path) -> None:
    authority, key = open_authority(tmp_path), NewKey()
    with pytest.raises(ProtocolError, match="not a certificate for this key"):
        key.check(issued(authority, NewKey()), authority.root)
    with pytest.raises(ProtocolError, match="gave a certificate of an agent, not of an operator"):
        key.check(issued(authority, key), authority.root, role=Role.OPERATOR)
