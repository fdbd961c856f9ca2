"""content: files named by the sha256 of what is in them, two folders deep. Everything here blocks: call it in threads.

A file is there whole or not at all: it is written beside, summed, synced and renamed.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from pybible.wire.errors import ProtocolError, PybibleError

DEFAULT_LIMIT = 16 * 1024**3

_sha256 = re.compile(r"[0-9a-f]{64}")


class BlobMissing(PybibleError):
    """There is no such blob."""


class BlobRefused(ProtocolError):
    """What is put is not what was announced, or may not be put."""


class BlobWrite:
    """One blob on its way in. `commit` makes it visible; leaving the `with` block without it leaves nothing behind."""

    def __init__(self, *, target: Path, scratch: Path, sha256: str, size: int) -> None:
        self._target = target
        self._scratch = scratch
        self._sha256 = sha256
        self._size = size
        self._sum = hashlib.sha256()
        self._received = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> BlobWrite:
        self._file = self._scratch.open("xb", buffering=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        self._scratch.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Append `data`. BlobRefused when that is more than was announced."""
        if self._file is None:
            raise ValueError("the blob is not open")
        self._received += len(data)
        if self._received > self._size:
            raise BlobRefused(f"blob {self._sha256}: more than the {self._size} bytes that were announced")
        self._sum.update(data)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def commit(self) -> None:
        """Check size and sum, and make the blob visible for good. BlobRefused when they are not as announced."""
        if self._file is None:
            raise ValueError("the blob is not open")
        if self._received != self._size:
            raise BlobRefused(f"blob {self._sha256}: {self._received} bytes came, {self._size} were announced")
        if self._sum.hexdigest() != self._sha256:
            raise BlobRefused(f"blob {self._sha256}: what came has the sum {self._sum.hexdigest()}")
        os.fsync(self._file.fileno())
        self._target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._scratch.replace(self._target)
        folder = os.open(self._target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class BlobRead:
    """One blob on its way out."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self.size = size

    def read(self, length: int) -> bytes:
        """Return up to `length` bytes, none at the end."""
        return self._file.read(length)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class BlobStore:
    """The blobs of one controller. `limit` is the size of the largest, in bytes."""

    def __init__(self, folder: Path, *, limit: int = DEFAULT_LIMIT) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._limit = limit
        for each in (folder, self._incoming):
            each.mkdir(mode=0o700, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Return where a blob lies, or would. BlobRefused for what is not a sum."""
        if not _sha256.fullmatch(sha256):
            raise BlobRefused(f"{sha256[:80]!r} is not a sha256 in lower-case hex")
        return self._folder / sha256[:2] / sha256[2:4] / sha256

    def missing(self, sums: Iterable[str]) -> list[str]:
        """Return those of `sums` that are not here. The others count as used now: they are not collected soon."""
        return [sha256 for sha256 in sums if not self._touch(self.path(sha256))]

    def begin(self, sha256: str, size: int) -> BlobWrite:
        """Begin to put a blob. BlobRefused for one that is too large."""
        target = self.path(sha256)
        if size > self._limit:
            raise BlobRefused(f"blob {sha256}: {size} bytes are more than this controller takes ({self._limit})")
        scratch = self._incoming / f"{sha256}.{secrets.token_hex(8)}"
        return BlobWrite(target=target, scratch=scratch, sha256=sha256, size=size)

    def put(self, data: bytes) -> str:
        """Store `data` and return its sum."""
        sha256 = hashlib.sha256(data).hexdigest()
        if not self._touch(self.path(sha256)):
            with self.begin(sha256, len(data)) as blob:
                blob.write(data)
                blob.commit()
        return sha256

    def open(self, sha256: str, offset: int = 0) -> BlobRead:
        """Open a blob at `offset`. BlobMissing when it is not here, BlobRefused for an offset past its end."""
        path = self.path(sha256)
        if not self._touch(path):
            raise BlobMissing(f"blob {sha256} is not here")
        file = path.open("rb")
        size = os.fstat(file.fileno()).st_size
        if offset > size:
            file.close()
            raise BlobRefused(f"blob {sha256} has {size} bytes: there is nothing at {offset}")
        file.seek(offset)
        return BlobRead(file, size)

    def collect(self, *, unused_for: float, now: float | None = None) -> int:
        """Remove blobs that were not used for so many seconds, and what was left half-written. Return how many."""
        before = (time.time() if now is None else now) - unused_for
        removed = 0
        for path in self._incoming.iterdir():
            path.unlink(missing_ok=True)
        for path in self._folder.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*"):
            if path.stat().st_mtime < before:
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def _touch(self, path: Path) -> bool:
        """Note that a blob is used. Say whether it is here."""
        try:
            os.utime(path)
        except FileNotFoundError:
            return False
        return True
