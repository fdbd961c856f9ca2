"""encoding: filters that encode, decode and hash text."""

from __future__ import annotations

import base64
import hashlib
import random
import shlex
import uuid
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_plus, urlsplit

from pybible.server.engine.templating.errors import Refused
from pybible.server.engine.templating.filters.passwords import password_hash
from pybible.server.engine.templating.lazy import type_name
from pybible.server.engine.templating.plugins import Plugin, impure
from pybible.server.engine.vault import VaultSecret, VaultSecrets, is_vaulted
from pybible.wire.errors import VaultError

_NAMESPACE: Final = uuid.UUID("361E6D51-FAEC-444A-9079-341386DA8E2E")


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
        raise Refused(f"unsupported hash type {hashtype}") from error
    made.update(_bytes(value))
    return made.hexdigest()


def _to_uuid(value: object, namespace: object = _NAMESPACE) -> str:
    if not isinstance(namespace, uuid.UUID):
        try:
            namespace = uuid.UUID(str(namespace))
        except ValueError:
            raise Refused(
                f"Invalid value '{namespace}' for 'namespace': badly formed hexadecimal UUID string"
            ) from None
    return str(uuid.uuid5(namespace, str(value)))


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
    # Ten digits, the first not 0: the same seed gives the same address as with the collection.
    digits = f"{source.randint(1 << 36, (1 << 40) - 1):x}"
    return ":".join((given + [digits[at : at + 2] for at in range(0, 10, 2)])[:6])


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
