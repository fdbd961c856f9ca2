"""systemd: tells the service manager how the agent is. Without a NOTIFY_SOCKET it does nothing."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress


def notify(*states: str) -> None:
    """Send states, e.g. "READY=1". What the service manager does not take is lost: the agent's work goes on.

    A text of somebody else's may be in one: a line of it is not a state of its own.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    # An abstract socket is written with an @ where the address has a zero byte.
    target = "\0" + address[1:] if address.startswith("@") else address
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.sendto("\n".join(" ".join(state.split()) for state in states).encode("utf-8", "replace"), target)


async def keep_alive() -> None:
    """Give signs of life for as long as the loop turns. Returns at once when none are wanted."""
    period = os.environ.get("WATCHDOG_USEC", "")
    if not period.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(int(period) / 3_000_000)
