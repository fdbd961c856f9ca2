"""test_connection: reaching a controller on this machine that was started a moment ago."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from pybible.server.client.connection import parse_endpoint
from pybible.wire.errors import ConnectionFailed
from pybible.wire.tickets import DoorAnswer, door_path


def test_a_controller_that_is_about_to_listen_is_waited_for(tmp_path: Path) -> None:
    endpoint = parse_endpoint(f"unix:{tmp_path}/c.sock", identity_folder=tmp_path)
    with socket.socket(socket.AF_UNIX) as controller:

        def listen() -> None:
            controller.bind(str(door_path(tmp_path / "c.sock")))
            time.sleep(0.2)
            controller.listen()
            connection, _ = controller.accept()
            with connection:
                connection.sendall(DoorAnswer(ticket="x", seconds=60).encode())

        starting = threading.Timer(0.2, listen)
        starting.start()
        before = time.monotonic()
        with endpoint.blocking_entered():
            waited = time.monotonic() - before
        starting.join()
    assert 0.3 < waited < 1.9


async def test_one_that_does_not_come_is_waited_for_two_seconds(tmp_path: Path) -> None:
    endpoint = parse_endpoint(f"unix:{tmp_path}/c.sock", identity_folder=tmp_path)
    before = time.monotonic()
    with pytest.raises(ConnectionFailed):
        async with endpoint.entered():
            pass
    assert 2 <= time.monotonic() - before < 5
