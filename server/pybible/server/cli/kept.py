"""kept: what the control node keeps of each command of `run`, so that it can be resumed or run once more.

A folder for each, named by its first run, in the operator's own state folder: `command.json`, and `told`, the events
from which a resumed run takes what was done; `before` holds those that it was to take over itself. Values of -e that
stood on the command line, passwords and what `no_log` hides are not in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pybible.server.engine.model.text import Vaulted
from pybible.server.results.events import (
    HostResult,
    HostStarted,
    ItemResult,
    RunEvent,
    TaskStarted,
    decode_event,
    encode_event,
)
from pybible.wire.errors import PybibleError
from pybible.wire.values import dumps, loads_object

# How many commands are kept, for how long (seconds), and how much of events (bytes).
KEPT_COMMANDS = 50
KEPT_SECONDS = 30 * 86400.0
KEPT_BYTES = 2 * 1024**3
# One run's events; a run that tells more can't be resumed.
TOLD_BYTES = 1024**3
_COMMAND, _TOLD, _BEFORE = "command.json", "told", "before"
_VERSION = 1
# Of an inventory's folder, and of one file.
_MOST_FILES = 2_000
_KEPT_EVENTS = (TaskStarted, HostStarted, ItemResult, HostResult)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCommand:
    """One command. `options` are those of the command line; `exit_status` None: nobody brought it to its end."""

    # One for each playbook that was begun.
    runs: tuple[str, ...] = ()
    started: float = 0.0
    # Where it was called.
    directory: str
    # As --controller takes it; empty: one in the process of the command.
    controller: str = ""
    options: Mapping[str, object]
    # The -e options in their order: files as `@FILE`, of the others an empty text.
    extra_vars: tuple[str, ...] = ()
    # The names of the variables that stood on the command line, and a slow salted digest of them with their values.
    inline: tuple[str, ...] = ()
    salt: str = ""
    inline_digest: str = ""
    # Absolute path: digest of what the run was made from.
    files: Mapping[str, str]
    # The run that this one resumes, or runs once more.
    resumes: str = ""
    retries: str = ""
    exit_status: int | None = None
    # The events are all there.
    whole: bool = True

    def check_inline(self, values: Mapping[str, object]) -> bool:
        """Whether these are the variables that stood on the command line."""
        return hmac.compare_digest(digest_of_values(values, salt=self.salt), self.inline_digest)

    def changed_files(self) -> list[str]:
        """Return the files that are gone or hold something else now."""
        return [path for path, digest in self.files.items() if _digest_of_file(Path(path)) != digest]


class StillRunning(PybibleError):
    """The command has not ended, or is being resumed."""


class KeptCommands:
    """The commands below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, command: KeptCommand, *, before: Iterable[RunEvent] = ()) -> Path:
        """Keep a command whose first run has begun, and forget old ones. Return its folder. OSError when it can't.

        `before` tells what it is to take over: it may end before it has.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = self._folder / command.runs[0]
        folder.mkdir(mode=0o700)
        descriptor = os.open(folder / _BEFORE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(encode_event(event) + b"\n" for event in before)
        write_command(folder, command)
        self._forget_old()
        return folder

    def find(self, name: str) -> tuple[Path, KeptCommand] | None:
        """Return a command by the id of one of its runs, a beginning or an end of it, or `latest`.

        PybibleError when several have it.
        """
        known = list(self._all())
        if name == "latest":
            return known[0] if known else None
        found = [each for each in known if any(run.startswith(name) or run.endswith(name) for run in each[1].runs)]
        if len(found) > 1:
            raise PybibleError(f"more than one run begins or ends with {name!r}: {_listed(found)}")
        return found[0] if found else None

    def resumed_by(self, command: KeptCommand) -> str:
        """Return the run that resumes a command, empty when there is none."""
        return next((other.runs[0] for _folder, other in self._all() if other.resumes in command.runs), "")

    def _all(self) -> Iterator[tuple[Path, KeptCommand]]:
        for folder in self._folders():
            # Another version's, or one that is just being forgotten.
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                yield folder, read_command(folder)

    def _folders(self) -> list[Path]:
        """Return the folders, the newest first: ids begin with the time."""
        try:
            return sorted(self._folder.iterdir(), key=lambda folder: folder.name, reverse=True)
        except OSError:
            return []

    def _forget_old(self) -> None:
        total, oldest = 0, time.time() - KEPT_SECONDS
        for number, folder in enumerate(self._folders()):
            # What is running is kept, whatever its age; what can't be looked at is left as it is.
            with contextlib.suppress(OSError, StillRunning):
                total += sum(path.stat().st_size for path in folder.iterdir())
                if number >= KEPT_COMMANDS or total > KEPT_BYTES or (folder / _COMMAND).stat().st_mtime < oldest:
                    with locked(folder):
                        shutil.rmtree(folder)


class Told:
    """Writes down what a run tells of its hosts, each result before anything that follows from it happens.

    It holds the lock of its folder until `close`. What can't be written makes the record incomplete, not the run fail.
    """

    def __init__(self, folder: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._folder = folder
        self._descriptor = os.open(folder / _TOLD, flags, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._waiting: list[bytes] = []
        self._bytes = 0
        self.whole = True

    def __call__(self, event: RunEvent) -> None:
        """Write an event down, if hosts' results are made of it."""
        if not isinstance(event, _KEPT_EVENTS) or not self.whole:
            return
        self._waiting.append(encode_event(event) + b"\n")
        # A banner is of no use before there is a host.
        if not isinstance(event, TaskStarted):
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        data, self._waiting = b"".join(self._waiting), []
        self._bytes += len(data)
        try:
            self.whole = self._bytes <= TOLD_BYTES and os.write(self._descriptor, data) == len(data)
        except OSError:
            self.whole = False

    def close(self, *, forget: bool) -> None:
        """End it; `forget`: nothing of it will be wanted."""
        self.flush()
        with contextlib.suppress(OSError):
            if forget:
                os.ftruncate(self._descriptor, 0)
                os.truncate(self._folder / _BEFORE, 0)
        os.close(self._descriptor)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a command's lock. StillRunning when its run, or one that resumes it, does."""
    descriptor = os.open(folder / _TOLD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StillRunning(f"run {folder.name} is still running, or is being resumed") from error
        yield
    finally:
        os.close(descriptor)


def events_before(folder: Path) -> Iterator[RunEvent]:
    """Return what tells what a command took over. OSError when it can't be read."""
    return _events(folder / _BEFORE)


def told_events(folder: Path) -> Iterator[RunEvent]:
    """Return the events of a command's hosts in their order. OSError when they can't be read."""
    return _events(folder / _TOLD)


def _events(path: Path) -> Iterator[RunEvent]:
    with path.open("rb") as file:
        for line in file:
            try:
                yield decode_event(line)
            except ValueError:
                # The last line of a process that was killed while it wrote.
                return


def write_command(folder: Path, command: KeptCommand) -> None:
    """Write a command, in the place of what there was. OSError when it can't be."""
    path = folder / f"{_COMMAND}.new"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"version": _VERSION, **asdict(command)}, file, indent=1)
    path.replace(folder / _COMMAND)


