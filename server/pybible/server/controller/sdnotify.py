"""sdnotify: tells systemd how the daemon is. Without a NOTIFY_SOCKET it does nothing."""

from __future__ import annotations

import asyncio
import os
import socket

READY = "READY=1"
STOPPING = "STOPPING=1"


def notify(state: str) -> None:
    """Send one state ("READY=1"). What systemd does not take is lost: the daemon's work goes on."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    # An abstract socket is written with an @ where the address has a zero byte.
    target = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto(state.encode(), target)
    except OSError:
        return


def watchdog_interval() -> float | None:
    """Return how often systemd wants a sign of life (seconds), None if it wants none from this process."""
    period = os.environ.get("WATCHDOG_USEC", "")
    if not period.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(period) / 2_000_000


async def keep_alive() -> None:
    """Give systemd its signs of life for as long as the loop turns. Returns at once when it wants none."""
    interval = watchdog_interval()
    while interval:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval)
