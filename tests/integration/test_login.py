"""test_login: an operator on another machine, with a certificate of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from pybible.server.cli import agents, login
from pybible.server.client.connection import parse_endpoint
from pybible.wire.errors import AccessDenied, ConfigError, ConnectionFailed, ProtocolError, UsageError
from pybible.wire.identity import JoinToken, OperatorRole
from tests.support.controller import controller


async def invoke(command: click.Command, *words: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, command, list(words), standalone_mode=False)


def nothing_in(folder: Path) -> bool:
    return not folder.exists()


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where ctl keeps its configuration in this test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("PYBIBLE_CONTROLLER", raising=False)
    return tmp_path / "config/pybible"


async def test_with_a_token_the_controller_answers_from_then_on(tmp_path: Path, config: Path) -> None:
    async with controller(tmp_path) as running:
        await running.enrol("web01")
        token = await running.controller.create_token(operator_role=OperatorRole.ADMIN)
        done = await invoke(login.command, "--token", token, "--name", "ada")
        assert done.exception is None, done.exception
        assert "operator ada" in done.output
        assert (config / "operator/key.pem").stat().st_mode & 0o777 == 0o600
        assert (config / "config.toml").read_text() == f'controller = "{running.operator_address}"\n'
        listed = await invoke(agents.command)
        assert listed.exception is None, listed.exception
        assert "web01" in listed.output
        (config / "operator/key.pem").chmod(0o644)
        refused = (await invoke(agents.command)).exception
        assert isinstance(refused, ConfigError)
        assert "key.pem holds a key and is not its owner's alone (mode 0644)" in str(refused)


async def test_a_login_of_before_operators_had_a_port_says_where_it_is(tmp_path: Path, config: Path) -> None:
    async with controller(tmp_path) as running:
        token = await running.controller.create_token(operator_role=OperatorRole.ADMIN)
        assert (await invoke(login.command, "--token", token, "--name", "ada")).exception is None
        for address, told in (
            (running.agent_address, f"the agents' port; operators connect to {running.operator_address}"),
            (running.enroll_address, "this port has no such method"),
        ):
            (config / "config.toml").write_text(f'controller = "{address}"\n')
            refused = (await invoke(agents.command)).exception
            assert isinstance(refused, ConnectionFailed)
            assert told in refused.message
            assert "Is that the operators' port?" in refused.hint


async def test_an_agents_token_makes_no_operator(tmp_path: Path, config: Path) -> None:
    async with controller(tmp_path) as running:
        done = await invoke(login.command, "--token", await running.controller.create_token())
    assert isinstance(done.exception, ProtocolError)
    assert "certificate of an agent" in str(done.exception)
    assert nothing_in(config)


async def test_a_controller_that_is_not_the_tokens_gets_no_secret(tmp_path: Path, config: Path) -> None:
    async with controller(tmp_path / "a") as one, controller(tmp_path / "b") as other:
        token = await one.controller.create_token(operator_role=OperatorRole.ADMIN)
        done = await invoke(login.command, "--token", token, "--controller", other.enroll_address)
        assert isinstance(done.exception, AccessDenied)
        assert "is not the controller that the token is for" in str(done.exception)
        assert nothing_in(config)
        assert (await invoke(login.command, "--token", token)).exception is None


async def test_what_is_no_token_and_where_nobody_listens() -> None:
    assert isinstance((await invoke(login.command, "--token", "x")).exception, UsageError)
    assert isinstance((await invoke(login.command, "--token", " ")).exception, UsageError)
    nowhere = JoinToken(address="127.0.0.1:1", pin="0" * 64, secret="s").encode()
    assert isinstance((await invoke(login.command, "--token", nowhere)).exception, ConnectionFailed)


@pytest.mark.parametrize("text", ["", "unix:", "host", "host:", ":1", "host:port"])
def test_what_is_no_address(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        parse_endpoint(text, identity_folder=tmp_path)


def test_addresses(tmp_path: Path) -> None:
    assert parse_endpoint("unix:/run/x.sock", identity_folder=tmp_path).target == "unix:/run/x.sock"
    with pytest.raises(ConfigError, match="no operator identity"):
        parse_endpoint("host:1", identity_folder=tmp_path)
