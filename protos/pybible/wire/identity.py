"""identity: who a certificate speaks for, and the join token with which one is obtained.

An identity is a URI in the certificate's subject alternative name: `pybible://agent/UUID`, `pybible://operator/NAME`,
`pybible://controller/NAME`. Never a hostname: names of hosts are bound by the controller.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from pybible.wire.errors import UsageError
from pybible.wire.values import dumps, loads_object

if TYPE_CHECKING:
    from cryptography import x509

# The DNS name in every controller's certificate. Clients ask for it whatever address they dial: the CA is the pin.
CONTROLLER_NAME = "controller.pybible.internal"

_SCHEME = "pybible://"
_TOKEN_PREFIX = "pbj1."  # noqa: S105  not a secret


class Role(StrEnum):
    """What a certificate may be used for."""

    AGENT = "agent"
    OPERATOR = "operator"
    CONTROLLER = "controller"


class OperatorRole(StrEnum):
    """What an operator may do."""

    # Look at agents, runs and tokens.
    VIEWER = "viewer"
    # Look, and run what the rules let him.
    RUNNER = "runner"
    # Look, and let hosts join.
    APPROVER = "approver"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a certificate speaks for: an agent's UUID, an operator's or a controller's name."""

    role: Role
    id: str

    @property
    def uri(self) -> str:
        """The form in a certificate."""
        return f"{_SCHEME}{self.role}/{self.id}"


def parse_identity(uri: str) -> Identity | None:
    """Return the identity in `uri`, None when it is not one of ours."""
    role, slash, name = uri.removeprefix(_SCHEME).partition("/")
    if not uri.startswith(_SCHEME) or not slash or not name or "/" in name or role not in set(Role):
        return None
    return Identity(Role(role), name)


def certificate_identity(certificate: x509.Certificate) -> Identity | None:
    """Return the one identity of a certificate, None when it has none or several."""
    # Here and below, not above: it would cost an agent that only holds a stream 8 MB.
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    found = [parse_identity(uri) for uri in names.get_values_for_type(x509.UniformResourceIdentifier)]
    return found[0] if len(found) == 1 else None


def public_key_pin(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of the certificate's public key (SubjectPublicKeyInfo, DER), hex."""
    import hashlib

    from cryptography.hazmat.primitives import serialization

    key = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(key).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinToken:
    """What an operator hands to a host: where to enrol (HOST:PORT), the CA's pin (hex), the secret."""

    address: str
    pin: str
    secret: str

    def encode(self) -> str:
        """Return the one word that is printed."""
        packed = dumps({"a": self.address, "p": self.pin, "s": self.secret})
        return _TOKEN_PREFIX + base64.urlsafe_b64encode(packed).decode().rstrip("=")

    @staticmethod
    def decode(text: str) -> JoinToken:
        """Read it back. UsageError when it is not one."""
        text = text.strip()
        try:
            if not text.startswith(_TOKEN_PREFIX):
                raise ValueError("wrong beginning")
            body = text.removeprefix(_TOKEN_PREFIX)
            fields = loads_object(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
            values = [fields[key] for key in "aps"]
            if not all(isinstance(value, str) for value in values):
                raise ValueError("wrong fields")
        except (ValueError, KeyError, binascii.Error) as error:
            raise UsageError(
                "that is not a join token",
                hint="Copy the whole word that `pybible-ctl token create` printed; it begins with pbj1.",
            ) from error
        return JoinToken(address=values[0], pin=values[1], secret=values[2])
