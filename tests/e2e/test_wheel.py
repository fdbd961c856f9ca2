"""wheel: what a host gets without extras is the agent's needs and no more, and each command runs where it should."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
SERVER_ONLY = {"jinja2", "pyyaml", "sqlalchemy", "alembic", "click", "rich", "ansible-core"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(build, check=True)
    [path] = folder.glob("pybible-*.whl")
    return path


def _install(folder: Path, requirement: str) -> Path:
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", str(ROOT / "constraints.txt"), requirement], check=True)
    return folder / "bin"


def _packages(scripts: Path) -> set[str]:
    command = [str(scripts / "python"), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {str(entry["name"]).lower() for entry in json.loads(listed)}


def _output(*command: Path | str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_an_agent_without_extras_runs_and_is_light(wheel: Path, tmp_path: Path) -> None:
    scripts = _install(tmp_path / "agent", str(wheel))
    assert _packages(scripts) & SERVER_ONLY == set()
    assert "pybible-agent" in _output(scripts / "pybible-agent", "--version")
    assert "join" in _output(scripts / "pybible-agent", "--help")
    every_module = "from pybible.agent.modules import registry; [registry.find(name) for name in registry.NAMES]"
    _output(scripts / "python", "-c", every_module)
    for command in ("pybible-ctl", "pybible-controller"):
        done = subprocess.run([scripts / command, "--version"], capture_output=True, text=True, timeout=60, check=False)
        expected = f"{command}: this is an agent's install; for this command: pip install 'pybible[server]'\n"
        assert (done.returncode, done.stderr) == (1, expected)


def test_the_server_extra_runs_a_playbook_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    scripts = _install(tmp_path / "server", f"{wheel}[server]")
    assert {"jinja2", "pyyaml", "sqlalchemy", "click"} <= _packages(scripts)
    assert "pybible-controller" in _output(scripts / "pybible-controller", "--version")
    playbook = tmp_path / "site.yml"
    playbook.write_text("- hosts: localhost\n  gather_facts: false\n  tasks: [{command: echo hi}]\n")
    command = [str(scripts / "pybible-ctl"), "run", str(playbook)]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert "changed: [localhost]" in done.stdout
