"""identity: an operator's key and certificate, as files under the user's configuration folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pybible.wire.errors import ConfigError
from pybible.wire.private import read_private, write_private

_KEY, _CERTIFICATE, _AUTHORITY = "key.pem", "certificate.pem", "authority.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorIdentity:
    """All PEM. The key was made on this machine and never left it."""

    key: bytes
    certificate: bytes
    authority: bytes


def load_identity(folder: Path) -> OperatorIdentity:
    """Read the identity in `folder`. ConfigError when there is none, or its key is not this user's alone."""
    try:
        return OperatorIdentity(
            key=read_private(folder / _KEY),
            certificate=(folder / _CERTIFICATE).read_bytes(),
            authority=(folder / _AUTHORITY).read_bytes(),
        )
    except FileNotFoundError as error:
        raise ConfigError(
            f"no operator identity in {folder}",
            hint="Get a token with `pybible-ctl token create --role runner` on the controller's machine,"
            " then `pybible-ctl login --token TOKEN` here.",
        ) from error
    except OSError as error:
        raise ConfigError(f"the operator identity in {folder} can't be read: {error.strerror}") from error


def store_identity(folder: Path, identity: OperatorIdentity) -> None:
    """Write the identity, readable by its owner only."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, content in (
            (_KEY, identity.key),
            (_CERTIFICATE, identity.certificate),
            (_AUTHORITY, identity.authority),
        ):
            write_private(folder / name, content)
    except OSError as error:
        raise ConfigError(f"the operator identity can't be written to {folder}: {error.strerror}") from error
