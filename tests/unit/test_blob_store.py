"""test_blob_store: files named by their sums, whole or not there."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from pybible.server.controller.blobs.content import BlobBusy, BlobMissing, BlobRefused, BlobStore


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def receive(blobs: BlobStore, name: str, size: int, data: bytes) -> None:
    with blobs.begin(name, size) as blob:
        blob.write(data)
        blob.commit()


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs", limit=1000)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_blob_is_read_back_from_any_offset(blobs: BlobStore) -> None:
    name = blobs.put(b"0123456789")
    for offset in (0, 4, 10):
        blob = blobs.open(name, offset)
        assert (blob.size, blob.read(100)) == (10, b"0123456789"[offset:])
        blob.close()


def test_an_empty_blob_is_a_blob(blobs: BlobStore) -> None:
    assert blobs.missing([blobs.put(b"")]) == []


@pytest.mark.parametrize(
    ("announced", "size", "data"),
    [
        (sha256(b"abc"), 3, b"abd"),
        (sha256(b"abc"), 2, b"abc"),
        (sha256(b"x" * 1001), 1001, b"x" * 1001),
        (sha256(b"abc").upper(), 3, b"abc"),
        ("../../../../etc/passwd", 3, b"abc"),
    ],
    ids=["other sum", "too long", "over the limit", "upper case", "a path"],
)
def test_what_is_not_as_announced_leaves_nothing_behind(
    blobs: BlobStore, tmp_path: Path, announced: str, size: int, data: bytes
) -> None:
    with pytest.raises(BlobRefused):
        receive(blobs, announced, size, data)
    assert files(tmp_path) == []


def test_a_transfer_that_breaks_off_goes_on_where_it_was(blobs: BlobStore, tmp_path: Path) -> None:
    name = sha256(b"abcdef")
    with blobs.begin(name, 6) as blob:
        blob.write(b"abcd")
    assert blobs.begun(name) == 4
    with blobs.begin(name, 6, 4) as blob:
        blob.write(b"ef")
        blob.commit()
    assert (blobs.missing([name]), blobs.begun(name)) == ([], 0)
    assert files(tmp_path) == [name]


def test_what_broke_off_is_not_gone_on_with_past_its_end(blobs: BlobStore) -> None:
    name = sha256(b"abcdef")
    with blobs.begin(name, 6) as blob:
        blob.write(b"ab")
    with pytest.raises(BlobBusy, match="2 bytes are here, not 4"):
        blobs.begin(name, 6, 4)


def test_what_came_damaged_is_not_gone_on_with(blobs: BlobStore, tmp_path: Path) -> None:
    name = sha256(b"abcdef")
    with blobs.begin(name, 6) as blob:
        blob.write(b"xxxx")
    with blobs.begin(name, 6, 4) as blob:
        blob.write(b"ef")
        with pytest.raises(BlobRefused):
            blob.commit()
    assert (blobs.begun(name), files(tmp_path)) == (0, [])


def test_a_disk_that_is_full_is_not_kept_full(blobs: BlobStore, tmp_path: Path) -> None:
    blob = blobs.begin(sha256(b"abc"), 3)
    blob.write(b"ab")
    full = OSError(errno.ENOSPC, "No space left on device")
    blob.__exit__(OSError, full, None)
    assert files(tmp_path) == []


def test_the_same_blob_put_twice_at_once_is_one_blob(blobs: BlobStore, tmp_path: Path) -> None:
    name = sha256(b"abc")
    with blobs.begin(name, 3) as first, blobs.begin(name, 3) as second:
        first.write(b"a")
        assert blobs.begun(name) == 0
        with pytest.raises(BlobBusy):
            blobs.begin(name, 3, 1)
        first.write(b"bc")
        second.write(b"abc")
        first.commit()
        second.commit()
    assert files(tmp_path) == [name]


def test_what_is_not_here_is_missing(blobs: BlobStore) -> None:
    here, other = blobs.put(b"here"), sha256(b"other")
    assert blobs.missing([here, other]) == [other]
    with pytest.raises(BlobMissing):
        blobs.open(other)


def test_an_offset_past_the_end_is_refused(blobs: BlobStore) -> None:
    with pytest.raises(BlobRefused, match="nothing at 4"):
        blobs.open(blobs.put(b"abc"), 4)


def test_blobs_that_nobody_used_for_long_are_collected(blobs: BlobStore, tmp_path: Path) -> None:
    old, asked_for, new = blobs.put(b"old"), blobs.put(b"asked for"), blobs.put(b"new")
    for name in (old, asked_for):
        os.utime(blobs.path(name), (1000, 1000))
    incoming = tmp_path / "blobs" / "incoming"
    (incoming / "half").write_bytes(b"x")
    (incoming / "now").write_bytes(b"x")
    os.utime(incoming / "half", (1000, 1000))
    (incoming / sha256(b"begun")).write_bytes(b"x")
    (incoming / sha256(b"long ago")).write_bytes(b"x")
    os.utime(incoming / sha256(b"long ago"), (1000, 1000))
    blobs.missing([asked_for])

    assert blobs.collect(unused_for=3600) == 1
    assert files(tmp_path) == sorted([asked_for, new, sha256(b"begun"), "now"])
