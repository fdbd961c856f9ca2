"""files: atomic writes, backups and validation, for every module that makes a file."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from pybible.agent.modules.api import FileAttributes, ModuleError
from pybible.agent.modules.attributes import AttributeChange, plan_attributes
from pybible.agent.modules.modes import read_umask
from pybible.agent.modules.process import run_process

# What a rename answers where only a write into the file itself can work: a file that is itself a mount, ...
_NOT_RENAMED = frozenset((errno.EBUSY, errno.EPERM, errno.EACCES, errno.EXDEV, errno.ETXTBSY))
_NOT_WRITABLE = frozenset((errno.EROFS, errno.EACCES, errno.EPERM))
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO))


def lstat(path: str) -> os.stat_result | None:
    """Return the state of `path` itself, None when there is nothing."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextlib.contextmanager
def beside(path: str) -> Iterator[str]:
    """Give the name of a new, empty, private file in the same folder, and see that nothing of it is left."""
    folder, name = os.path.split(path)
    temporary = str(Path(folder or ".") / f".{name[:100]}.{os.urandom(6).hex()}.pybible")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if error.errno in _NOT_WRITABLE:
            raise ModuleError(f"Destination {folder or '.'} not writable", cause=str(error)) from error
        raise
    try:
        yield temporary
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise ModuleError(f"{path} can not be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()


def replace(temporary: str, path: str, wanted: FileAttributes, *, mode: int | None = None) -> AttributeChange:
    """Put `temporary` in the place of `path`. Owner, mode and extended attributes of an old file stay.

    `mode` is used in the place of the old file's; a new file has what the umask leaves. What is wanted is there from
    the first moment: a private file was never readable by others. Returns what of the wanted was a change.
    """
    old = lstat(path)
    if old is not None and stat.S_ISLNK(old.st_mode):
        old = None
    if old is not None:
        _take_over(temporary, path, old)
    if mode is None:
        mode = stat.S_IMODE(old.st_mode) if old is not None else 0o666 & ~read_umask()
    Path(temporary).chmod(mode)
    try:
        change = plan_attributes(temporary, wanted, flags=False, at=path)
        change.apply()
    except ModuleError as error:
        error.values["path"] = path
        raise
    _sync(temporary)
    try:
        Path(temporary).replace(path)
    except OSError as error:
        if not wanted.unsafe_writes or error.errno not in _NOT_RENAMED or old is None:
            raise ModuleError(f"Could not replace file: {temporary} to {path}: {error}") from error
        with Path(temporary).open("rb") as source, Path(path).open("wb") as target:
            shutil.copyfileobj(source, target)
    if wanted.attributes:
        flags = plan_attributes(path, wanted)
        flags.apply()
        change.before |= flags.before
        change.after |= flags.after
        change.steps += flags.steps
    return change


def _sync(path: str) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _take_over(temporary: str, path: str, old: os.stat_result) -> None:
    own = os.lstat(temporary)
    if (own.st_uid, own.st_gid) != (old.st_uid, old.st_gid):
        # Another owner can be kept by root alone; anybody else's replacement is theirs, as with the stock modules.
        with contextlib.suppress(PermissionError):
            os.lchown(temporary, old.st_uid, old.st_gid)
    with contextlib.suppress(OSError):
        for name in os.listxattr(path):
            with contextlib.suppress(OSError):
                os.setxattr(temporary, name, os.getxattr(path, name))


def back_up(path: str) -> str:
    """Copy a file with owner, mode and times to `PATH.PID.DATE@TIME~`; return that name, empty without a file."""
    if not Path(path).exists():
        return ""
    stamp = time.strftime("%Y-%m-%d@%H:%M:%S", time.localtime())
    backup = f"{path}.{os.getpid()}.{stamp}~"
    try:
        shutil.copy2(path, backup)
        found = Path(path).stat()
        with contextlib.suppress(PermissionError):
            os.chown(backup, found.st_uid, found.st_gid)
    except OSError as error:
        raise ModuleError(f"Could not make backup of {path} to {backup}: {error}") from error
    return backup


def validation(command: str, path: str) -> tuple[int, str, str, str]:
    """Run `command` with `path` for its %s; return exit status, both outputs, and what was run."""
    line = command % path
    words = shlex.split(line)
    try:
        done = run_process(words, environment=dict(os.environ))
    except OSError as error:
        shown = shlex.join(words)
        cause = str(error)
        raise ModuleError(
            "Error executing command.", cause=cause, rc=error.errno, cmd=shown, stdout="", stderr=""
        ) from error
    return done.rc, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"), line


def check_valid(command: str, path: str) -> None:
    """Raise ModuleError unless `command` says that the file is valid."""
    if "%s" not in command:
        raise ModuleError(f"validate must contain %s: {command}")
    rc, stdout, stderr, _ = validation(command, path)
    if rc:
        raise ModuleError("failed to validate", exit_status=rc, stdout=stdout, stderr=stderr)
