"""proxied: an agent of a lab whose connections go through a proxy that can break them. For tests without a loop."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.lab import Lab

_SECONDS = 10.0


class Proxied:
    """The proxy, which runs in a loop and a thread of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, proxy: FaultProxy) -> None:
        self._loop = loop
        self._proxy = proxy

    def reset(self) -> None:
        """Break all that is open, in the middle of whatever is on its way."""
        self._loop.call_soon_threadsafe(self._proxy.reset)


@contextmanager
def proxied(running: Lab, name: str) -> Iterator[Proxied]:
    """Kill an agent, and start it anew behind a proxy."""
    running.kill(name)
    state = running.folder / "agents" / name / "agent.json"
    told = json.loads(state.read_text())
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    proxy = fault_proxy(told["controller"])
    try:
        started = asyncio.run_coroutine_threadsafe(proxy.__aenter__(), loop).result(_SECONDS)
        state.write_text(json.dumps({**told, "controller": started.address}))
        running.start_agent(name)
        yield Proxied(loop, started)
    finally:
        asyncio.run_coroutine_threadsafe(proxy.__aexit__(None, None, None), loop).result(_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
