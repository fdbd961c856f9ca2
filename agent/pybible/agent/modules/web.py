"""web: one request over HTTP(S), FTP or a file's address, as get_url and uri make it."""

from __future__ import annotations

import base64
import http.client
import netrc
import os
import shutil
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from typing import IO, Protocol

from pybible.agent.modules.api import ModuleError


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for. `redirects`: all, safe (GET and HEAD only), none, urllib2."""

    url: str
    method: str = "GET"
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    unredirected: Sequence[str] = ()
    timeout: float = 10
    username: str | None = None
    password: str | None = None
    basic: bool = False
    agent: str = "ansible-httpget"
    check_certificate: bool = True
    ca: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    ciphers: Sequence[str] | None = None
    proxy: bool = True
    netrc: bool = True
    redirects: str = "urllib2"
    decompress: bool = True
    socket: str | None = None


class _Body(Protocol):
    """What an answer is read from."""

    def read(self, amount: int = -1, /) -> bytes:
        """Return the next bytes."""
        ...

    def close(self) -> None:
        """End it."""


@dataclass(slots=True, kw_only=True)
class Answer:
    """What came back; status is -1 when nothing did. refused: the status is one that HTTP calls an error."""

    url: str
    status: int
    msg: str
    headers: Message = field(default_factory=Message)
    body: _Body | None = None
    refused: bool = False
    decompress: bool = True

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        if self.body is not None:
            self.body.close()

    def read(self) -> bytes:
        """Return all of the content, unpacked."""
        data = b"" if self.body is None else self.body.read()
        if self._packed and data:
            import gzip

            return gzip.decompress(data)
        return data

    @property
    def _packed(self) -> bool:
        return self.decompress and self.headers.get("Content-Encoding", "").lower() == "gzip"

    def copy_to(self, stream: IO[bytes]) -> None:
        """Write the content, unpacked, without holding it. ModuleError when the server ends before its end.

        OSError when it can't be written, or when the server is silent for too long.
        """
        if self.body is None:
            return
        if self._packed:
            import gzip

            try:
                with gzip.GzipFile(fileobj=self.body) as source:  # type: ignore[call-overload]
                    shutil.copyfileobj(source, stream)
            except (EOFError, http.client.IncompleteRead) as error:
                raise ModuleError(f"Connection failure: {error}") from error
            return
        came = 0
        try:
            while block := self.body.read(1 << 16):
                came += len(block)
                stream.write(block)
        except http.client.IncompleteRead as error:
            raise ModuleError(f"Connection failure: {error}") from error
        # http.client says nothing when a server closes the connection before all of what it announced.
        left = getattr(self.body, "length", None)
        if left:
            raise ModuleError(f"Connection failure: {came} bytes of {came + left} came")


def fetch(request: Request) -> Answer:
    """Make the request. An answer of any status is an answer; one that never came has status -1."""
    opener = urllib.request.build_opener(*_handlers(request))
    opener.addheaders = []
    try:
        made = _prepared(request)
        answer = opener.open(made, timeout=request.timeout)
        msg = f"OK ({answer.headers.get('Content-Length', 'unknown')} bytes)"
        status = getattr(answer, "status", None) or 200
        return _answer(answer.geturl(), status, msg, answer, request)
    except urllib.error.HTTPError as error:
        answered = _answer(error.geturl() or request.url, error.code, str(error), error, request)
        answered.refused = True
        return answered
    except urllib.error.URLError as error:
        return Answer(url=request.url, status=-1, msg=f"Request failed: {error}")
    except TimeoutError as error:
        return Answer(url=request.url, status=-1, msg=f"Connection failure: {error}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Answer(url=request.url, status=-1, msg=f"Connection failure: {error}")


def _answer(url: str, status: int, msg: str, found: IO[bytes] | object, request: Request) -> Answer:
    headers = getattr(found, "headers", None) or Message()
    body: _Body = found  # type: ignore[assignment]
    return Answer(url=url, status=status, msg=msg, headers=headers, body=body, decompress=request.decompress)


def _prepared(request: Request) -> urllib.request.Request:
    parts = urllib.parse.urlsplit(request.url)
    username, password = request.username, request.password
    url = request.url
    if parts.scheme in ("http", "https") and "@" in parts.netloc:
        login, _, place = parts.netloc.rpartition("@")
        url = urllib.parse.urlunsplit(parts._replace(netloc=place))
        if username is None:
            username, _, password = (urllib.parse.unquote(part) for part in login.partition(":"))
    if username is None and request.netrc:
        username, password = _from_netrc(parts.hostname or "")
    made = urllib.request.Request(url, data=request.body, method=request.method.upper())  # noqa: S310
    if request.agent:
        made.add_header("User-agent", request.agent)
    if username is not None and (request.basic or request.username is None):
        token = base64.b64encode(f"{username}:{password or ''}".encode()).decode("ascii")
        made.add_unredirected_header("Authorization", f"Basic {token}")
    unredirected = {name.lower() for name in request.unredirected}
    for name, value in request.headers.items():
        add = made.add_unredirected_header if name.lower() in unredirected else made.add_header
        add(name, value)
    return made


def _from_netrc(host: str) -> tuple[str | None, str | None]:
    try:
        found = netrc.netrc(os.environ.get("NETRC")).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None, None
    return (found[0], found[2]) if found else (None, None)


def _handlers(request: Request) -> list[urllib.request.BaseHandler]:
    handlers: list[urllib.request.BaseHandler] = [_Redirects(request.redirects)]
    if request.url.startswith("https"):
        handlers.append(urllib.request.HTTPSHandler(context=tls_context(request)))
    if not request.proxy:
        handlers.append(urllib.request.ProxyHandler({}))
    if request.username is not None and not request.basic:
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        passwords.add_password(None, request.url, request.username, request.password or "")
        handlers.append(urllib.request.HTTPBasicAuthHandler(passwords))
        handlers.append(urllib.request.HTTPDigestAuthHandler(passwords))
    if request.socket is not None:
        handlers.append(_UnixHandler(request.socket))
    return handlers


def tls_context(request: Request) -> ssl.SSLContext:
    """Return what is trusted, and what this side shows of itself."""
    context = ssl.create_default_context(cafile=request.ca)
    if not request.check_certificate:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if request.ciphers:
        context.set_ciphers(":".join(request.ciphers))
    if request.client_certificate:
        context.load_cert_chain(request.client_certificate, request.client_key)
    return context


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, policy: str) -> None:
        self._policy = {"yes": "all", "no": "none"}.get(policy, policy)

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        method = req.get_method()
        if self._policy == "urllib2":
            return super().redirect_request(req, fp, code, msg, headers, newurl)
        if self._policy == "none" or (self._policy == "safe" and method not in ("GET", "HEAD")):
            raise urllib.error.HTTPError(req.full_url, code, msg, headers, fp)
        data = req.data
        if code not in (307, 308):
            if method not in ("GET", "HEAD"):
                method = "GET"
            data = None
        kept = {
            name: value
            for name, value in req.headers.items()
            if data is not None or name.lower() not in ("content-length", "content-type", "transfer-encoding")
        }
        return urllib.request.Request(  # noqa: S310
            newurl.replace(" ", "%20"), data=data, headers=kept, origin_req_host=req.origin_req_host,
            unverifiable=True, method=method,
        )  # fmt: skip


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, host: str, *, path: str, timeout: float | None) -> None:
        super().__init__(host, timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket, whatever the host is."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _UnixHandler(urllib.request.HTTPHandler):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Open over the socket."""

        def connection(host: str, timeout: float | None = None, **_: object) -> http.client.HTTPConnection:
            return _UnixConnection(host, path=self._path, timeout=timeout)

        return self.do_open(connection, req)
