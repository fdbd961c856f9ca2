"""test_controller_config: what an operator may write, and what is said about the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybible.server.controller.config import Address, load_config
from pybible.wire.errors import ConfigError


def written(folder: Path, text: str) -> Path:
    file = folder / "controller.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    config = load_config(tmp_path / "state")
    assert config.socket_path == tmp_path / "state" / "controller.sock"
    assert (config.heartbeat_interval, config.disconnect_grace) == (10.0, 15.0)


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, 'listen = "127.0.0.1:1"\nenroll_listen = "127.0.0.1:2"\ndisconnect_grace = 0\n')
    config = load_config(tmp_path, file=file, flags={"listen": "127.0.0.1:9", "enroll_listen": None})
    assert (config.listen, config.enroll_listen, config.disconnect_grace) == ("127.0.0.1:9", "127.0.0.1:2", 0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("heartbeat_intervall = 5", "unknown setting 'heartbeat_intervall'\nDid you mean heartbeat_interval?"),
        ("xyz = 5", "unknown setting 'xyz'\nKnown settings: accept_timeout, "),
        ('state = "/x"', "unknown setting 'state'"),
        ('heartbeat_interval = "5"', "heartbeat_interval must be a number, not '5'"),
        ("heartbeat_interval = true", "heartbeat_interval must be a number, not True"),
        ("heartbeat_interval = 0", "heartbeat_interval must be more than 0, not 0.0"),
        ("disconnect_grace = -1", "disconnect_grace must be 0 or more, not -1.0"),
        ("forks = 1.5", "forks must be a whole number, not 1.5"),
        ("listen = 7150", "listen must be a string, not 7150"),
        ('log_level = "loud"', "log_level must be one of debug, info, warning, error, not 'loud'"),
        ('listen = "nowhere"', "'nowhere' is not an address to listen on"),
        ("forks = 1\nlisten = x", "controller.toml: Invalid value (at line 2, column 10)"),
    ],
)
def test_what_is_wrong_in_the_file_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path, file=written(tmp_path, text))
    assert message in str(caught.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: No such file or directory"):
        load_config(tmp_path, file=tmp_path / "none.toml")


def test_a_path_too_long_for_a_socket_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too long for a socket"):
        load_config(tmp_path / ("x" * 100))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("[::1]:7150", Address("::1", 7150)),
        (":7150", Address("0.0.0.0", 7150)),  # noqa: S104
        ("controller.example:65535", Address("controller.example", 65535)),
    ],
)
def test_an_address_is_read_and_written(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize("text", ["", "host", "host:", "host:x", "host:65536", "::1:80", "host:-1", "host:٣"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Address.parse(text)


@pytest.mark.parametrize(
    ("listening", "advertise", "expected"),
    [
        (Address("127.0.0.1", 5), "", "127.0.0.1:5"),
        (Address("::1", 5), "", "[::1]:5"),
        (Address("0.0.0.0", 5), "controller.example", "controller.example:5"),  # noqa: S104
        (Address("127.0.0.1", 5), "2001:db8::1", "[2001:db8::1]:5"),
    ],
)
def test_the_address_in_tokens_is_one_that_can_be_dialled(
    tmp_path: Path, listening: Address, advertise: str, expected: str
) -> None:
    config = load_config(tmp_path, flags={"advertise": advertise})
    assert config.advertised(listening) == expected


@pytest.mark.parametrize(
    ("listening", "expected"),
    [
        (Address("0.0.0.0", 5), "controller.example:5"),  # noqa: S104
        (Address("10.0.0.9", 5), "10.0.0.9:5"),
    ],
)
def test_operators_are_told_the_interface_that_is_theirs(tmp_path: Path, listening: Address, expected: str) -> None:
    config = load_config(tmp_path, flags={"advertise": "controller.example"})
    assert config.advertised_to_operators(listening) == expected


def test_operators_have_a_port_only_where_it_is_set(tmp_path: Path) -> None:
    assert load_config(tmp_path).operators_listen == ""
    with pytest.raises(ConfigError, match="'7152' is not an address"):
        load_config(tmp_path, flags={"operators_listen": "7152"})
