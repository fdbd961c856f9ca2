"""http: the smallest HTTP server that a monitoring system needs: GET of a few paths, one request a connection.

It has bounds on everything a caller controls: the size of a request, the time for it, the connections at once. It knows
no bodies, no keep-alive, no TLS, and nothing of what it serves.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus

from pybible.server.controller.config import Address
from pybible.wire.errors import ConfigError

log = logging.getLogger(__name__)

REQUEST_BYTES = 8 * 1024
# For the request, and again for the answer.
SECONDS = 5.0
CONNECTIONS = 16
_METHODS = frozenset({"GET", "HEAD"})
_PLAIN = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a path has to say."""

    content: bytes
    status: HTTPStatus = HTTPStatus.OK
    kind: str = _PLAIN


Answers = Mapping[str, Callable[[], Awaitable[Answer]]]


@asynccontextmanager
async def serving(address: Address, answers: Answers, *, seconds: float = SECONDS) -> AsyncIterator[Address]:
    """Serve `answers` by their paths, as long as the block lasts. Yields where; port 0 is any that is free.

    ConfigError when the address can't be had.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        listening = socket.create_server((address.host, address.port), family=family)
    except OSError as error:
        raise ConfigError(f"can't listen on {address}: {(error.strerror or str(error)).lower()}") from None
    failure: BaseException | None = None
    async with asyncio.TaskGroup() as group:
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if len(tasks) >= CONNECTIONS:
                writer.transport.abort()
                return
            task = group.create_task(_serve(reader, writer, answers, seconds))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(connected, sock=listening, limit=REQUEST_BYTES)
        try:
            yield Address(address.host, listening.getsockname()[1])
        except BaseException as error:
            # Out of the group as it is: the group would wrap it.
            failure = error
        finally:
            server.close()
            for task in tasks:
                task.cancel()
    if failure is not None:
        raise failure


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: Answers, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            method, path = await _request(reader)
        answer = await _answer(method, path, answers)
        writer.write(_encoded(answer, body=method != "HEAD"))
        async with asyncio.timeout(seconds):
            await writer.drain()
            writer.close()
            await writer.wait_closed()
    except (OSError, EOFError, TimeoutError):
        pass  # who asked is gone, or dawdles
    finally:
        with suppress(RuntimeError):
            writer.transport.abort()


async def _request(reader: asyncio.StreamReader) -> tuple[str, str]:
    """Return method and path; empty ones for what is no request. TimeoutError, EOFError, OSError: there is none."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return "", ""
    words = head.partition(b"\r\n")[0].split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1.") or not words[1].startswith(b"/"):
        return "", ""
    return words[0].decode("latin-1"), words[1].partition(b"?")[0].decode("latin-1")


async def _answer(method: str, path: str, answers: Answers) -> Answer:
    if not method:
        return _said(HTTPStatus.BAD_REQUEST)
    if method not in _METHODS:
        return _said(HTTPStatus.METHOD_NOT_ALLOWED)
    if path not in answers:
        return _said(HTTPStatus.NOT_FOUND)
    try:
        return await answers[path]()
    except Exception:
        log.exception("a request could not be answered")
        return _said(HTTPStatus.INTERNAL_SERVER_ERROR)


def _said(status: HTTPStatus) -> Answer:
    return Answer(f"{status.phrase.lower()}\n".encode(), status)


def _encoded(answer: Answer, *, body: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        f"Content-Type: {answer.kind}",
        f"Content-Length: {len(answer.content)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        *(["Allow: GET, HEAD"] if answer.status is HTTPStatus.METHOD_NOT_ALLOWED else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (answer.content if body else b"")
