"""deploy: what deploy/ holds agrees with the programs it starts."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from pybible.agent import config as agent_config
from pybible.server.controller import config as controller_config

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNIT = DEPLOY / "systemd" / "pybible-controller.service"
ANALYZE = shutil.which("systemd-analyze") or ""
needs_systemd = pytest.mark.skipif(not ANALYZE, reason="needs systemd-analyze")


def test_the_example_configuration_of_the_controller_is_its_defaults(tmp_path: Path) -> None:
    loaded = controller_config.load_config(tmp_path, file=DEPLOY / "examples" / "controller.toml")
    assert loaded == controller_config.load_config(tmp_path)


def test_the_example_configuration_of_the_agent_is_its_defaults() -> None:
    assert agent_config.load_config(DEPLOY / "examples" / "agent.toml") == agent_config.Config()


def unit_of(name: str) -> configparser.RawConfigParser:
    unit = configparser.RawConfigParser(strict=False, interpolation=None, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # keys of units are case-sensitive
    unit.read(DEPLOY / "systemd" / f"{name}.service")
    return unit


@pytest.mark.parametrize("name", ["pybible-controller", "pybible-agent"])
def test_a_unit_starts_its_daemon_and_waits_for_its_word(name: str) -> None:
    unit = unit_of(name)
    program, *_ = shlex.split(unit["Service"]["ExecStart"])
    assert Path(program).name == name
    assert unit["Service"]["Type"] == "notify"
    assert int(unit["Service"]["WatchdogSec"]) > 0


@pytest.mark.parametrize("name", ["pybible-controller", "pybible-agent"])
@needs_systemd
def test_systemd_understands_every_line_of_a_unit(name: str, tmp_path: Path) -> None:
    text = (DEPLOY / "systemd" / f"{name}.service").read_text()
    copy = tmp_path / f"{name}.service"
    # The programs are not installed here.
    copy.write_text(text.replace(f"/opt/pybible/bin/{name}", "/bin/true"))
    done = subprocess.run([ANALYZE, "verify", "--man=no", copy], capture_output=True, text=True, timeout=60)
    about = [line for line in done.stderr.splitlines() if f"{name}.service" in line]
    assert (done.returncode, about) == (0, [])


def test_the_controller_is_a_user_of_its_own_who_can_become_no_other() -> None:
    service = unit_of("pybible-controller")["Service"]
    assert service["User"] not in {"", "root"}
    assert (service["NoNewPrivileges"], service["CapabilityBoundingSet"]) == ("yes", "")
    # Its keys are nobody else's, whatever becomes of it.
    assert (service["StateDirectoryMode"], service["UMask"], service["LimitCORE"]) == ("0700", "0077", "0")


@needs_systemd
def test_the_controllers_unit_leaves_little_open() -> None:
    # 13: its mark is 1.3 of 10 at worst, where 10 is a unit that closes nothing.
    command = [ANALYZE, "security", "--offline=true", "--threshold=13", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
