"""uri: talks with a web service."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
import tempfile
import time
import urllib.parse
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

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
from pybible.agent.modules.files import beside, replace
from pybible.agent.modules.uri_body import encoded
from pybible.agent.modules.web import Answer, Request, fetch
from pybible.wire.values import JsonObject, JsonValue, loads

_JSON_TYPES = re.compile(r"^(application|text)/([\w.+-]+\+)?(json|javascript)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(FileAttributes):
    """Arguments of uri."""

    url: str = arg(doc="the address")
    dest: PathText | None = arg(default=None, doc="file or folder in which the content is kept")
    url_username: str | None = arg(default=None, aliases=("user",), doc="who to say one is")
    url_password: str | None = arg(default=None, aliases=("password",), no_log=True, doc="and the password")
    body: JsonValue = arg(default=None, raw=True, doc="what is sent")
    body_format: Literal["raw", "json", "form-urlencoded", "form-multipart"] = arg(default="raw", doc="how it is sent")
    src: PathText | None = arg(default=None, doc="file that is sent")
    method: str = arg(default="GET", doc="the method")
    return_content: bool = arg(default=False, doc="put the content into the result")
    follow_redirects: Literal["all", "no", "none", "safe", "urllib2", "yes"] = arg(default="safe", doc="which ones")
    creates: PathText | None = arg(default=None, doc="path or glob: when it is there, nothing is done")
    removes: PathText | None = arg(default=None, doc="path or glob: when it is not there, nothing is done")
    status_code: list[int] = arg(default_factory=lambda: [200], doc="the statuses that are success")
    timeout: int = arg(default=30, doc="seconds to wait for the server")
    headers: dict[str, str] = arg(default_factory=dict, doc="headers of the request")
    unix_socket: PathText | None = arg(default=None, doc="socket that is spoken to")
    remote_src: bool = arg(default=False, doc="src is on the host")
    ca_path: PathText | None = arg(default=None, doc="certificates that are trusted")
    force: bool = arg(default=False, doc="ask for no cached answer")
    use_proxy: bool = arg(default=True, doc="use the proxy that the environment names")
    validate_certs: bool = arg(default=True, doc="check the server's certificate")
    force_basic_auth: bool = arg(default=False, doc="send name and password without being asked")
    client_cert: PathText | None = arg(default=None, doc="certificate to show")
    client_key: PathText | None = arg(default=None, doc="its key")
    http_agent: str = arg(default="ansible-httpget", doc="the program one says one is")
    unredirected_headers: list[str] = arg(default_factory=list, doc="headers that are not sent where one is redirected")
    use_gssapi: bool = arg(default=False, doc="Kerberos")
    use_netrc: bool = arg(default=True, doc="take name and password from .netrc")
    ciphers: list[str] | None = arg(default=None, doc="ciphers of TLS")
    decompress: bool = arg(default=True, doc="unpack what is sent packed with gzip")


def plan(args: Args, context: Context) -> Plan:
    """Requests are made as they are asked for; check mode makes none."""
    if args.use_gssapi:
        raise ModuleError("use_gssapi needs the Python library gssapi, which the agent does not have")
    if not re.fullmatch(r"[A-Z]+", args.method.upper()):
        raise ModuleError("Parameter 'method' needs to be a single word in uppercase, like GET or POST.")
    if context.check:
        return Unchanged(
            values={"skipped": True, "msg": "This action (uri) does not support check mode."}, described=False
        )
    for pattern, when, text in ((args.creates, True, "exists"), (args.removes, False, "does not exist")):
        if pattern is not None and bool(glob.glob(pattern)) is when:  # noqa: PTH207
            return Unchanged(values={"stdout": f"skipped, since '{pattern}' {text}"})
    return Change(changed=False, apply=partial(_talk, args))


def _talk(args: Args) -> JsonObject:
    body, content_type = encoded(args)
    headers = {name: str(value) for name, value in args.headers.items()}
    if content_type and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = content_type
    if args.force:
        headers["cache-control"] = "no-cache"
    elif args.dest is not None and Path(args.dest).is_file():
        moment = datetime.fromtimestamp(Path(args.dest).stat().st_mtime, UTC)
        headers["If-Modified-Since"] = moment.strftime("%a, %d %b %Y %H:%M:%S GMT")
    started = time.monotonic()
    with fetch(_request(args, body, headers)) as answer:
        elapsed = int(time.monotonic() - started)
        return _report(args, answer, elapsed)


def _request(args: Args, body: bytes | None, headers: dict[str, str]) -> Request:
    return Request(
        url=args.url,
        method=args.method,
        body=body,
        headers=headers,
        unredirected=args.unredirected_headers,
        timeout=args.timeout,
        username=args.url_username,
        password=args.url_password,
        basic=args.force_basic_auth,
        agent=args.http_agent,
        check_certificate=args.validate_certs,
        ca=args.ca_path,
        client_certificate=args.client_cert,
        client_key=args.client_key,
        ciphers=args.ciphers,
        proxy=args.use_proxy,
        netrc=args.use_netrc,
        redirects=args.follow_redirects,
        decompress=args.decompress,
        socket=args.unix_socket,
    )


def _report(args: Args, answer: Answer, elapsed: int) -> JsonObject:
    result: JsonObject = {"redirected": answer.status != -1 and answer.url != args.url, "url": answer.url}
    result |= {"status": answer.status, "elapsed": elapsed, "msg": answer.msg}
    for name, value in answer.headers.items():
        key = name.lower().replace("-", "_")
        result[key] = f"{result[key]}, {value}" if key in result and key in _seen(answer, name) else value
    if "location" in result:
        result["location"] = urllib.parse.urljoin(answer.url, result["location"])
    if answer.status != -1 and not answer.refused:
        cookies = _cookies(answer)
        result["cookies"] = cookies
        result["cookies_string"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    failed = answer.status not in args.status_code
    if args.dest is not None and answer.status not in (304, -1) and not failed:
        result |= _keep(args, answer)
        return result
    if args.dest is not None and answer.status == 304:
        result["path"] = args.dest
    data = answer.read()
    text = data.decode(answer.headers.get_content_charset() or "utf-8", "replace")
    if _JSON_TYPES.match(answer.headers.get_content_type()) and answer.headers.get("Content-Type"):
        with contextlib.suppress(ValueError):
            result["json"] = loads(text)
    if failed:
        msg = f"Status code was {answer.status} and not {args.status_code}: {answer.msg}"
        if args.return_content or (not answer.refused and answer.status != -1):
            result["content"] = text
        del result["msg"]
        raise ModuleError(msg, **result)
    if args.return_content:
        result["content"] = text
    elif answer.refused:
        result["body"] = text
    return result


def _seen(answer: Answer, name: str) -> list[str]:
    return [name.lower().replace("-", "_")] if len(answer.headers.get_all(name, [])) > 1 else []


def _cookies(answer: Answer) -> dict[str, str]:
    from http.cookies import CookieError, SimpleCookie

    found: dict[str, str] = {}
    for text in answer.headers.get_all("Set-Cookie", []):
        try:
            found |= {name: morsel.value for name, morsel in SimpleCookie(text).items()}
        except CookieError:
            continue
    return found


def _keep(args: Args, answer: Answer) -> JsonObject:
    dest = str(args.dest)
    if Path(dest).is_dir():
        name = Path(urllib.parse.urlsplit(answer.url).path).name or "index.html"
        dest = os.path.join(dest, name)  # noqa: PTH118
    if not Path(dest).parent.is_dir():
        raise ModuleError(f"Destination dir '{Path(dest).parent}' not writable")
    with tempfile.NamedTemporaryFile() as stream:
        answer.copy_to(stream.file)
        stream.flush()
        changed = not Path(dest).exists() or of_file(dest, "sha1") != of_file(stream.name, "sha1")
        if changed:
            with beside(os.path.realpath(dest)) as temporary:
                shutil.copyfile(stream.name, temporary)
                replace(temporary, os.path.realpath(dest), args)
    attributes = plan_attributes(dest, args)
    attributes.apply()
    return {"changed": changed or bool(attributes), "path": dest}


MODULE = Module(name="uri", args=Args, plan=plan, mutually_exclusive=(("body", "src"),))
