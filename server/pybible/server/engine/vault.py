"""vault: Ansible Vault text, versions 1.1 and 1.2 with AES256, read and written.

Format (docs.ansible.com, "Ansible Vault payload format"): a header line `$ANSIBLE_VAULT;1.1;AES256`, or 1.2 with a
fourth field, the vault id; then hex in lines of 80 columns. The hex is of `hex(salt)\\nhex(hmac)\\nhex(ciphertext)`.
`vault_cipher` makes and checks these three; it is imported when the first vault is met, as few runs have one.
"""

from __future__ import annotations

import os
from binascii import Error as HexError
from binascii import hexlify, unhexlify
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pybible.wire.errors import Origin, VaultError

if TYPE_CHECKING:
    from pybible.server.engine.vault_cipher import Keys

_HEADER = "$ANSIBLE_VAULT"
_HEADER_BYTES = _HEADER.encode()
_DEFAULT_ID = "default"
_COLUMNS = 80
_SALT_BYTES = 32
_SIGNATURE_BYTES = 32
# Derived keys kept: a file full of !vault values written together does not share a salt, but is read again and again.
_KEYS_KEPT = 512
TEXT_LIMIT = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class VaultSecret:
    """One vault password, under the id that the operator gave it."""

    id: str
    password: bytes


@dataclass(frozen=True, slots=True)
class _Envelope:
    version: str
    id: str
    salt: bytes
    signature: bytes
    ciphertext: bytes


class Decrypted(str):
    """Text that came out of a vaulted value. It is data: never a template."""

    __slots__ = ()


def is_vaulted(text: str | bytes) -> bool:
    """Whether a file's text, or a value, is a vault."""
    return text.startswith(_HEADER_BYTES) if isinstance(text, bytes) else text.startswith(_HEADER)


class VaultSecrets:
    """The passwords of a run. Decrypts with the one whose id the text names, then with all the others.

    `only_matching_ids` leaves the others out (ansible's vault_id_match).
    """

    def __init__(self, secrets: Sequence[VaultSecret] = (), *, only_matching_ids: bool = False) -> None:
        self.secrets = tuple(secrets)
        self._only_matching_ids = only_matching_ids
        self._keys: OrderedDict[tuple[bytes, bytes], Keys] = OrderedDict()

    def decrypt(self, text: str | bytes, *, origin: Origin | None = None) -> bytes:
        """Return what a vault holds. Raises VaultError: no vault, damaged, no secrets, no secret that opens it."""
        return self.open(text, origin=origin)[0]

    def open(self, text: str | bytes, *, origin: Origin | None = None) -> tuple[bytes, VaultSecret]:
        """Return what a vault holds, and the secret that opened it. Raises VaultError as decrypt does."""
        envelope = _open(text, origin)
        if not self.secrets:
            raise VaultError("Attempting to decrypt but no vault secrets found.", origin=origin)
        for secret in self._candidates(envelope.id):
            clear = self._try(envelope, secret, origin)
            if clear is not None:
                return clear, secret
        raise VaultError("Decryption failed (no vault secrets were found that could decrypt).", origin=origin)

    def encrypt(self, clear: bytes, *, vault_id: str = "", salt: bytes | None = None) -> str:
        """Return `clear` as a vault, with the secret of `vault_id`, the first one when it is empty."""
        secret = next((each for each in self.secrets if not vault_id or each.id == vault_id), None)
        if secret is None:
            wanted = f" with id {vault_id!r}" if vault_id else ""
            raise VaultError(f"There is no vault secret{wanted} to encrypt with.")
        return self.seal(clear, secret, vault_id=vault_id, salt=salt)

    def seal(self, clear: bytes, secret: VaultSecret, *, vault_id: str = "", salt: bytes | None = None) -> str:
        """Return `clear` as a vault with a secret of one's own; `vault_id` is what its header says."""
        salt = os.urandom(_SALT_BYTES) if salt is None else salt
        from pybible.server.engine.vault_cipher import encrypted

        ciphertext, signature = encrypted(clear, self._derive(secret.password, salt))
        parts = b"\n".join(hexlify(part) for part in (salt, signature, ciphertext))
        body = hexlify(parts).decode()
        label = vault_id if vault_id and vault_id != _DEFAULT_ID else ""
        header = f"{_HEADER};1.2;AES256;{label}" if label else f"{_HEADER};1.1;AES256"
        lines = [body[start : start + _COLUMNS] for start in range(0, len(body), _COLUMNS)]
        return "\n".join([header, *lines]) + "\n"

    def _candidates(self, vault_id: str) -> list[VaultSecret]:
        matching = [secret for secret in self.secrets if secret.id == vault_id]
        if self._only_matching_ids:
            return matching
        return matching + [secret for secret in self.secrets if secret.id != vault_id]

    def _try(self, envelope: _Envelope, secret: VaultSecret, origin: Origin | None) -> bytes | None:
        from pybible.server.engine.vault_cipher import decrypted

        keys = self._derive(secret.password, envelope.salt)
        try:
            return decrypted(envelope.ciphertext, keys, signature=envelope.signature)
        except ValueError:
            raise VaultError("Vault text is damaged: its padding is wrong.", origin=origin) from None

    def _derive(self, password: bytes, salt: bytes) -> Keys:
        kept = self._keys.get((password, salt))
        if kept is not None:
            return kept
        from pybible.server.engine.vault_cipher import derived

        keys = self._keys[password, salt] = derived(password, salt)
        if len(self._keys) > _KEYS_KEPT:
            self._keys.popitem(last=False)
        return keys


def vault_id_of(text: str | bytes) -> str:
    """Return the id that a vault's header names, `default` when it names none."""
    return _open(text, None).id


def _open(text: str | bytes, origin: Origin | None) -> _Envelope:
    """Take a vault's text apart."""
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    if not data.startswith(_HEADER_BYTES):
        raise VaultError("Input is not vault encrypted data.", origin=origin)
    if len(data) > TEXT_LIMIT:
        raise VaultError(f"Vault text is larger than {TEXT_LIMIT // 1024 // 1024} MiB.", origin=origin)
    header, *body = data.split()
    fields = header.decode("utf-8", "replace").strip().split(";")
    if len(fields) < 3:
        raise VaultError("Vault text is damaged: its first line is not complete.", origin=origin)
    version, cipher = fields[1], fields[2]
    if version not in ("1.1", "1.2"):
        raise VaultError(f"Vault version {version!r} is not supported; 1.1 and 1.2 are.", origin=origin)
    if cipher != "AES256":
        raise VaultError(f"Vault cipher {cipher!r} could not be found; AES256 is supported.", origin=origin)
    vault_id = fields[3] if version == "1.2" and len(fields) > 3 and fields[3] else _DEFAULT_ID
    try:
        salt, signature, ciphertext = (unhexlify(part) for part in unhexlify(b"".join(body)).split(b"\n", 2))
    except (HexError, ValueError):
        raise VaultError("Vault format unhexlify error: the text is damaged or not complete.", origin=origin) from None
    if not salt or len(signature) != _SIGNATURE_BYTES or not ciphertext:
        raise VaultError("Vault text is damaged or not complete.", origin=origin)
    return _Envelope(version, vault_id, salt, signature, ciphertext)
