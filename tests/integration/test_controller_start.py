"""test_controller_start: a controller inside another process starts, stops and fails without a trace."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from pybible.server.controller.daemon import Controller
from pybible.wire.errors import ConfigError
from tests.support.controller import controller, loopback_config


async def test_a_start_that_fails_half_way_leaves_the_state_free(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = loopback_config(tmp_path / "controller", enroll_listen=f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(ConfigError, match="address already in use"):
            async with Controller.start(config):
                pass
    async with controller(tmp_path) as running:
        await running.enrol("web01")


async def test_several_controllers_live_in_one_process(tmp_path: Path) -> None:
    async with controller(tmp_path / "a") as one, controller(tmp_path / "b") as other:
        assert one.agent_address != other.agent_address
        assert one.controller.facts.authority_pin != other.controller.facts.authority_pin


async def test_an_error_in_the_block_comes_out_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="mine"):
        async with controller(tmp_path):
            raise LookupError("mine")


async def test_it_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    stop = asyncio.Event()
    async with controller(tmp_path) as running:
        asyncio.get_running_loop().call_soon(stop.set)
        async with asyncio.timeout(10):
            await running.controller.serve_until(stop)
