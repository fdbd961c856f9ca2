"""content: files named by the sha256 of what is in them, two folders deep. Everything here blocks: call it in threads.

A blob is there whole or not at all: it is written beside, summed, synced and renamed. What came of one whose transfer
broke off is kept for a day, so that the next transfer goes on from there.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from pybible.wire.errors import ProtocolError, PybibleError

DEFAULT_LIMIT = 16 * 1024**3

_READ_BYTES = 1024 * 1024
_BROKEN_OFF_KEPT = 86400.0
_ABANDONED_KEPT = 3600.0
_BLOBS = "[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*"
_sha256 = re.compile(r"[0-9a-f]{64}")


class BlobMissing(PybibleError):
    """There is no such blob."""


class BlobRefused(ProtocolError):
    """What is put is not what was announced, or may not be put."""


class BlobBusy(PybibleError):
    """A transfer can't go on from there any more: another one is at it, or has changed what was there."""


class BlobWrite:
    """One blob on its way in. `commit` makes it visible.

    Leaving the `with` block without it keeps what came, unless that was refused or could not be written.
    """

    def __init__(self, *, target: Path, scratch: Path, sha256: str, size: int, release: Callable[[], None]) -> None:
        self._target = target
        self._scratch = scratch
        self._sha256 = sha256
        self._size = size
        self._release = release
        self._sum = hashlib.sha256()
        self._received = 0
        self._refused = False
        self._file: BinaryIO = scratch.open("a+b", buffering=0)

    def resume(self, offset: int) -> None:
        """Go on behind the first `offset` bytes that are here. BlobBusy when there are not so many."""
        self._file.seek(0)
        while self._received < offset:
            part = self._file.read(min(_READ_BYTES, offset - self._received))
            if not part:
                raise BlobBusy(f"blob {self._sha256}: {self._received} bytes are here, not {offset}")
            self._sum.update(part)
            self._received += len(part)
        self._file.truncate(offset)

    def __enter__(self) -> BlobWrite:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            self._refused = True
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        if self._refused or not self._received:
            self._scratch.unlink(missing_ok=True)
        self._release()

    def write(self, data: bytes) -> None:
        """Append `data`. BlobRefused when that is more than was announced."""
        self._received += len(data)
        if self._received > self._size:
            self._refused = True
            raise BlobRefused(f"blob {self._sha256}: more than the {self._size} bytes that were announced")
        self._sum.update(data)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def commit(self) -> None:
        """Check size and sum, and make the blob visible for good. BlobRefused when they are not as announced."""
        if self._received != self._size:
            # A caller that is gone looks the same: what came is kept.
            raise BlobRefused(f"blob {self._sha256}: {self._received} bytes came, {self._size} were announced")
        # Whatever goes wrong from here on: there is nothing left to go on from.
        self._refused = True
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
        # The sums of those whose transfer goes on where the next one would.
        self._coming: set[str] = set()
        self._lock = threading.Lock()
        for each in (folder, self._incoming):
            each.mkdir(mode=0o700, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Return where a blob lies, or would. BlobRefused for what is not a sum."""
        if not _sha256.fullmatch(sha256):
            raise BlobRefused(f"{sha256[:80]!r} is not a sha256 in lower-case hex")
        return self._folder / sha256[:2] / sha256[2:4] / sha256

    def remove(self, sha256: str, *, unused_since: float) -> None:
        """Remove a blob, unless somebody asked for it after that moment (seconds since the epoch)."""
        path = self.path(sha256)
        with suppress(FileNotFoundError):
            if path.stat().st_mtime <= unused_since:
                path.unlink()

    def missing(self, sums: Iterable[str]) -> list[str]:
        """Return those of `sums` that are not here. The others count as used now: they are not collected soon."""
        return [sha256 for sha256 in sums if not self._touch(self.path(sha256))]

    def begun(self, sha256: str) -> int:
        """Return how many bytes are here of a blob whose transfer broke off."""
        with self._lock:
            if sha256 in self._coming:
                return 0
            try:
                return (self._incoming / sha256).stat().st_size
            except FileNotFoundError:
                return 0

    def begin(self, sha256: str, size: int, offset: int = 0) -> BlobWrite:
        """Begin to put a blob, or go on with it at `offset`, which `begun` said.

        BlobRefused for one that is too large, BlobBusy when it can't go on from there.
        """
        target = self.path(sha256)
        if size > self._limit:
            raise BlobRefused(f"blob {sha256}: {size} bytes are more than this controller takes ({self._limit})")
        with self._lock:
            alone = sha256 not in self._coming
            if alone:
                self._coming.add(sha256)
        if not alone and offset:
            raise BlobBusy(f"blob {sha256} is on its way here already")
        scratch = self._incoming / (sha256 if alone else f"{sha256}.{secrets.token_hex(8)}")
        release = partial(self._coming.discard, sha256) if alone else _nothing
        try:
            blob = BlobWrite(target=target, scratch=scratch, sha256=sha256, size=size, release=release)
        except OSError:
            release()
            raise
        try:
            blob.resume(offset)
        except BaseException as error:
            blob.__exit__(type(error), error, None)
            raise
        return blob

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

    def usage(self) -> tuple[int, int]:
        """Return how many blobs are here, and their bytes."""
        sizes = []
        for path in self._folder.glob(_BLOBS):
            with suppress(FileNotFoundError):
                sizes.append(path.stat().st_size)
        return len(sizes), sum(sizes)

    def collect(self, *, unused_for: float, now: float | None = None) -> int:
        """Remove blobs that were not used for so many seconds, and what broke off long ago. Return how many."""
        now = time.time() if now is None else now
        before = now - unused_for
        removed = 0
        for path in self._incoming.iterdir():
            # Only what is named by the sum alone can be gone on with. What is written to now is not old.
            kept = _BROKEN_OFF_KEPT if _sha256.fullmatch(path.name) else _ABANDONED_KEPT
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < now - kept:
                    path.unlink()
        for path in self._folder.glob(_BLOBS):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()
                    removed += 1
        return removed

    def _touch(self, path: Path) -> bool:
        """Note that a blob is used. Say whether it is here."""
        try:
            os.utime(path)
        except FileNotFoundError:
            return False
        return True


def _nothing() -> None:
    return None