def read_command(folder: Path) -> KeptCommand:
    """Read a command. OSError, ValueError, TypeError when there is none."""
    values = loads_object((folder / _COMMAND).read_bytes())
    if values.pop("version", None) != _VERSION:
        raise ValueError("kept by another version of pybible")
    for name in ("runs", "extra_vars", "inline"):
        values[name] = tuple(values.get(name, ()))
    return KeptCommand(**values)


def update_command(folder: Path, **changes: object) -> None:
    """Change what is kept of a command. OSError, ValueError, TypeError when it can't be."""
    write_command(folder, replace(read_command(folder), **changes))  # type: ignore[arg-type]


def digest_of_values(values: Mapping[str, object], *, salt: str) -> str:
    """Return a salted digest of variables that is slow to make, as values may be easy to guess."""
    content = dumps(sorted((name, _plain(value)) for name, value in values.items()))
    return hashlib.scrypt(content, salt=bytes.fromhex(salt), n=2**13, r=8, p=1).hex()


def digests_of(sources: Iterable[Path]) -> dict[str, str]:
    """Return the digests of files, and of those in folders, by their absolute paths."""
    files: dict[str, str] = {}
    for source in sources:
        below: Sequence[Path] = [source]
        if source.is_dir():
            below = sorted(path for path in source.rglob("*") if path.is_file())
        for path in below:
            if len(files) >= _MOST_FILES:
                return files
            digest = _digest_of_file(path)
            if digest:
                files[str(path.absolute())] = digest
    return files


def _digest_of_file(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.ciphertext if isinstance(value, Vaulted) else value


def _listed(found: Sequence[tuple[Path, KeptCommand]]) -> str:
    return ", ".join(command.runs[0] for _folder, command in found[:5]) + (", ..." if len(found) > 5 else "")
