"""wait_for: waits until a port answers, a file is there, or neither is any more."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, Unchanged, arg
from pybible.agent.modules.sockets import connections
from pybible.wire.values import JsonObject

_STATES = (
    "CLOSE", "CLOSE_WAIT", "CLOSING", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "LAST_ACK", "LISTEN", "SYN_RECV",
    "SYN_SENT", "TIME_WAIT",
)  # fmt: skip
_DEFAULT_STATES = ("ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "SYN_RECV", "SYN_SENT", "TIME_WAIT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of wait_for."""

    host: str = arg(default="127.0.0.1", doc="host whose port is waited for")
    timeout: int = arg(default=300, doc="seconds to wait at most")
    connect_timeout: int = arg(default=5, doc="seconds to wait for a connection")
    delay: int = arg(default=0, doc="seconds to wait before the first look")
    port: int | None = arg(default=None, doc="the port")
    active_connection_states: list[str] = arg(
        default_factory=lambda: list(_DEFAULT_STATES), doc="the states of a connection that is not drained"
    )
    path: PathText | None = arg(default=None, doc="the file")
    search_regex: str | None = arg(default=None, doc="pattern in the file, or in what the port says")
    state: Literal["absent", "drained", "present", "started", "stopped"] = arg(default="started", doc="what for")
    exclude_hosts: list[str] | None = arg(default=None, doc="hosts whose connections don't count")
    sleep: int = arg(default=1, doc="seconds between two looks")
    msg: str | None = arg(default=None, doc="what to say when it was in vain")


@dataclass(slots=True)
class _Seen:
    """What the pattern matched."""

    groups: tuple[str | None, ...] = ()
    named: JsonObject | None = None


def plan(args: Args, context: Context) -> Plan:
    """Check what is asked; waiting touches nothing, but takes its time, so check mode does not."""
    if context.check:
        msg = "remote module (wait_for) does not support check mode"
        return Unchanged(values={"skipped": True, "msg": msg})
    if args.port and args.path:
        raise ModuleError("port and path parameter can not both be passed to wait_for", elapsed=0)
    for state in ("stopped", "drained"):
        if args.path and args.state == state:
            raise ModuleError(
                f"state={state} should only be used for checking a port in the wait_for module", elapsed=0
            )
    if args.exclude_hosts is not None and args.state != "drained":
        raise ModuleError("exclude_hosts should only be with state=drained", elapsed=0)
    for name in args.active_connection_states:
        if name not in _STATES:
            raise ModuleError(f"unknown active_connection_state ({name}) defined", elapsed=0)
    if args.search_regex is not None:
        try:
            re.compile(args.search_regex)
        except re.error as error:
            raise ModuleError(f"Invalid regular expression: {error}") from error
    return Change(changed=False, apply=partial(_wait, args))


def _wait(args: Args) -> JsonObject:
    begun = time.monotonic()
    seen = _Seen()
    if args.delay:
        time.sleep(args.delay)
    looks_at_nothing = args.port is None and args.path is None and args.state != "drained"
    if looks_at_nothing:
        time.sleep(args.timeout)
    elif not _until(_test(args, seen), args, begun):
        raise ModuleError(args.msg or _in_vain(args), elapsed=int(time.monotonic() - begun))
    return {
        "state": args.state, "port": args.port, "search_regex": args.search_regex, "match_groups": list(seen.groups),
        "match_groupdict": seen.named or {}, "path": args.path, "elapsed": int(time.monotonic() - begun),
    }  # fmt: skip


def _until(test: Callable[[float], bool], args: Args, begun: float) -> bool:
    """Look again and again: a port, or a file of somebody else's, tells nobody when it changes."""
    end = begun + args.timeout
    while (left := end - time.monotonic()) > 0:
        if test(left):
            return True
        time.sleep(min(args.sleep, max(end - time.monotonic(), 0)))
    return False


def _test(args: Args, seen: _Seen) -> Callable[[float], bool]:
    if args.state in ("absent", "stopped"):
        if args.path:
            return lambda _left: not Path(str(args.path)).exists()
        return lambda left: not _answers(args, left, None)
    if args.state == "drained":
        return lambda _left: not _busy(args)
    if args.path:
        return lambda _left: _there(args, seen)
    return lambda left: _answers(args, left, seen)


def _there(args: Args, seen: _Seen) -> bool:
    path = Path(str(args.path))
    if not path.exists():
        return False
    if args.search_regex is None:
        return True
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return False
    return _matches(args, text, seen)


def _matches(args: Args, text: str, seen: _Seen) -> bool:
    match = re.search(str(args.search_regex), text, re.MULTILINE)
    if match is None:
        return False
    seen.groups, seen.named = match.groups(), dict(match.groupdict())
    return True


def _answers(args: Args, left: float, seen: _Seen | None) -> bool:
    if args.port is None:
        return False
    try:
        connection = socket.create_connection((args.host, args.port), min(args.connect_timeout, max(left, 0.1)))
    except OSError:
        return False
    with contextlib.closing(connection):
        if args.search_regex is None or seen is None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            return True
        return _says(args, connection, time.monotonic() + left, seen)


def _says(args: Args, connection: socket.socket, end: float, seen: _Seen) -> bool:
    said = b""
    while (left := end - time.monotonic()) > 0:
        if not select.select([connection], [], [], min(left, args.connect_timeout))[0]:
            return False
        data = connection.recv(1024)
        if not data:
            return False
        said += data
        if _matches(args, said.decode("utf-8", "surrogateescape"), seen):
            return True
    return False


def _busy(args: Args) -> bool:
    addresses = {item[4][0] for item in socket.getaddrinfo(args.host, args.port, proto=socket.IPPROTO_TCP)}
    excluded = {item[4][0] for host in args.exclude_hosts or () for item in socket.getaddrinfo(host, None)}
    everywhere = any(ipaddress.ip_address(address).is_unspecified for address in addresses)
    return any(
        found.local_port == args.port
        and found.state in args.active_connection_states
        and found.remote not in excluded
        and (everywhere or found.local in addresses)
        for found in connections()
    )


def _in_vain(args: Args) -> str:
    place = f"{args.host}:{args.port}"
    if args.state == "drained":
        return f"Timeout when waiting for {place} to drain"
    if args.state in ("absent", "stopped"):
        return f"Timeout when waiting for {f'{args.path} to be absent' if args.path else f'{place} to stop'}."
    if args.search_regex is not None:
        return f"Timeout when waiting for search string {args.search_regex} in {args.path or place}"
    return f"Timeout when waiting for {f'file {args.path}' if args.path else place}"


MODULE = Module(name="wait_for", args=Args, plan=plan)
