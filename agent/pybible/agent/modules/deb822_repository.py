"""deb822_repository: adds and removes repositories of Debian packages, in files of fields."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Diff, FileAttributes, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.attributes import plan_attributes
from pybible.agent.modules.files import beside, replace
from pybible.agent.modules.rewrite import read_text
from pybible.agent.modules.web import Request, fetch
from pybible.wire.values import JsonObject

_SOURCES = "/etc/apt/sources.list.d"
_KEYRINGS = "/etc/apt/keyrings"
_ARMOUR = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_SCHEMES = ("http://", "https://", "ftp://", "file://")
_FIELDS = {"name": "X-Repolib-Name", "uris": "URIs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of deb822_repository: those that are fields in the order in which the file has them."""

    allow_downgrade_to_insecure: bool | None = arg(default=None, doc="take packages that are no longer signed")
    allow_insecure: bool | None = arg(default=None, doc="allow repositories that are not signed")
    allow_weak: bool | None = arg(default=None, doc="allow weak digests")
    architectures: list[str] | None = arg(default=None, doc="architectures to look for")
    by_hash: bool | None = arg(default=None, doc="fetch lists by their sums")
    check_date: bool | None = arg(default=None, doc="compare dates with this host's clock")
    check_valid_until: bool | None = arg(default=None, doc="refuse lists that are too old")
    components: list[str] | None = arg(default=None, doc="parts of the distribution")
    date_max_future: int | None = arg(default=None, doc="seconds that a list may be ahead of time")
    enabled: bool | None = arg(default=None, doc="use it")
    inrelease_path: str | None = arg(default=None, doc="where its InRelease is")
    languages: list[str] | None = arg(default=None, doc="languages of descriptions")
    mode: str | int | None = arg(default="0644", raw=True, doc="permissions of the files")
    name: str = arg(doc="the repository's name, from which those of its files are made")
    pdiffs: bool | None = arg(default=None, doc="fetch changes of lists instead of lists")
    signed_by: str | None = arg(default=None, doc="its key: an address, a file, a fingerprint, or the key itself")
    suites: list[str] | None = arg(default=None, doc="versions of the distribution, or folders")
    targets: list[str] | None = arg(default=None, doc="which lists to fetch")
    trusted: bool | None = arg(default=None, doc="trust it whatever its signature")
    types: list[str] = arg(default_factory=lambda: ["deb"], choices=("deb", "deb-src"), doc="kinds of packages")
    uris: list[str] | None = arg(default=None, doc="where it is")
    state: Literal["absent", "present"] = arg(default="present", doc="what is wanted")


@dataclass(frozen=True, slots=True)
class _Key:
    """What the field Signed-By is to say, the file that the key is in, and that file's content when it came here."""

    field: str | None = None
    file: str | None = None
    content: bytes | None = None


def plan(args: Args, context: Context) -> Plan:
    """Compare the repository's file, and its key's, with what is asked."""
    name = slug(args.name)
    path = f"{_SOURCES}/{name}.sources"
    if args.state == "absent":
        return _absent(path, name)
    key = _key(args.signed_by, name)
    text = stanza(args, key.field)
    before = read_text(path)
    values: JsonObject = {"repo": text, "dest": path, "key_filename": key.file}
    new_key = key.content is not None and key.content != _bytes(str(key.file))
    if before == text and not new_key:
        attributes = plan_attributes(path, FileAttributes(mode=args.mode))
        return Change(values=values, apply=attributes.apply) if attributes else Unchanged(values=values)
    diff = Diff(before, text, path, path)
    return Change(values=values, diff=diff, apply=partial(_write, path, text, args, key if new_key else _Key()))


def slug(name: str) -> str:
    """Return the name of files that is made of a repository's."""
    return re.sub(r"[^a-z0-9-]", "", re.sub(r"[\s_]+", "-", name.lower()))


def stanza(args: Args, signed_by: str | None) -> str:
    """Return the repository's file."""
    text = ""
    for item in dataclasses.fields(args):
        value = signed_by if item.name == "signed_by" else getattr(args, item.name)
        if value is None or item.name in ("mode", "state"):
            continue
        name = _FIELDS.get(item.name) or "-".join(word.capitalize() for word in item.name.split("_"))
        text += f"{name}:{_value(value)}\n"
    return text


def _value(value: object) -> str:
    if isinstance(value, bool):
        return " yes" if value else " no"
    text = " ".join(value) if isinstance(value, list) else str(value)
    if "\n" in text:
        return "".join(f"\n    {line.strip() or '.'}" for line in text.strip().split("\n"))
    return f" {text}" if text else ""


def _key(signed_by: str | None, name: str) -> _Key:
    if signed_by is None:
        return _Key()
    if not signed_by.startswith(_SCHEMES):
        return _Key(signed_by, signed_by if signed_by.startswith("/") and Path(signed_by).is_file() else None)
    with fetch(Request(url=signed_by)) as answer:
        if answer.status != 200:
            raise ModuleError(f"Could not fetch signed_by key: {answer.msg.removeprefix('Request failed: ')}")
        content = answer.read()
    file = f"{_KEYRINGS}/{name}.{'asc' if content.startswith(_ARMOUR) else 'gpg'}"
    return _Key(file, file, content)


def _bytes(path: str) -> bytes | None:
    file = Path(path)
    return file.read_bytes() if file.exists() else None


def _write(path: str, text: str, args: Args, key: _Key) -> None:
    if key.content is not None:
        Path(_KEYRINGS).mkdir(mode=0o755, exist_ok=True)
        _put(str(key.file), key.content, args)
    _put(path, text.encode("utf-8", "surrogateescape"), args)


def _put(path: str, data: bytes, args: Args) -> None:
    with beside(path) as temporary:
        Path(temporary).write_bytes(data)
        replace(temporary, path, FileAttributes(mode=args.mode))


def _absent(path: str, name: str) -> Plan:
    keys = [f"{_KEYRINGS}/{name}.{kind}" for kind in ("asc", "gpg")]
    values: JsonObject = {"repo": None, "dest": path, "key_filename": keys[-1]}
    there = [file for file in (path, *keys) if Path(file).exists()]
    if not there:
        return Unchanged(values=values)
    diff = Diff(read_text(path), "", path, path)
    return Change(values=values, diff=diff, apply=partial(_remove, there))


def _remove(paths: list[str]) -> None:
    for path in paths:
        Path(path).unlink()


MODULE = Module(name="deb822_repository", args=Args, plan=plan, exclusive=True)
