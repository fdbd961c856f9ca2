"""journal: what was accepted, what was finished, what was acknowledged: an append-only file that survives kill -9.

A record is a header (lengths of head and body, CRC-32 of both), a JSON head and raw bytes, the result. Heads:
{"accepted": ID, "at": seconds, "until"?: seconds}, {"finished": ID, "at", "reason", "elapsed", "file"?},
{"acknowledged": [ID, ...]} and {"used": ID, "until"}. A result that is larger than the controller takes inline lies in
a file of its own beside the journal.

It is not fsynced: it must outlive the process, not the machine. A torn last record is what kill -9 may leave, and is
left out; the attempt is then interrupted, which is the truth.
"""

from __future__ import annotations

import logging
import os
import struct
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pybible.agent.failures import failure
from pybible.wire.errors import ConfigError
from pybible.wire.limits import INLINE_RESULT_BYTES
from pybible.wire.logs import fields
from pybible.wire.outcomes import Reason
from pybible.wire.values import JsonObject, dumps, loads_object

KEPT_SECONDS = 24 * 3600.0
# Results that were acknowledged are kept as well, to answer a repeated dispatch: a controller may die before its ctl
# has read them. Not for ever, and not many; of those that are not small so many bytes in memory, and in files.
KEPT_ACKNOWLEDGED = 500
_SMALL_BYTES = 4096
KEPT_BYTES = 1024 * 1024
KEPT_FILE_BYTES = 128 * 1024 * 1024
_COMPACT_BYTES = 16 * 1024 * 1024
_RECORD_LIMIT = 1024 * 1024
_header = struct.Struct(">III")
_log = logging.getLogger(__name__)


class EntryState(Enum):
    """How far an attempt is."""

    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    ACKNOWLEDGED = "acknowledged"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResult:
    """A result as it is kept: the JSON itself, or the file that holds it. `secret`: it is kept in memory only."""

    content: bytes = b""
    file: Path | None = None
    reason: str = ""
    elapsed: float = 0.0
    secret: bool = False

    def written(self) -> StoredResult:
        """Return what the disk may have of it."""
        if not self.secret:
            return self
        msg = "the agent ended before the result, which no_log keeps off its disk, was handed over"
        reason = Reason.INTERRUPTED
        return StoredResult(content=failure(reason, msg), reason=reason.value, elapsed=self.elapsed)


@dataclass(slots=True)
class Entry:
    """What is known of one attempt. `at`: the wall clock when that was written."""

    state: EntryState
    at: float
    result: StoredResult | None = None


