"""content: what came with a task, on the worker's side: by its sha256 to a path that the module may read."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pybible.wire.tasks import Attachment


class Contents:
    """The attachments of the task at hand. Written to files, in a folder of the worker's own, only when asked for."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._attachments: dict[str, Attachment] = {}
        self._received: dict[str, Path] = {}

    def add(self, sha256: str, data: bytes) -> None:
        """Take the next part of content that this worker could not read where it lies."""
        path = self._received.setdefault(sha256, self._file(sha256))
        with path.open("ab") as file:
            file.write(data)

    def expect(self, attachments: Iterable[Attachment]) -> None:
        """Note what the task names."""
        self._attachments = {item.sha256: item for item in attachments}

    def path(self, sha256: str) -> Path:
        """Return where that content can be read. FileNotFoundError when it did not come with the task."""
        received = self._received.get(sha256)
        if received is not None:
            return received
        item = self._attachments.get(sha256)
        if item is None or (item.inline is None and not item.path):
            raise FileNotFoundError(f"content {sha256} did not come with the task")
        if item.inline is None:
            return Path(item.path)
        path = self._file(sha256)
        path.write_bytes(item.inline)
        self._received[sha256] = path
        return path

    def clear(self) -> None:
        """Forget the task's content."""
        for path in self._received.values():
            path.unlink(missing_ok=True)
        self._received.clear()
        self._attachments = {}

    def close(self) -> None:
        """Remove the folder."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _file(self, sha256: str) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="pybible-"))
        return self._folder / sha256
