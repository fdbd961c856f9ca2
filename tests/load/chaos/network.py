"""network: what happens to the connections between agents and controller."""

from __future__ import annotations

import asyncio

from tests.load.chaos.site import Site
from tests.support.fault_proxy import FaultProxy, Way

# What happens, and how often beside the others.
_BREAKS = {"cut": 3, "reset": 3, "half open": 3, "delay": 2, "reset at a byte": 2, "stall": 1, "drop": 1, "refuse": 1}


async def break_network(site: Site, proxy: FaultProxy, *, pause: float) -> None:
    """Do one thing after the other to the connections of the agents, until cancelled."""
    draw = site.draw
    # Most of the time most agents are there: who is away gets no tasks.
    proxy.pick = lambda links: draw.sample(links, len(links) // 3)
    while True:
        await asyncio.sleep(pause * draw.uniform(0.5, 1.5))
        [what] = draw.choices(*zip(*_BREAKS.items(), strict=True))
        site.note(f"network: {what}")
        seconds = draw.uniform(0.1, 1.0) * pause
        match what:
            case "cut":
                proxy.cut()
            case "reset":
                proxy.reset()
            case "half open":
                proxy.half_open()
            case "stall":
                proxy.stall(*draw.choice(((Way.UP,), (Way.DOWN,), tuple(Way))))
            case "drop":
                proxy.drop(draw.choice(tuple(Way)))
            case "delay":
                proxy.delay = draw.uniform(0.005, 0.05)
            case "reset at a byte":
                proxy.reset_at = {draw.choice(tuple(Way)): draw.randint(1, 20_000)}
            case _:
                proxy.reset()
                proxy.refuse = True
        await asyncio.sleep(seconds)
        mend(proxy)


def mend(proxy: FaultProxy) -> None:
    """Let it be a good network again."""
    proxy.resume()
    proxy.delay, proxy.reset_at, proxy.refuse = 0.0, {}, False
