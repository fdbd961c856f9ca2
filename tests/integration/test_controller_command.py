"""test_controller_command: pybible-controller as an operator and a supervisor see it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-c", "from pybible.server.controller.cli import main; main()"]
LOOPBACK = ["--listen", "127.0.0.1:0", "--enroll-listen", "127.0.0.1:0", "--operators-listen", "127.0.0.1:0"]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60)


@contextmanager
def started(state: Path, *arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a controller and wait, by its own notification, until it is ready."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        address = str(state.parent / "notify")
        Path(address).unlink(missing_ok=True)
        notifications.bind(address)
        notifications.settimeout(60)
        process = subprocess.Popen(
            [*COMMAND, "--state", state, *LOOPBACK, *arguments], env={**os.environ, "NOTIFY_SOCKET": address}
        )
        try:
            assert notifications.recv(100) == b"READY=1"
            yield process
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                assert notifications.recv(100) == b"STOPPING=1"
                process.wait(60)
        finally:
            process.kill()
            process.wait(60)


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """Return the one line that a refused start prints."""
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    return line.removeprefix("pybible-controller: ")


def test_it_says_where_its_ports_are_and_ends_cleanly_on_sigterm(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with started(state) as process:
        addresses = json.loads((state / "addresses.json").read_text())
        assert set(addresses) == {"agents", "enrolment", "operators", "socket", "authority_pin"}
        for name in ("agents", "enrolment", "operators"):
            host, _, port = addresses[name].rpartition(":")
            socket.create_connection((host, int(port)), timeout=10).close()
        assert Path(addresses["socket"]).stat().st_mode & 0o777 == 0o600
        assert state.stat().st_mode & 0o777 == 0o700
    assert process.returncode == 0
    assert not (state / "addresses.json").exists()
    assert not (state / "controller.sock").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_either_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path / "state") as process:
        process.send_signal(number)
        assert process.wait(60) == 0


def test_a_supervisor_that_wants_signs_of_life_gets_them(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        notifications.bind(str(tmp_path / "notify"))
        notifications.settimeout(60)
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        with subprocess.Popen([*COMMAND, "--state", tmp_path / "state", *LOOPBACK], env=environment) as process:
            heard = [notifications.recv(100) for _ in range(3)]
            process.terminate()
    assert heard == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]


def test_after_a_kill_it_starts_again_on_the_same_state(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with started(state) as process:
        pin = json.loads((state / "addresses.json").read_text())["authority_pin"]
        process.kill()
        process.wait(60)
    with started(state):
        assert json.loads((state / "addresses.json").read_text())["authority_pin"] == pin


@pytest.mark.parametrize("flag", ["--listen", "--enroll-listen", "--operators-listen"])
def test_a_port_that_is_taken_is_said(tmp_path: Path, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        line = refused(run("--state", tmp_path / "state", *LOOPBACK, flag, address))
    assert line == f"can't listen on {address}: address already in use"


def test_a_second_controller_does_not_share_the_port(tmp_path: Path) -> None:
    with started(tmp_path / "one"):
        address = json.loads((tmp_path / "one" / "addresses.json").read_text())["agents"]
        line = refused(run("--state", tmp_path / "two", *LOOPBACK, "--listen", address))
    assert line == f"can't listen on {address}: address already in use"


def test_an_address_that_is_not_this_machines_is_said(tmp_path: Path) -> None:
    line = refused(run("--state", tmp_path / "state", *LOOPBACK, "--listen", "192.0.2.1:7150"))
    assert line == "can't listen on 192.0.2.1:7150: cannot assign requested address"


def test_a_state_folder_in_use_is_said(tmp_path: Path) -> None:
    with started(tmp_path / "state"):
        line = refused(run("--state", tmp_path / "state", *LOOPBACK))
    assert line.startswith(f"the state folder {tmp_path}/state is in use by another controller")


def test_a_state_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    line = refused(run("--state", tmp_path / "state", *LOOPBACK))
    assert line == f"the state folder {tmp_path}/state can't be used: File exists"


def test_a_state_folder_that_others_may_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    (tmp_path / "state" / "something").write_text("")
    line = refused(run("--state", tmp_path / "state", *LOOPBACK))
    assert line.startswith(f"the state folder {tmp_path}/state is open to others (mode 0755)")


def test_a_store_that_is_garbage_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "controller.db").write_bytes(b"garbage" * 1000)
    line = refused(run("--state", tmp_path / "state", *LOOPBACK))
    assert "can't be used: file is not a database" in line


def test_a_part_of_the_state_that_is_not_a_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "blobs").write_text("")
    line = refused(run("--state", tmp_path / "state", *LOOPBACK))
    assert line == f"{tmp_path}/state/blobs: File exists"


def test_a_wrong_setting_is_said(tmp_path: Path) -> None:
    file = tmp_path / "controller.toml"
    file.write_text("heartbeat_intervall = 5\n")
    line = refused(run("--state", tmp_path / "state", "--config", file))
    assert line == f"{file}: unknown setting 'heartbeat_intervall' (Did you mean heartbeat_interval?)"


def test_a_socket_where_others_may_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    line = refused(run("--state", tmp_path / "state", *LOOPBACK, "--socket", tmp_path / "open" / "s"))
    assert line.startswith(f"others may write to {tmp_path}/open (mode 0777)")


def test_a_socket_path_with_odd_characters_serves(tmp_path: Path) -> None:
    folder = tmp_path / "a b%20c"
    folder.mkdir(mode=0o700)
    with started(tmp_path / "state", "--socket", folder / "s"), socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(folder / "s"))
