"""signing: an operator's word for one dispatch, so that a host need not believe its controller.

Imported only where keys are configured: cryptography is large.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import stat
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pybible.wire.errors import ConfigError
from pybible.wire.tasks import Signature, TaskSpec

# Hosts remember what they ran for a day, and take no signature that is good for longer.
LONGEST_SECONDS = 24 * 3600
_GOOD_FOR_SECONDS = 12 * 3600
_DOMAIN = b"pybible dispatch 1\n"
_KIND = "ed25519"


class SigningKey:
    """An operator's private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key().public_bytes_raw()

    @staticmethod
    def create(path: Path) -> SigningKey:
        """Make a key in a file that only its owner may read. ConfigError when there is one, or it can't be written."""
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"can't make the signing key {path}: {error.strerror}") from error
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
        return SigningKey(key)

    @staticmethod
    def load(path: Path) -> SigningKey:
        """Read a key. ConfigError when it can't be, or when others than its owner could."""
        # Here, not above: it takes all of x509 with it.
        from pybible.wire.keys import load_private_key

        try:
            if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigError(f"{path}: others than its owner may use this key (chmod 600 {path})")
            key = load_private_key(path.read_bytes())
        except OSError as error:
            raise ConfigError(f"can't read the signing key {path}: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(f"{path}: not a private key without a password: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(f"{path}: not an Ed25519 key")
        return SigningKey(key)

    @property
    def public(self) -> str:
        """The public key, as hosts list it."""
        return f"{_KIND} {base64.b64encode(self._public).decode('ascii')}"

    def sign(self, spec: TaskSpec, *, attempt_id: str, agent: str) -> Signature:
        """Give the operator's word that this agent may run this attempt, once, within the next hours."""
        expires = int(time.time()) + _GOOD_FOR_SECONDS
        value = self._key.sign(_statement(spec, attempt_id=attempt_id, agent=agent, expires=expires))
        return Signature(key=self._public, agent=agent, expires=expires, value=value)


def read_public_keys(lines: Collection[str]) -> Mapping[bytes, str]:
    """Return public keys, each with the name behind it. ValueError says what is wrong with one."""
    keys: dict[bytes, str] = {}
    for line in lines:
        kind, _, rest = line.strip().partition(" ")
        encoded, _, name = rest.strip().partition(" ")
        try:
            raw = base64.b64decode(encoded, validate=True)
            if kind != _KIND or len(raw) != 32:
                raise ValueError
            Ed25519PublicKey.from_public_bytes(raw)
        except (ValueError, binascii.Error):
            raise ValueError(f'public keys like "{_KIND} BASE64 NAME"') from None
        keys[raw] = name.strip() or encoded
    return keys


def problem_with(
    signature: Signature | None,
    spec: TaskSpec,
    *,
    attempt_id: str,
    names: Collection[str],
    keys: Collection[bytes],
    now: float,
) -> str:
    """Return why a dispatch is not what an operator signed for the agent of these names, empty when it is."""
    if signature is None:
        return "the task is not signed"
    if signature.key not in keys:
        return "the task is signed with a key that this host does not list"
    if not now < signature.expires <= now + LONGEST_SECONDS:
        return "the task's signature has expired, or is good for too long"
    if signature.agent not in names:
        return f"the task is signed for {signature.agent!r}, not for this host"
    for item in spec.attachments:
        if item.inline is not None and hashlib.sha256(item.inline).hexdigest() != item.sha256:
            return "a content of the task is not what was signed"
    statement = _statement(spec, attempt_id=attempt_id, agent=signature.agent, expires=signature.expires)
    try:
        Ed25519PublicKey.from_public_bytes(signature.key).verify(signature.value, statement)
    except InvalidSignature:
        return "the task is not what was signed"
    return ""


def _statement(spec: TaskSpec, *, attempt_id: str, agent: str, expires: int) -> bytes:
    """Return what is signed: everything that decides what a host does, in one form."""
    become = spec.become
    said = [
        attempt_id,
        agent,
        expires,
        spec.module,
        hashlib.sha256(spec.args).hexdigest(),
        sorted(spec.environment.items()),
        None if become is None else [become.user, become.method, become.flags, become.executable],
        round((spec.timeout or 0) * 1_000_000),
        [spec.check, spec.diff, spec.no_log, spec.terminate],
        [spec.output_limit, spec.verbosity],
        [[item.sha256, item.size] for item in spec.attachments],
    ]
    return _DOMAIN + json.dumps(said, separators=(",", ":")).encode("ascii")
