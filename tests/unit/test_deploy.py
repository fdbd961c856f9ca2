"""deploy: what deploy/ holds agrees with the programs it starts."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path

import pytest

from pybible.agent import config as agent_config
from pybible.server.controller import config as controller_config

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def test_the_example_configuration_of_the_controller_is_its_defaults(tmp_path: Path) -> None:
    loaded = controller_config.load_config(tmp_path, file=DEPLOY / "examples" / "controller.toml")
    assert loaded == controller_config.load_config(tmp_path)


def test_the_example_configuration_of_the_agent_is_its_defaults() -> None:
    assert agent_config.load_config(DEPLOY / "examples" / "agent.toml") == agent_config.Config()


@pytest.mark.parametrize("name", ["pybible-controller", "pybible-agent"])
def test_a_unit_starts_its_daemon_and_waits_for_its_word(name: str) -> None:
    unit = configparser.RawConfigParser(strict=False, interpolation=None, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # keys of units are case-sensitive
    unit.read(DEPLOY / "systemd" / f"{name}.service")
    program, *_ = shlex.split(unit["Service"]["ExecStart"])
    assert Path(program).name == name
    assert unit["Service"]["Type"] == "notify"
    assert int(unit["Service"]["WatchdogSec"]) > 0
