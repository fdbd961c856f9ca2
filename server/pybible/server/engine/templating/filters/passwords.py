"""passwords: password_hash: by passlib where it is installed, else by the system's crypt(3), as ansible-core does."""

from __future__ import annotations

import importlib
import secrets
import string
import warnings
from importlib.util import find_spec
from typing import Final

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
_PASSLIB: Final = {"md5": "md5_crypt", "blowfish": "bcrypt", "sha256": "sha256_crypt", "sha512": "sha512_crypt"}

# About ten seconds of computing, in one call that nothing can end. bcrypt counts in powers of two.
_MOST_ROUNDS: Final = 20_000_000
_MOST_DOUBLINGS: Final = 17


def password_hash(
    password: object,
    hashtype: str = "sha512",
    salt: str | None = None,
    salt_size: int | None = None,
    rounds: int | None = None,
    ident: str | None = None,
) -> str:
    """Hash a password. ValueError or TypeError for what can't be.

    Without `rounds` passlib takes its own number, and crypt(3) that of the system.
    """
    most = _MOST_DOUBLINGS if hashtype == "blowfish" or hashtype.startswith("bcrypt") else _MOST_ROUNDS
    # passlib takes digits for a number.
    if str(rounds).isdecimal() and int(str(rounds)) > most:
        raise ValueError(f"Could not hash the secret: rounds of {hashtype} must be at most {most}, not {rounds}")
    if find_spec("passlib") is not None:
        given = {"salt": salt, "salt_size": salt_size, "rounds": rounds, "ident": ident}
        return _with_passlib(password, hashtype, {name: value for name, value in given.items() if value})
    return _with_crypt(password, hashtype, salt, salt_size, rounds, ident)


def _with_passlib(password: object, hashtype: str, given: dict[str, object]) -> str:
    name = _PASSLIB.get(hashtype, hashtype)
    if not isinstance(password, str | bytes):
        raise TypeError(f"secret must be unicode or bytes, not {type(password).__name__}")
    with warnings.catch_warnings():
        # passlib 1.7 imports modules that Python is about to lose.
        warnings.simplefilter("ignore")
        scheme = getattr(importlib.import_module("passlib.hash"), name, None) if not name.startswith("_") else None
        if scheme is None:
            known = ", ".join(_PASSLIB)
            raise ValueError(f"{hashtype} is not in the list of supported passlib algorithms: {known}")
        if name == "bcrypt":
            given.setdefault("ident", "2b")
        else:
            given.pop("ident", None)
        try:
            return str(scheme.using(**given).hash(password))
        except (TypeError, ValueError) as error:
            raise ValueError(f"Could not hash the secret: {error}") from error


def _with_crypt(
    password: object, hashtype: str, salt: str | None, salt_size: int | None, rounds: int | None, ident: str | None
) -> str:
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
    plain = password if isinstance(password, bytes) else str(password).encode("utf-8", "surrogateescape")
    return _crypt(plain, setting.encode())


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
        raise ValueError("this system has no libcrypt, which password_hash needs where passlib is not installed")
    function.restype = ctypes.c_char_p
    hashed = function(ctypes.c_char_p(password), ctypes.c_char_p(setting))
    if not hashed or hashed.startswith(b"*"):
        raise ValueError("crypt does not support the algorithm here, or its salt is not valid")
    return str(hashed.decode())
