"""get_url: downloads a file."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pybible.agent.modules.api import (
    Change,
    Context,
    FileAttributes,
    Module,
    ModuleError,
    PathText,
    Plan,
    Unchanged,
    arg,
)
from pybible.agent.modules.attributes import plan_attributes
from pybible.agent.modules.digests import of_file
from pybible.agent.modules.files import back_up, beside, replace
from pybible.agent.modules.web import Answer, Request, fetch
from pybible.wire.values import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(FileAttributes):
    """Arguments of get_url."""

    url: str = arg(doc="where from")
    dest: PathText = arg(doc="where to: a file, or a folder for a file of the name that the server says")
    tmp_dest: PathText | None = arg(default=None, doc="folder in which the file is while it comes")
    force: bool = arg(default=False, doc="download even when there is a file")
    backup: bool = arg(default=False, doc="keep the old file under another name")
    checksum: str = arg(default="", doc="ALGORITHM:SUM, or ALGORITHM:ADDRESS of a list of sums")
    use_proxy: bool = arg(default=True, doc="use the proxy that the environment names")
    validate_certs: bool = arg(default=True, doc="check the server's certificate")
    timeout: int = arg(default=10, doc="seconds to wait for the server")
    headers: dict[str, str] | None = arg(default=None, doc="headers of the request")
    url_username: str | None = arg(default=None, aliases=("username",), doc="who to say one is")
    url_password: str | None = arg(default=None, aliases=("password",), no_log=True, doc="and the password")
    force_basic_auth: bool = arg(default=False, doc="send it without being asked")
    client_cert: PathText | None = arg(default=None, doc="certificate to show")
    client_key: PathText | None = arg(default=None, doc="its key")
    http_agent: str = arg(default="ansible-httpget", doc="the program one says one is")
    unredirected_headers: list[str] = arg(default_factory=list, doc="headers that are not sent where one is redirected")
    use_gssapi: bool = arg(default=False, doc="Kerberos")
    use_netrc: bool = arg(default=True, doc="take name and password from .netrc")
    ciphers: list[str] | None = arg(default=None, doc="ciphers of TLS")
    decompress: bool = arg(default=True, doc="unpack what is sent packed with gzip")


def plan(args: Args, context: Context) -> Plan:
    """Ask the server; in check mode for no more than whether it is there."""
    if args.use_gssapi:
        raise ModuleError("use_gssapi needs the Python library gssapi, which the agent does not have")
    values: JsonObject = {"url": args.url, "dest": args.dest, "checksum_dest": None, "checksum_src": None}
    wanted = _wanted_sum(args)
    dest = Path(args.dest)
    present = dest.is_file()
    if present:
        values["checksum_dest"] = of_file(dest, "sha1")[0]
        if not args.force:
            same = wanted is not None and of_file(dest, wanted[0])[0] == wanted[1]
            if same:
                values |= {"checksum_dest": None, "elapsed": 0}
                return _attributes_only(args, values, "file already exists")
        if wanted is not None and not args.force and of_file(dest, wanted[0])[0] != wanted[1]:
            present = False
    if context.check:
        return _ask(args, values, _headers(dest, present and not args.force))
    return Change(values={}, changed=False, apply=partial(_download, args, values, wanted, dest, present))


def _attributes_only(args: Args, values: JsonObject, msg: str) -> Plan:
    attributes = plan_attributes(args.dest, args)
    values = {**values, "msg": msg}
    if attributes:
        values["msg"] = "file already exists but file attributes changed"
        return Change(values=values, apply=attributes.apply)
    return Unchanged(values=values)


def request_of(args: Args, *, headers: dict[str, str] | None = None, method: str = "GET", url: str = "") -> Request:
    """Return the request that the arguments mean."""
    return Request(
        url=url or args.url,
        method=method,
        headers={**(args.headers or {}), **(headers or {})},
        unredirected=args.unredirected_headers,
        timeout=args.timeout,
        username=args.url_username,
        password=args.url_password,
        basic=args.force_basic_auth,
        agent=args.http_agent,
        check_certificate=args.validate_certs,
        client_certificate=args.client_cert,
        client_key=args.client_key,
        ciphers=args.ciphers,
        proxy=args.use_proxy,
        netrc=args.use_netrc,
        decompress=args.decompress,
    )


def _headers(dest: Path, unless_newer: bool) -> dict[str, str]:
    if not unless_newer:
        return {}
    moment = datetime.fromtimestamp(dest.stat().st_mtime, UTC)
    return {"If-Modified-Since": moment.strftime("%a, %d %b %Y %H:%M:%S GMT")}


def _nothing() -> None:
    return None


def _ask(args: Args, values: JsonObject, headers: dict[str, str]) -> Plan:
    started = time.monotonic()
    with fetch(request_of(args, method="HEAD", headers=headers)) as answer:
        if answer.status == 304:
            elapsed = int(time.monotonic() - started)
            shown: JsonObject = {"url": args.url, "dest": args.dest, "elapsed": elapsed}
            return Unchanged(values={**shown, "msg": answer.msg, "status_code": 304})
        _check_status(args, answer, values, started)
        with _arrived(args, answer) as file:
            values |= _placed(values, _target(args, answer), file)
        values |= {"msg": answer.msg, "elapsed": int(time.monotonic() - started)}
    return Change(values=values, apply=_nothing)


def _check_status(args: Args, answer: Answer, values: JsonObject, started: float) -> None:
    elapsed = int(time.monotonic() - started)
    if answer.status == -1:
        raise ModuleError(answer.msg, url=args.url, dest=args.dest, elapsed=elapsed)
    is_file = args.url.startswith(("file:/", "ftp:"))
    if answer.status != 200 and not is_file:
        raise ModuleError(
            "Request failed", status_code=answer.status, response=answer.msg, url=args.url, dest=args.dest,
            elapsed=elapsed,
        )  # fmt: skip


def _wanted_sum(args: Args) -> tuple[str, str] | None:
    if not args.checksum:
        return None
    algorithm, colon, value = args.checksum.partition(":")
    algorithm, value = algorithm.strip(), value.strip()
    if not colon:
        msg = "The checksum parameter has to be in format <algorithm>:<checksum>"
        raise ModuleError(msg, url=args.url, dest=args.dest, checksum_dest=None, checksum_src=None, elapsed=0)
    if value.startswith(("http://", "https://", "ftp://", "file://")):
        value = _listed_sum(args, value)
    value = re.sub(r"\W+", "", value).lower()
    if not re.fullmatch(r"[0-9a-f]+", value):
        raise ModuleError("The checksum format is invalid", url=args.url)
    try:
        of_file("/dev/null", algorithm)
    except ValueError as error:
        raise ModuleError(f"unsupported hash type {algorithm}") from error
    return algorithm, value


def _listed_sum(args: Args, url: str) -> str:
    with fetch(request_of(args, url=url)) as answer:
        if answer.status != 200:
            raise ModuleError("Request failed", status_code=answer.status, response=answer.msg, url=url, dest=args.dest)
        lines = answer.read().decode("utf-8", "replace").splitlines()
    name = _name_of(args.url)
    listed = [line.split(None, 1) for line in lines if line.strip()]
    if len(listed) == 1 and len(listed[0]) == 1:
        return listed[0][0]
    for line in listed:
        if len(line) == 2 and name in (line[1].lstrip("*").strip(), line[1].lstrip("*./").strip()):
            return line[0]
    raise ModuleError(f"Unable to find a checksum for file '{name}' in '{url}'")


def _name_of(url: str) -> str:
    return Path(urllib.parse.urlsplit(url).path).name or "index.html"


def _download(args: Args, values: JsonObject, wanted: tuple[str, str] | None, dest: Path, present: bool) -> JsonObject:
    headers = _headers(dest, present and not args.force)
    started = time.monotonic()
    with fetch(request_of(args, headers=headers)) as answer:
        elapsed = int(time.monotonic() - started)
        if answer.status == 304:
            result: JsonObject = {"url": args.url, "dest": args.dest, "elapsed": elapsed}
            result |= {"msg": answer.msg, "status_code": 304}
            attributes = plan_attributes(args.dest, args)
            attributes.apply()
            return result | {"changed": bool(attributes)}
        _check_status(args, answer, values, started)
        target = _target(args, answer)
        with _arrived(args, answer) as file:
            result = _place(args, values, wanted, target, file)
        status = None if args.url.startswith("file:") else answer.status
        return {"url": args.url, **result, "msg": answer.msg, "status_code": status, "elapsed": elapsed}


def _target(args: Args, answer: Answer) -> str:
    if not Path(args.dest).is_dir():
        return args.dest
    told = re.search(r'filename="?([^";]+)"?', answer.headers.get("Content-Disposition", ""))
    name = Path(told[1]).name if told else _name_of(answer.url)
    return os.path.join(args.dest, name)  # noqa: PTH118


@contextlib.contextmanager
def _arrived(args: Args, answer: Answer) -> Iterator[str]:
    if args.tmp_dest is not None and not Path(args.tmp_dest).is_dir():
        kind = "is a file but should be a directory" if Path(args.tmp_dest).exists() else "directory does not exist"
        raise ModuleError(f"{args.tmp_dest} {kind}.", elapsed=0)
    with tempfile.NamedTemporaryFile(dir=args.tmp_dest) as stream:
        try:
            answer.copy_to(stream.file)
        except OSError as error:
            raise ModuleError(f"failed to create temporary content file: {error}", elapsed=0) from error
        stream.flush()
        yield stream.name


def _placed(values: JsonObject, target: str, file: str) -> JsonObject:
    """Return what a result says of the file that came, and of the one in whose place it is to be."""
    result: JsonObject = {"dest": target, "src": file, "checksum_dest": None, "checksum_src": of_file(file, "sha1")[0]}
    there = Path(target)
    if there.exists():
        result["checksum_dest"] = of_file(target, "sha1")[0]
    elif not there.parent.is_dir():
        raise ModuleError(f"Destination {there.parent} does not exist", **_brief(values, result))
    return result


def _place(args: Args, values: JsonObject, wanted: tuple[str, str] | None, target: str, file: str) -> JsonObject:
    result = _placed(values, target, file)
    result |= {"md5sum": of_file(file, "md5")[0], "size": Path(file).stat().st_size}
    there = Path(target)
    if result["checksum_src"] != result["checksum_dest"]:
        if wanted is not None:
            _compare(wanted, file, values, result)
        if args.backup and there.exists():
            result["backup_file"] = back_up(target)
        with beside(os.path.realpath(target)) as temporary:
            shutil.copyfile(file, temporary)
            replace(temporary, os.path.realpath(target), args)
        return result | {"changed": True}
    if wanted is not None:
        _compare(wanted, file, values, result)
    attributes = plan_attributes(target, args)
    attributes.apply()
    return result | {"changed": bool(attributes)}


def _compare(wanted: tuple[str, str], file: str, values: JsonObject, result: JsonObject) -> None:
    found = of_file(file, wanted[0])[0]
    if found != wanted[1]:
        msg = f"The checksum for {file} did not match {wanted[1]}; it was {found}."
        raise ModuleError(msg, **_brief(values, result))


def _brief(values: JsonObject, result: JsonObject) -> JsonObject:
    """Return what a failure says of the file that came."""
    kept = {name: value for name, value in result.items() if name not in ("md5sum", "size")}
    return {**values, **kept, "elapsed": 0}


MODULE = Module(name="get_url", args=Args, plan=plan)
