"""lab: a throwaway controller and real agents, each a process of its own, through the installed commands."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 120


@dataclass(slots=True, kw_only=True)
class Lab:
    """A running lab. `controller` is what PYBIBLE_CONTROLLER takes."""

    folder: Path
    controller: str
    # The controller's settings.
    config: Path | None = None
    # What a test started again, beyond what the lab knows of.
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def pids(self) -> dict[str, int]:
        """The process ids by name: "controller", and each agent's name."""
        daemons = json.loads((self.folder / "lab.json").read_text())["daemons"]
        return {daemon["name"].removeprefix("agent ").removeprefix("the "): daemon["pid"] for daemon in daemons}

    def agent(self, name: str) -> dict[str, object]:
        """Return what the controller says of an agent."""
        found: dict[str, object] = json.loads(self.ctl("agents", "show", name, "--json", check=True).stdout)
        return found

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to the controller or to an agent."""
        process = self.started.get(name)
        os.kill(process.pid if process else self.pids[name], number)

    def kill(self, name: str) -> None:
        """Kill the controller or an agent, with no chance to say goodbye."""
        self.signal(name, signal.SIGKILL)
        if name in self.started:
            self.started.pop(name).wait()

    def start_agent(self, name: str) -> None:
        """Start the process of an agent that was killed anew."""
        state = self.folder / "agents" / name
        with (self.folder / "agents" / f"{name}.log").open("ab") as log:
            command = ["pybible-agent", "run", "--state", str(state)]
            self.started[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start_controller(self, *words: str, environment: Mapping[str, str] | None = None) -> None:
        """Start a controller that was killed anew, on the same state and ports."""
        state = self.folder / "controller"
        addresses = json.loads((state / "addresses.json").read_text())
        listen = ["--listen", addresses["agents"], "--enroll-listen", addresses["enrolment"]]
        socket = self.controller.removeprefix("unix:")
        with (self.folder / "controller.log").open("ab") as log:
            settings = ["--config", str(self.config)] if self.config is not None else []
            command = ["pybible-controller", "--state", str(state), "--socket", socket, *settings, *listen, *words]
            self.started["controller"] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **(environment or {})}
            )

    def ctl(self, *words: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        """Run pybible-ctl to its end."""
        return subprocess.run(
            ["pybible-ctl", *words],
            env={**os.environ, "PYBIBLE_CONTROLLER": self.controller},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=check,
        )

    def spawn(self, *words: str) -> subprocess.Popen[str]:
        """Start pybible-ctl and leave it running."""
        return subprocess.Popen(
            ["pybible-ctl", *words],
            env={**os.environ, "PYBIBLE_CONTROLLER": self.controller},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self) -> None:
        """End what a test started."""
        for process in self.started.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


@contextmanager
def lab(
    *, agents: int, prefix: str = "lab", state: Path | None = None, config: str = "", agent_config: str = ""
) -> Iterator[Lab]:
    """Start one, with the settings of controller and agents as TOML, and end all its processes whatever happens."""
    with tempfile.TemporaryDirectory() as folder:
        where = state or Path(folder) / "lab"
        up = ["pybible-ctl", "lab", "up", "--agents", str(agents), "--prefix", prefix, "--state", str(where)]
        for option, text in (("--config", config), ("--agent-config", agent_config)):
            if text:
                settings = Path(folder) / f"{option.strip('-')}.toml"
                settings.write_text(text)
                up += [option, str(settings)]
        printed = subprocess.run(up, check=True, capture_output=True, text=True, timeout=SECONDS).stdout
        [line] = [line for line in printed.splitlines() if line.startswith("export PYBIBLE_CONTROLLER=")]
        running = Lab(
            folder=where,
            controller=line.partition("=")[2].strip("'\""),
            config=Path(folder) / "config.toml" if config else None,
        )
        try:
            yield running
        finally:
            running.end()
            subprocess.run(["pybible-ctl", "lab", "down", "--state", str(where)], check=True, timeout=60)
