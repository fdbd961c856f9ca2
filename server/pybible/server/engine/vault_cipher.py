"""vault_cipher: what is inside a vault: keys from a password, ciphertext, signature.

Format (docs.ansible.com, "Ansible Vault payload format"): PBKDF2-HMAC-SHA256, 10000 rounds, gives 32 bytes of key, 32
of HMAC key, 16 of IV; AES-CTR, PKCS7 padding, HMAC-SHA256 over the ciphertext.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, hmac, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

_ROUNDS = 10_000
_KEY_BYTES, _IV_BYTES = 32, 16
_PADDED_BITS = 128


@dataclass(frozen=True, slots=True)
class Keys:
    """What a password and a salt give."""

    key: bytes
    signing: bytes
    start: bytes


def derived(password: bytes, salt: bytes) -> Keys:
    """Return the keys of a password. It takes a while, and is meant to."""
    kdf = PBKDF2HMAC(algorithm=hashes.SHA256(), length=2 * _KEY_BYTES + _IV_BYTES, salt=salt, iterations=_ROUNDS)
    found = kdf.derive(password)
    return Keys(found[:_KEY_BYTES], found[_KEY_BYTES : 2 * _KEY_BYTES], found[2 * _KEY_BYTES :])


def encrypted(clear: bytes, keys: Keys) -> tuple[bytes, bytes]:
    """Return the ciphertext and its signature."""
    padder = padding.PKCS7(_PADDED_BITS).padder()
    encryptor = Cipher(algorithms.AES(keys.key), modes.CTR(keys.start)).encryptor()
    ciphertext = encryptor.update(padder.update(clear) + padder.finalize()) + encryptor.finalize()
    return ciphertext, _signed(ciphertext, keys).finalize()


def decrypted(ciphertext: bytes, keys: Keys, *, signature: bytes) -> bytes | None:
    """Return the clear bytes, None when the keys are not its own. ValueError when its padding is wrong."""
    try:
        _signed(ciphertext, keys).verify(signature)
    except InvalidSignature:
        return None
    decryptor = Cipher(algorithms.AES(keys.key), modes.CTR(keys.start)).decryptor()
    unpadder = padding.PKCS7(_PADDED_BITS).unpadder()
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    return unpadder.update(padded) + unpadder.finalize()


def _signed(ciphertext: bytes, keys: Keys) -> hmac.HMAC:
    signature = hmac.HMAC(keys.signing, hashes.SHA256())
    signature.update(ciphertext)
    return signature
