"""test_returning_agents: what a controller that was started again knows of agents whose sessions are not agreed yet."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from sqlalchemy import Connection

from tests.support.controller import controller
from tests.support.fake_agent import PATIENCE, attached


async def test_an_agent_that_has_said_hello_is_expected_until_its_session_is_agreed(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        parts = c.controller._parts
        go_on = threading.Event()

        def write_nothing(_connection: Connection) -> None:
            go_on.wait(PATIENCE)

        # The epoch of its session waits behind this.
        written = parts.database.write(write_nothing)
        async with attached(c, holder, welcome=False) as agent:
            try:
                async with asyncio.timeout(PATIENCE):
                    while (presence := parts.sessions.find(holder.identity.id)) is None:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                assert parts.sessions.find("web01") is None
                assert parts.sessions.expect("web01") is presence
            finally:
                go_on.set()
            await agent.next("welcome")
        await written
        assert parts.sessions.find("web01") is presence
        assert parts.sessions.expect("web01") is None
