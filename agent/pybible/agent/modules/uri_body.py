"""uri_body: what a request sends, in the form that its body_format means."""

from __future__ import annotations

import json
import mimetypes
import os
import urllib.parse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pybible.agent.modules.api import ModuleError
from pybible.wire.values import JsonValue

if TYPE_CHECKING:
    from pybible.agent.modules.uri import Args


def encoded(args: Args) -> tuple[bytes | None, str]:
    """Return the body's bytes and its type, empty when nothing is known of it."""
    if args.src is not None:
        try:
            return Path(args.src).read_bytes(), ""
        except OSError as error:
            raise ModuleError(f"Unable to open source file {args.src}", cause=str(error)) from error
    if args.body is None:
        return None, ""
    if args.body_format == "json":
        text = args.body if isinstance(args.body, str) else json.dumps(args.body)
        return text.encode(), "application/json"
    if args.body_format == "form-urlencoded":
        return _form(args.body).encode(), "application/x-www-form-urlencoded"
    if args.body_format == "form-multipart":
        return _multipart(args.body)
    text = args.body if isinstance(args.body, str) else json.dumps(args.body)
    return text.encode("utf-8", "surrogateescape"), ""


def _form(body: JsonValue) -> str:
    if isinstance(body, str):
        return body
    pairs: list[tuple[str, JsonValue]] = []
    items: Iterable[tuple[str, JsonValue]] = body.items() if isinstance(body, dict) else [tuple(item) for item in body]
    for name, value in items:
        pairs += [(name, item) for item in value] if isinstance(value, list) else [(name, value)]
    try:
        return urllib.parse.urlencode(pairs)
    except (TypeError, ValueError) as error:
        raise ModuleError(f"failed to parse body as form_urlencoded: {error}", elapsed=0) from error


def _multipart(body: JsonValue) -> tuple[bytes, str]:
    if not isinstance(body, dict):
        raise ModuleError("failed to parse body as form-multipart: Mapping is required, cannot be type list")
    boundary = os.urandom(16).hex()
    parts = [_part(name, value, boundary) for name, value in body.items()]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f'multipart/form-data; boundary="{boundary}"'


def _part(name: str, value: JsonValue, boundary: str) -> bytes:
    described = f'form-data; name="{name}"'
    kind = "text/plain"
    if isinstance(value, dict):
        file = value.get("filename")
        content = value.get("content")
        if not file and not content:
            missing = "at least one of filename or content must be provided"
            raise ModuleError(f"failed to parse body as form-multipart: {missing}")
        if file:
            described += f'; filename="{Path(file).name}"'
        kind = value.get("mime_type") or mimetypes.guess_type(file or "")[0] or "application/octet-stream"
        data = content.encode() if content else Path(str(file)).read_bytes()
    else:
        data = str(value).encode()
    head = f"--{boundary}\r\nContent-Disposition: {described}\r\nContent-Type: {kind}\r\n\r\n"
    return head.encode() + data + b"\r\n"
