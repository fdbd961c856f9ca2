"""digests: of files, without loading more than they need."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Protocol

_BLOCK = 1024 * 1024

# hashlib brings OpenSSL with it: 4 MB in a worker that may never need more than these two.
_BUILT_IN = {"sha1": "_sha1", "md5": "_md5"}


class Digest(Protocol):
    """What hashlib's objects can do."""

    def update(self, data: bytes, /) -> None:
        """Take more of the content."""

    def hexdigest(self) -> str:
        """Return the digest of all so far."""
        ...


def digest(name: str) -> Digest:
    """Return a new, empty digest."""
    try:
        made: Digest = getattr(importlib.import_module(_BUILT_IN[name]), name)(usedforsecurity=False)
    except (KeyError, ImportError):
        import hashlib

        made = hashlib.new(name, usedforsecurity=False)
    return made


def of_file(path: str | Path, *names: str) -> list[str]:
    """Return the hex digests of a file's content, read once."""
    with Path(path).open("rb") as file:
        return of_open_file(file, *names)


def of_open_file(file: BinaryIO, *names: str) -> list[str]:
    """Return the hex digests of the rest of a file, and leave it at its end."""
    return _all(iter(lambda: file.read(_BLOCK), b""), names)


def of_bytes(data: bytes, *names: str) -> list[str]:
    """Return the hex digests of `data`."""
    return _all((data,), names)


def _all(blocks: Iterable[bytes], names: Iterable[str]) -> list[str]:
    found = [digest(name) for name in names]
    for block in blocks:
        for made in found:
            made.update(block)
    return [made.hexdigest() for made in found]
