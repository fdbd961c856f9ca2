"""htpasswd_hashes: the ways in which a password file hides passwords: making them, and checking against them."""

from __future__ import annotations

import base64
import ctypes
import hashlib
import hmac
import importlib
import secrets
import string
import warnings
from importlib.util import find_spec

from pybible.agent.modules.api import ModuleError

_SALT = string.ascii_letters + string.digits + "./"
_ITOA64 = "./0123456789" + string.ascii_uppercase + string.ascii_lowercase
_LIBRARIES = ("libcrypt.so.1", "libcrypt.so.2", "libcrypt.so")
# Scheme -> (what its hashes begin with, length of the salt), of those that crypt(3) knows.
_CRYPT = {
    "des_crypt": ("", 2),
    "md5_crypt": ("$1$", 8),
    "sha256_crypt": ("$5$", 16),
    "sha512_crypt": ("$6$", 16),
    "bcrypt": ("$2b$12$", 22),
}
_APR1 = "$apr1$"
_SHA = "{SHA}"


def make(scheme: str, password: str) -> str:
    """Return the password's hash. ModuleError for a scheme that neither this file, crypt(3) nor passlib knows."""
    if scheme == "plaintext":
        return password
    if scheme == "ldap_sha1":
        return _sha(password)
    if scheme == "apr_md5_crypt":
        return _apr1(password, _random(8))
    if scheme in _CRYPT:
        prefix, length = _CRYPT[scheme]
        made = _crypt(password, f"{prefix}{_random(length)}")
        if made is not None:
            return made
    return _passlib(scheme, password)


def matches(password: str, found: str) -> bool:
    """Return whether `found`, of whatever scheme, is the password's."""
    if found.startswith(_APR1):
        made: str | None = _apr1(password, found[len(_APR1) :].partition("$")[0])
    elif found.startswith(_SHA):
        made = _sha(password)
    elif found.startswith("$") or len(found) == 13:
        made = _crypt(password, found)
    else:
        made = None
    known = (made, password)
    return any(item is not None and hmac.compare_digest(item.encode(), found.encode()) for item in known)


def _random(length: int) -> str:
    return "".join(secrets.choice(_SALT) for _ in range(length))


def _sha(password: str) -> str:
    # The scheme is what the file's reader asks for: it is weak, and known to be.
    return _SHA + base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()  # noqa: S324


def _apr1(password: str, salt: str) -> str:
    """Apache's variant of MD5-crypt: https://httpd.apache.org/docs/2.4/misc/password_encryptions.html."""
    word, seed = password.encode("utf-8", "surrogateescape"), salt[:8].encode()
    inner = _md5(word + seed + word)
    text = word + _APR1.encode() + seed
    for start in range(0, len(word), 16):
        text += inner[: min(16, len(word) - start)]
    length = len(word)
    while length:
        text += b"\0" if length & 1 else word[:1]
        length >>= 1
    digest = _md5(text)
    for step in range(1000):
        odd = step & 1
        mixed = word if odd else digest
        mixed += seed if step % 3 else b""
        mixed += word if step % 7 else b""
        digest = _md5(mixed + (digest if odd else word))
    order = [(0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5)]
    shown = "".join(_letters(digest[a] << 16 | digest[b] << 8 | digest[c], 4) for a, b, c in order)
    return f"{_APR1}{salt[:8]}${shown}{_letters(digest[11], 2)}"


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data).digest()  # noqa: S324  see _sha


def _letters(value: int, count: int) -> str:
    return "".join(_ITOA64[value >> 6 * place & 0x3F] for place in range(count))


def _crypt(password: str, setting: str) -> str | None:
    """Return what crypt(3) makes, None when this host's can't."""
    for name in _LIBRARIES:
        try:
            crypt = ctypes.CDLL(name).crypt
        except (OSError, AttributeError):
            continue
        crypt.restype = ctypes.c_char_p
        crypt.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
        if "\0" in password or "\0" in setting:
            return None
        made = crypt(password.encode("utf-8", "surrogateescape"), setting.encode("utf-8", "surrogateescape"))
        text = "" if made is None else bytes(made).decode("ascii", "replace")
        return None if not text or text.startswith("*") else text
    return None


def _passlib(scheme: str, password: str) -> str:
    if find_spec("passlib") is None:
        known = ", ".join(("apr_md5_crypt", "ldap_sha1", "plaintext", *_CRYPT))
        raise ModuleError(
            f"Failed to import the required Python library (passlib) for hash_scheme {scheme}: without it there are "
            f"{known}"
        )
    with warnings.catch_warnings():
        # passlib 1.7 imports modules that Python is about to lose.
        warnings.simplefilter("ignore")
        context = importlib.import_module("passlib.apache").htpasswd_context
        try:
            return str(context.copy(schemes=[*context.schemes(), scheme], default=scheme).hash(password))
        except (KeyError, ValueError) as error:
            raise ModuleError(repr(str(error.args[0])) if error.args else str(error)) from error
