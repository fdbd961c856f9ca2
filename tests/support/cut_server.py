"""cut_server: a web server that sends a large file, or ends in the middle of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_PART = 64 * 1024


class _Handler(BaseHTTPRequestHandler):
    """`/PATH` is a file; `/half/PATH` the first half of it, though all of it is announced; `/chunks/PATH` in chunks."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        kind, _, name = self.path.removeprefix("/").partition("/")
        path = Path(f"/{name}" if kind in ("half", "chunks") else self.path)
        size = path.stat().st_size
        self.send_response(200)
        self.send_header("Connection", "close")
        if kind == "chunks":
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(size))
        self.end_headers()
        left = size // 2 if kind in ("half", "chunks") else size
        with path.open("rb") as file:
            while left and (part := file.read(min(_PART, left))):
                left -= len(part)
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if kind == "chunks" else part)
        self.close_connection = True


@contextmanager
def cut_server() -> Iterator[str]:
    """Run one on a free port of the loopback interface; give its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