class Journal:
    """One agent's journal, open for appending. `clock` is the wall clock."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = folder / "journal"
        self._results = folder / "results"
        self._clock = clock
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        # What operators signed, and until when their word would be good again: remembered beyond all else.
        self._until: dict[str, float] = {}
        self._acknowledged = 0
        # Acknowledged results that are not small, by where they are.
        self._in_memory, self._in_files = _Newest(KEPT_BYTES), _Newest(KEPT_FILE_BYTES)
        self._written = 0
        try:
            self._results.mkdir(mode=0o700, exist_ok=True)
            self._load()
            self._file = self._compacted()
        except OSError as error:
            raise ConfigError(f"can't use the journal {self._path}: {error.strerror}") from error

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, attempt_id: str) -> Entry | None:
        """Return what is known of an attempt."""
        entry = self._entries.get(attempt_id)
        if entry is None and attempt_id in self._until:
            return Entry(EntryState.ACKNOWLEDGED, self._clock())
        return entry

    @property
    def unacknowledged(self) -> int:
        """How many attempts the controller has not acknowledged."""
        return len(self._entries) - self._acknowledged

    def open_entries(self) -> list[tuple[str, Entry]]:
        """Return what the controller has not acknowledged, the oldest first."""
        return [item for item in self._entries.items() if item[1].state is not EntryState.ACKNOWLEDGED]

    def accept(self, attempt_id: str, *, until: float = 0.0) -> None:
        """Write that an attempt will be run. OSError when that can't be written: then it must not be.

        `until`: it must not be run again before that time, whatever else is forgotten of it.
        """
        now = self._clock()
        head: JsonObject = {"accepted": attempt_id, "at": now}
        if until:
            # Nobody's word is good for longer.
            until = min(until, now + KEPT_SECONDS)
            head["until"] = until
        self._append(head)
        if until:
            self._forget_expired()
            self._until[attempt_id] = until
        self._entries[attempt_id] = Entry(EntryState.RUNNING, now)

    def finish(
        self, attempt_id: str, content: bytes, *, reason: str, elapsed: float, secret: bool = False
    ) -> StoredResult:
        """Write a result and return it as it is kept. OSError when it can't be written; it is kept in memory then.

        Of a secret one only that there was one is written.
        """
        now = self._clock()
        result = StoredResult(content=content, reason=reason, elapsed=elapsed, secret=secret)
        self._entries[attempt_id] = Entry(EntryState.FINISHED, now, result)
        written = result.written()
        head: JsonObject = {"finished": attempt_id, "at": now, "reason": written.reason, "elapsed": elapsed}
        if secret:
            self._append(head, written.content)
            return result
        if len(content) <= INLINE_RESULT_BYTES:
            self._append(head, content)
            return result
        path = self._results / f"{zlib.crc32(attempt_id.encode()):08x}-{time.monotonic_ns():x}.json"
        path.write_bytes(content)
        result = StoredResult(file=path, reason=reason, elapsed=elapsed)
        self._entries[attempt_id] = Entry(EntryState.FINISHED, now, result)
        self._append({**head, "file": path.name})
        return result

    def acknowledge(self, attempt_ids: list[str]) -> None:
        """Note that the controller has these results, or does not want them."""
        known = []
        for attempt_id in attempt_ids:
            entry = self._entries.get(attempt_id)
            if entry is None or entry.state is EntryState.ACKNOWLEDGED:
                continue
            known.append(attempt_id)
            entry.state = EntryState.ACKNOWLEDGED
            self._entries.move_to_end(attempt_id)
            self._acknowledged += 1
            self._keep(attempt_id, entry)
        if known:
            self._append({"acknowledged": known})
            self._forget()
        if self._written > _COMPACT_BYTES:
            self._file.close()
            self._file = self._compacted()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _keep(self, attempt_id: str, entry: Entry) -> None:
        """Keep an acknowledged result, if it is no secret, as long as there is room for it."""
        result = entry.result
        if result is None or result.secret:
            entry.result = None
        elif result.file is not None:
            self._drop(self._in_files.put(attempt_id, result.file.stat().st_size if result.file.exists() else 0))
        elif len(result.content) > _SMALL_BYTES:
            self._drop(self._in_memory.put(attempt_id, len(result.content)))

    def _drop(self, attempt_ids: list[str]) -> None:
        """Let go of acknowledged results, not of their names."""
        for attempt_id in attempt_ids:
            entry = self._entries[attempt_id]
            if entry.result is not None and entry.result.file is not None:
                entry.result.file.unlink(missing_ok=True)
            entry.result = None

    def _forget(self) -> None:
        """Keep only so many of those that were acknowledged."""
        while self._acknowledged > KEPT_ACKNOWLEDGED:
            for attempt_id, entry in self._entries.items():
                if entry.state is EntryState.ACKNOWLEDGED:
                    self._drop([attempt_id])
                    self._in_memory.remove(attempt_id)
                    self._in_files.remove(attempt_id)
                    del self._entries[attempt_id]
                    self._acknowledged -= 1
                    break

    def _forget_expired(self) -> None:
        """Drop those that nobody's word is good for any more; the oldest come first, more or less."""
        now = self._clock()
        while self._until and (oldest := next(iter(self._until))) and self._until[oldest] <= now:
            del self._until[oldest]

    def _append(self, head: JsonObject, body: bytes = b"") -> None:
        record = _record(head, body)
        self._file.write(record)
        self._written += len(record)

    def _load(self) -> None:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        for head, body in _records(data):
            self._replay(head, body)
        oldest = self._clock() - KEPT_SECONDS
        for attempt_id, entry in list(self._entries.items()):
            if entry.at < oldest:
                del self._entries[attempt_id]
            elif entry.state is EntryState.RUNNING:
                # The process that accepted it is gone, and what it ran with it.
                msg = "the agent was restarted while the task ran"
                entry.state = EntryState.INTERRUPTED
                entry.result = StoredResult(
                    content=failure(Reason.INTERRUPTED, msg), reason=Reason.INTERRUPTED.value, elapsed=0.0
                )
            elif entry.state is EntryState.ACKNOWLEDGED:
                self._keep(attempt_id, entry)
        self._acknowledged = sum(entry.state is EntryState.ACKNOWLEDGED for entry in self._entries.values())
        self._forget()

    def _replay(self, head: JsonObject, body: bytes) -> None:
        if "used" in head:
            self._until[head["used"]] = head["until"]
        elif "accepted" in head:
            if "until" in head:
                self._until[head["accepted"]] = head["until"]
            self._entries[head["accepted"]] = Entry(EntryState.RUNNING, head["at"])
        elif "finished" in head:
            file = self._results / head["file"] if "file" in head else None
            if file is None or file.exists():
                result = StoredResult(content=body, file=file, reason=head["reason"], elapsed=head["elapsed"])
                self._entries[head["finished"]] = Entry(EntryState.FINISHED, head["at"], result)
            else:
                self._entries[head["finished"]] = Entry(EntryState.ACKNOWLEDGED, head["at"])
        else:
            for attempt_id in head.get("acknowledged", ()):
                entry = self._entries.get(attempt_id)
                if entry is not None:
                    entry.state = EntryState.ACKNOWLEDGED

    def _compacted(self) -> _Appender:
        """Write what is still worth knowing to a new file, put it in the old one's place, and open that."""
        fresh = self._path.with_suffix(".new")
        file = _Appender(fresh)
        self._written = 0
        kept = set()
        self._forget_expired()
        for attempt_id, until in self._until.items():
            record = _record({"used": attempt_id, "until": until})
            file.write(record)
            self._written += len(record)
        for attempt_id, entry in self._entries.items():
            result = entry.result.written() if entry.result is not None else None
            records = []
            if entry.state in (EntryState.RUNNING, EntryState.INTERRUPTED) or result is None:
                records.append(_record({"accepted": attempt_id, "at": entry.at}))
            else:
                head: JsonObject = {"finished": attempt_id, "at": entry.at, "reason": result.reason}
                head["elapsed"] = result.elapsed
                if result.file is not None:
                    head["file"] = result.file.name
                    kept.add(result.file.name)
                records.append(_record(head, result.content))
            if entry.state is EntryState.ACKNOWLEDGED:
                records.append(_record({"acknowledged": [attempt_id]}))
            for record in records:
                file.write(record)
                self._written += len(record)
        fresh.replace(self._path)
        for path in self._results.iterdir():
            if path.name not in kept:
                path.unlink(missing_ok=True)
        return file


