"""web_server: a web server with the habits that matter to get_url and uri, and one with TLS."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import ssl
import tempfile
import threading
from collections.abc import Mapping
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.python_packages import distributions, index_page

FILES: Mapping[str, bytes] = {
    "/hello.txt": b"hello\n",
    "/other.txt": b"other\n",
    "/sums": b"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03  hello.txt\n",
}
_MODIFIED = "Sun, 09 Sep 2001 01:46:40 GMT"


class Handler(BaseHTTPRequestHandler):
    """Files, the paths /status/N, /redirect/N, /auth, /echo, /json, /cookies, and an index of packages at /simple/."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "Test", ""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.send_response_only(status)
        for name, value in {"Content-Type": "text/plain", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = True

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        if path in FILES:
            if self.headers.get("If-Modified-Since"):
                return self._answer(304)
            return self._answer(200, FILES[path], {"Last-Modified": _MODIFIED})
        if path.startswith("/status/"):
            return self._answer(int(path.rsplit("/", 1)[1]), b"a status\n")
        if path.startswith("/redirect/"):
            return self._answer(int(path.rsplit("/", 1)[1]), b"", {"Location": "/hello.txt"})
        if path == "/auth":
            wanted = "Basic " + base64.b64encode(b"me:secret").decode()
            if self.headers.get("Authorization") != wanted:
                return self._answer(401, b"no\n", {"WWW-Authenticate": 'Basic realm="test"'})
            return self._answer(200, b"welcome\n")
        if path == "/json":
            return self._answer(200, b'{"a": [1, 2]}', {"Content-Type": "application/json"})
        if path == "/cookies":
            return self._answer(200, b"", {"Set-Cookie": "a=1; Path=/"})
        if path == "/named":
            return self._answer(200, b"hello\n", {"Content-Disposition": 'attachment; filename="told.txt"'})
        if path == "/echo":
            shown = {name.lower(): value for name, value in self.headers.items()}
            kept = {n: shown[n] for n in ("content-type", "user-agent", "x-one", "authorization") if n in shown}
            said = {"method": self.command, "body": body.decode(), "path": self.path, "headers": kept}
            return self._answer(200, json.dumps(said, sort_keys=True).encode(), {"Content-Type": "application/json"})
        if path.startswith("/packages/") and path.rsplit("/", 1)[1] in distributions():
            return self._answer(200, distributions()[path.rsplit("/", 1)[1]])
        if path.startswith("/simple/") and (page := index_page(path.split("/")[2])):
            return self._answer(200, page, {"Content-Type": "text/html"})
        return self._answer(404, b"nothing here\n")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _any


@cache
def addresses() -> Mapping[str, str]:
    """Start both servers at first use; return their addresses by the words that stand for them in cases."""
    plain = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    secure = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    secure.socket = _context().wrap_socket(secure.socket, server_side=True)
    for server in (plain, secure):
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    return {
        "WEBTLS": f"https://127.0.0.1:{secure.server_port}",
        "WEB": f"http://127.0.0.1:{plain.server_port}",
        "PORTTLS": str(secure.server_port),
        "PORTPLAIN": str(plain.server_port),
        "CAFILE": str(_certificate()[0]),
    }


@cache
def _certificate() -> tuple[Path, Path]:
    folder = Path(tempfile.mkdtemp(prefix="pybible-web-"))
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return folder / "ca.pem", folder / "key.pem"


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*_certificate())
    return context
