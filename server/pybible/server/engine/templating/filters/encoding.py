"""encoding: filters that encode, decode and hash text."""

from __future__ import annotations

import base64
import hashlib
import random
import secrets
import shlex
import string
import uuid
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_plus, urlsplit

from pybible.server.engine.templating.lazy import type_name
from pybible.server.engine.templating.plugins import Plugin, impure
from pybible.server.engine.vault import VaultSecret, VaultSecrets, is_vaulted
from pybible.wire.errors import VaultError

_NAMESPACE: Final = uuid.UUID("361E6D51-FAEC-444A-9079-341386DA8E2E")
_SALT: Final = string.ascii_letters + string.digits + "./"
_CRYPT_LIBRARIES: Final = ("libcrypt.so.1", "libcrypt.so.2", "libcrypt.so", "libcrypt.dylib")
# Scheme -> (crypt's prefix, length of the salt, whether `rounds=` may follow).
_SCHEMES: Final = {
    "md5": ("$1$", 8, False),
    "md5_crypt": ("$1$", 8, False),
    "sha256": ("$5$", 16, True),
    "sha256_crypt": ("$5$", 16, True),
    "sha512": ("$6$", 16, True),
    "sha512_crypt": ("$6$", 16, True),
    "bcrypt": ("$2b$", 22, False),
    "blowfish": ("$2b$", 22, False),
}


def _bytes(value: object, encoding: str = "utf-8") -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(encoding, "surrogateescape")


def _b64encode(value: object, encoding: str = "utf-8", urlsafe: bool = False) -> str:
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    return encode(_bytes(value, encoding)).decode()


def _b64decode(value: object, encoding: str = "utf-8", urlsafe: bool = False) -> str:
    data = _bytes(value)
    decoded = base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4)) if urlsafe else base64.b64decode(data)
    return decoded.decode(encoding, "surrogateescape")


def _hash(value: object, hashtype: str = "sha1") -> str:
    try:
        made = hashlib.new(hashtype, usedforsecurity=False)
    except ValueError as error:
        raise ValueError(f"unsupported hash type {hashtype}") from error
    made.update(_bytes(value))
    return made.hexdigest()


def _to_uuid(value: object, namespace: object = _NAMESPACE) -> str:
    if not isinstance(namespace, uuid.UUID):
        try:
            namespace = uuid.UUID(str(namespace))
        except ValueError:
            raise ValueError(
                f"Invalid value '{namespace}' for 'namespace': badly formed hexadecimal UUID string"
            ) from None
    return str(uuid.uuid5(namespace, str(value)))


def password_hash(
    password: object,
    hashtype: str = "sha512",
    salt: str | None = None,
    salt_size: int | None = None,
    rounds: int | None = None,
    ident: str | None = None,
) -> str:
    """Hash a password with the system's crypt(3)."""
    scheme = _SCHEMES.get(hashtype)
    if scheme is None:
        raise ValueError(f"crypt does not support {hashtype!r} algorithm")
    prefix, length, takes_rounds = scheme
    if salt is None:
        salt = "".join(secrets.choice(_SALT) for _ in range(salt_size or length))
    elif any(character not in _SALT for character in salt):
        raise ValueError("invalid characters in salt")
    if prefix == "$2b$":
        setting = f"${ident or '2b'}${rounds or 12:02}${salt}"
    elif rounds and takes_rounds:
        setting = f"{prefix}rounds={rounds}${salt}"
    else:
        setting = f"{prefix}{salt}"
    return _crypt(_bytes(password), setting.encode())


def _crypt(password: bytes, setting: bytes) -> str:
    # Imported when used: seldom, and not small.
    import ctypes

    for name in _CRYPT_LIBRARIES:
        try:
            function = ctypes.CDLL(name).crypt
            break
        except OSError:
            continue
    else:
        raise ValueError("this system has no libcrypt, which password_hash needs")
    function.restype = ctypes.c_char_p
    hashed = function(ctypes.c_char_p(password), ctypes.c_char_p(setting))
    if not hashed or hashed.startswith(b"*"):
        raise ValueError("crypt does not support the algorithm here, or its salt is not valid")
    return str(hashed.decode())


def _secret_text(value: object) -> bytes:
    if not isinstance(value, str | bytes):
        raise TypeError(f"Secret passed is required to be a string, instead we got: {type_name(value)}")
    return _bytes(value)


def _vault(data: object, secret: object, salt: str | None = None, vault_id: str = "filter_default", **_: object) -> str:
    secrets_of = VaultSecrets((VaultSecret(vault_id, _secret_text(secret)),))
    return secrets_of.encrypt(_bytes(data), vault_id=vault_id, salt=None if salt is None else salt.encode())


def _unvault(data: object, secret: object, vault_id: str = "filter_default", **_: object) -> object:
    if not isinstance(data, str | bytes) or not is_vaulted(data):
        return data
    secrets_of = VaultSecrets((VaultSecret(vault_id, _secret_text(secret)),))
    try:
        return secrets_of.decrypt(data).decode("utf-8", "surrogateescape")
    except VaultError as error:
        raise ValueError(f"Unable to decrypt: {error.message}") from error


def _urlsplit(value: object, query: str = "") -> object:
    parts = urlsplit(str(value))
    found = {
        "fragment": parts.fragment,
        "hostname": parts.hostname,
        "netloc": parts.netloc,
        "password": parts.password,
        "path": parts.path,
        "port": parts.port,
        "query": parts.query,
        "scheme": parts.scheme,
        "username": parts.username,
    }
    if not query:
        return found
    if query not in found:
        raise ValueError(f"urlsplit: unknown URL component: {query}")
    return found[query]


def _quote(value: object) -> str:
    return shlex.quote("" if value is None else str(value))


def _random_mac(prefix: object, seed: str | None = None) -> str:
    given = [part for part in str(prefix).lower().strip(":").split(":") if part]
    source = random.Random(seed) if seed is not None else random.SystemRandom()  # noqa: S311 - no secret
    return ":".join((given + [f"{source.randrange(256):02x}" for _ in range(6)])[:6])


FILTERS: Mapping[str, Plugin] = {
    "b64encode": _b64encode,
    "b64decode": _b64decode,
    "hash": _hash,
    "md5": lambda value: _hash(value, "md5"),
    "sha1": _hash,
    "checksum": _hash,
    "to_uuid": _to_uuid,
    "password_hash": impure(password_hash),
    "vault": impure(_vault),
    "unvault": _unvault,
    "urldecode": lambda value: unquote_plus(str(value)),
    "urlsplit": _urlsplit,
    "quote": _quote,
    "community.general.random_mac": impure(_random_mac),
}