class _Newest:
    """Which of the things that were put in are the newest, up to so many bytes in all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._bytes = 0

    def put(self, name: str, size: int) -> list[str]:
        """Add one. Return those for which there is no room any more; that may be itself."""
        self._sizes[name] = size
        self._bytes += size
        gone = []
        while self._bytes > self._limit:
            oldest, its_size = self._sizes.popitem(last=False)
            self._bytes -= its_size
            gone.append(oldest)
        return gone

    def remove(self, name: str) -> None:
        """Forget one, if it is there."""
        self._bytes -= self._sizes.pop(name, 0)


class _Appender:
    """A file to which each write goes at once and whole: nothing waits in this process, which may be killed."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, data: bytes) -> None:
        written = os.write(self._handle, data)
        if written < len(data):
            # The disk is full. Half a record would hide every later one.
            size = os.fstat(self._handle).st_size
            os.ftruncate(self._handle, size - written)
            raise OSError(28, "no space left on device")

    def close(self) -> None:
        os.close(self._handle)


def _record(head: JsonObject, body: bytes = b"") -> bytes:
    packed = dumps(head)
    return _header.pack(len(packed), len(body), zlib.crc32(body, zlib.crc32(packed))) + packed + body


def _records(data: bytes) -> Iterator[tuple[JsonObject, bytes]]:
    """Yield the records up to the first that is torn or is none."""
    at = 0
    while at < len(data):
        if at + _header.size > len(data):
            break
        head, body, crc = _header.unpack_from(data, at)
        middle = at + _header.size + head
        end = middle + body
        if end > len(data) or head > _RECORD_LIMIT or zlib.crc32(data[at + _header.size : end]) != crc:
            break
        try:
            yield loads_object(data[at + _header.size : middle]), data[middle:end]
        except (ValueError, KeyError):
            break
        at = end
    if at < len(data):
        _log.warning("the journal ends with a torn record", extra=fields(bytes=len(data) - at))
