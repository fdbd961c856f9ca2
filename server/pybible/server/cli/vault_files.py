"""vault_files: files that hold secrets: replaced in one step, and plain text that is gone when it has been used."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType

from pybible.server.engine.model.paths import expanded
from pybible.wire.errors import PybibleError

_PRIVATE = 0o600
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def read_file(name: str) -> bytes:
    """Return what a file holds. Raises PybibleError."""
    path = expanded(name).absolute()
    try:
        return path.read_bytes()
    except OSError as error:
        raise PybibleError(f"Unable to read source file ({path}): {error.strerror}") from error


def replace_file(name: str, content: bytes, *, plain: bool = False) -> None:
    """Write a file in one step; a link is followed. Its owner stays, and its mode: of `plain` text only the owner's.

    A new file is the owner's alone. Raises PybibleError; the file is as it was then.
    """
    path = expanded(name).resolve()
    try:
        before = path.stat() if path.exists() else None
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise PybibleError(f"could not write {path}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            if before is not None:
                _as_before(descriptor, before, plain=plain)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        Path(temporary).replace(path)
    except BaseException as error:
        shred(Path(temporary)) if plain else Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise PybibleError(f"could not write {path}: {error.strerror}") from error
        raise


def _as_before(descriptor: int, before: os.stat_result, *, plain: bool) -> None:
    if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(descriptor, before.st_uid, before.st_gid)
    mode = stat.S_IMODE(before.st_mode)
    os.fchmod(descriptor, mode & 0o700 if plain else mode)


def edited(content: bytes, *, suffix: str = "", environment: Mapping[str, str] = os.environ) -> bytes:
    """Let the operator change `content` in the editor, and return it. PybibleError when the editor fails.

    The text is in a folder of its own that nobody else can enter, and is overwritten and removed at the end, whatever
    end that is, with all that the editor left beside it.
    """
    with _private_folder() as folder:
        path = folder / f"secret{suffix}"
        path.touch(mode=_PRIVATE)
        path.write_bytes(content)
        command = [*shlex.split(environment.get("ANSIBLE_EDITOR") or environment.get("EDITOR") or "vi"), str(path)]
        try:
            done = subprocess.run(command, check=False)
        except OSError as error:
            raise PybibleError(
                f'Unable to execute the command "{shlex.join(command)}": {error.strerror}',
                hint="Set EDITOR to an editor.",
            ) from error
        if done.returncode:
            raise PybibleError(f"the editor ended with {done.returncode}: nothing was changed")
        try:
            return path.read_bytes()
        except OSError as error:
            raise PybibleError(f"the editor left no file: {error.strerror}: nothing was changed") from error


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    with _ends_in_order():
        folder = Path(tempfile.mkdtemp(prefix="pybible-vault-"))
        try:
            yield folder
        finally:
            for path in folder.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    shred(path)
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _ends_in_order() -> Iterator[None]:
    """Let signals that end a process unwind it, so that what has to be removed is."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def shred(path: Path) -> None:
    """Overwrite a file and remove it. On file systems that write elsewhere, and on SSDs, only the removal counts."""
    with contextlib.suppress(OSError):
        size = path.stat().st_size
        with path.open("r+b", buffering=0) as file:
            for start in range(0, size, 1 << 20):
                file.write(os.urandom(min(1 << 20, size - start)))
            os.fsync(file.fileno())
    path.unlink(missing_ok=True)
