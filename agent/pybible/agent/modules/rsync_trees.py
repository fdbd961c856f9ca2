"""rsync_trees: what rsync would send of a folder, as an archive, and such an archive as a folder again.

There is no connection between control node and host by which rsync could speak with itself. So the sending end asks its
rsync which files it would send, packs them, and the receiving end has its rsync put them in place.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from pybible.agent.modules.api import Context, ModuleError
from pybible.agent.modules.programs import call

_MARK = "<<NAME>>"
_OCTAL = re.compile(rb"\\#(\d{3})")
# What an rsync of its own may be told in the place of the other end, too; `=`: it has a value.
_SELECTING = frozenset(
    {
        "--exclude=", "--include=", "--filter=", "--max-size=", "--min-size=", "--cvs-exclude", "-C",
        "--prune-empty-dirs", "-m", "--one-file-system", "-x",
    }
)  # fmt: skip
_RECEIVING = frozenset(
    {
        "--backup", "-b", "--backup-dir=", "--bwlimit=", "--checksum", "-c", "--chmod=", "--chown=", "--compress", "-z",
        "--compress-level=", "--delete", "--delete-after", "--delete-before", "--delete-delay", "--delete-during",
        "--delete-excluded", "--executability", "-E", "--existing", "--force", "--groupmap=", "--hard-links", "-H",
        "--human-readable", "-h", "--ignore-errors", "--ignore-existing", "--ignore-times", "-I", "--inplace",
        "--itemize-changes", "-i", "--keep-dirlinks", "-K", "--max-delete=", "--mkpath", "--modify-window=",
        "--numeric-ids", "--omit-dir-times", "-O", "--omit-link-times", "-J", "--partial", "--partial-dir=", "--quiet",
        "-q", "--size-only", "--sparse", "-S", "--stats", "--suffix=", "--temp-dir=", "--update", "-u", "--usermap=",
        "--verbose", "-v", "-vv", "-vvv", "--whole-file", "-W",
    }
)  # fmt: skip
_STAGES = ("/var/tmp", None)  # noqa: S108  folders are made there under names that nobody knows


def split_options(options: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the options that select files, and all of them, a value always in the option's own word.

    ModuleError for one that needs to speak with the other end.
    """
    selecting, everything = [], []
    words = iter(options)
    for word in words:
        name, separator, value = word.partition("=")
        if f"{name}=" in _SELECTING | _RECEIVING:
            if not separator:
                value = next(words, "")
            word = f"{name}={value}"
            name += "="
        if name in _SELECTING or name.startswith("--no-"):
            selecting.append(word)
        elif name not in _RECEIVING:
            raise ModuleError(
                f"rsync_opts {word} is not supported between the control node and a host: rsync runs at both ends by "
                "itself"
            )
        everything.append(word)
    return selecting, everything


def names_to_send(words: Sequence[str], source: str, context: Context) -> list[str]:
    """Return what rsync, with these words, would send of `source`. ModuleError, as rsync's own, when it can't."""
    with tempfile.TemporaryDirectory() as empty:
        line = [*words, "--dry-run", "--8-bit-output", f"--out-format={_MARK}%n", source, f"{empty}/"]
        done = call(line, context, also={"LC_ALL": "C"})
    if done.rc:
        raise ModuleError(done.stderr or done.stdout, rc=done.rc, cmd=" ".join([*words, source]))
    return parse_names(done.stdout)


def parse_names(text: str) -> list[str]:
    """Return the names in what rsync printed."""
    marked = (line.removeprefix(_MARK) for line in text.split("\n") if line.startswith(_MARK))
    return [
        os.fsdecode(_OCTAL.sub(lambda found: bytes([int(found[1], 8) & 0xFF]), os.fsencode(name))).rstrip("/") or "."
        for name in marked
    ]


def pack(source: str, names: Sequence[str], *, follow: bool) -> tuple[str, int, BinaryIO]:
    """Write the named files below `source` into an archive; return its sha256, its size, and it at its beginning.

    The same files give the same archive, so that what a host has already is not sent again.
    """
    root, top = (source, ".") if source.endswith("/") else os.path.split(source)
    stream = tempfile.TemporaryFile()  # noqa: SIM115  it is handed on
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT, dereference=follow) as archive:
        listed = {os.path.normpath(name) for name in names}
        if Path(root, top).is_dir():
            # The folder itself, even where rsync passes it over.
            listed.add(os.path.normpath(top))
        for name in sorted(listed):
            member = archive.gettarinfo(str(Path(root, name)), arcname=name)
            if member is None or not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
                continue
            if member.isfile():
                with Path(root, name).open("rb") as file:
                    archive.addfile(member, file)
            else:
                archive.addfile(member)
    stream.seek(0)
    sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    size = stream.tell()
    stream.seek(0)
    return sha256, size, stream


@contextlib.contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """Give a folder with what is in an archive, and see that nothing of it is left."""
    place = next(folder for folder in _STAGES if folder is None or os.access(folder, os.W_OK))
    stage = Path(tempfile.mkdtemp(prefix=".pybible-", dir=place))
    try:
        tree = stage / "tree"
        tree.mkdir()
        with tarfile.open(archive) as opened:
            members = _checked(opened)
            opened.extractall(tree, members=members, filter="fully_trusted")  # noqa: S202  they are checked
        for member in members:
            if member.issym():
                os.utime(tree / member.name, (member.mtime, member.mtime), follow_symlinks=False)
        yield tree
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _checked(opened: tarfile.TarFile) -> list[tarfile.TarInfo]:
    """Return the members. ModuleError where one would get out of the folder: the other end need not be honest."""
    folders, files = {"."}, set()
    members = opened.getmembers()
    for member in members:
        name = member.name
        inside = name == os.path.normpath(name) and not name.startswith(("/", ".."))
        if not inside or (os.path.dirname(name) or ".") not in folders:  # noqa: PTH120
            raise ModuleError(f"the archive has a file that is not in it: {name}")
        if member.isdir():
            folders.add(name)
        elif member.isfile():
            files.add(name)
        elif not (member.issym() or (member.islnk() and member.linkname in files)):
            raise ModuleError(f"the archive has something that is no file: {name}")
    twice = len({member.name for member in members}) != len(members)
    if twice:
        raise ModuleError("the archive has a name twice")
    return members
