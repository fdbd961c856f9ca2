"""content: files and texts of the control node's, made available to tasks; each file is hashed once a run."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from pybible.server.engine.dispatcher import Dispatcher
from pybible.wire.tasks import Attachment


class Contents:
    """Attachments of a run. Use it as a context: what had to be written down is removed at its end."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._known: dict[tuple[str, int, int], Attachment] = {}
        self._texts: dict[str, Attachment] = {}
        self._lock = asyncio.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    async def file(self, path: Path) -> Attachment:
        """Attach a file. Raises OSError."""
        async with self._lock:
            info = await asyncio.to_thread(path.stat)
            key = str(path), info.st_mtime_ns, info.st_size
            known = self._known.get(key)
            if known is None:
                known = self._known[key] = await self._dispatcher.attach(path)
            return known

    async def text(self, content: bytes) -> Attachment:
        """Attach bytes: inside the task while they are small, else as a file."""
        digest = hashlib.sha256(content).hexdigest()
        if len(content) <= self._dispatcher.inline_attachment_bytes:
            return Attachment(sha256=digest, size=len(content), inline=content)
        async with self._lock:
            known = self._texts.get(digest)
            if known is None:
                attachment = await self._dispatcher.attach(await self._written(content, digest))
                # What was rendered or decrypted may hold secrets.
                known = self._texts[digest] = replace(attachment, brief=True)
            return known

    async def written(self, content: bytes, name: str) -> Path:
        """Write bytes down for the time of the run, in a file of that name that may be shown to the operator."""
        digest = hashlib.sha256(content).hexdigest()
        async with self._lock:
            return await self._written(content, f"tmp{digest[:8]}/{name}")

    async def _written(self, content: bytes, place: str) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="pybible-")
        path = Path(self._folder.name) / place
        await asyncio.to_thread(_write, path, content)
        return path


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
