"""lab: `pybible-ctl lab`: a throwaway controller and real agents on this machine, each a process with an identity."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
import grpc

from pybible.server.client.connection import Endpoint
from pybible.server.client.failures import call_failure
from pybible.server.client.processes import (
    LONGEST_SOCKET,
    Daemon,
    Signs,
    command_path,
    end_daemons,
    start_daemon,
    tail,
    wait_for_signs,
)
from pybible.v1 import fleet_pb2, fleet_pb2_grpc
from pybible.wire.errors import ConfigError, PybibleError

_RECORD = "lab.json"
_CALL_SECONDS = 30.0
_START_SECONDS = 60.0
_STOP_SECONDS = 8.0
_JOINS_AT_ONCE = 4
# How many agents of a swarm are worth a process of their own, and how long each may take to enrol and to attach.
_SWARM_SHARE = 250
_SWARM_SECONDS = 0.1

_state = click.option(
    "--state", required=True, type=click.Path(path_type=Path, file_okay=False), help="The lab's folder."
)


@dataclass(slots=True, kw_only=True)
class Lab:
    """What `lab.json` holds: the processes of a lab, in the order of their start, and what else it made."""

    folder: Path
    socket: str = ""
    scratch: str = ""
    made_folder: bool = False
    daemons: list[Daemon] = field(default_factory=list)

    def save(self) -> None:
        """Write it down, so that `down` finds whatever was started."""
        text = json.dumps({**asdict(self), "folder": str(self.folder)}, indent=2)
        (self.folder / _RECORD).write_text(text + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> Lab:
        """Read it. ConfigError when there is no lab."""
        try:
            found = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
            daemons = [Daemon(**each) for each in found.pop("daemons")]
            return Lab(**{**found, "folder": folder, "daemons": daemons})
        except FileNotFoundError:
            raise ConfigError(f"there is no lab in {folder}") from None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigError(f"{folder / _RECORD} can't be read: {error}") from error


@click.group("lab")
def command() -> None:
    """Start and stop a throwaway controller with agents on this machine."""


@command.command("up")
@click.option("--agents", "count", default=0, type=click.IntRange(0, 1000), help="How many agents.")
@click.option(
    "--swarm",
    default=0,
    type=click.IntRange(0, 99_999),
    metavar="N",
    help="How many more, in few processes, that answer every task and do nothing: swarm00001, ..., group kind_swarm.",
)
@_state
@click.option("--prefix", default="lab", help="Agents are called PREFIX01, PREFIX02, ...")
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="The controller's settings.")
@click.option("--agent-config", type=click.Path(path_type=Path, dir_okay=False), help="The settings of the agents.")
def up(count: int, swarm: int, state: Path, prefix: str, config: Path | None, agent_config: Path | None) -> None:
    """Start a controller and agents; print the line that makes them this shell's, for eval."""
    lab = _prepare(state.absolute())
    try:
        _start_controller(lab, config)
        names = [f"{prefix}{number:02}" for number in range(1, count + 1)]
        _start_agents(lab, names, agent_config)
        _start_swarm(lab, swarm)
    except BaseException:
        _end(lab)
        raise
    click.echo(f"export PYBIBLE_CONTROLLER={shlex.quote(f'unix:{lab.socket}')}")


@command.command("down")
@_state
def down(state: Path) -> None:
    """End the processes of a lab, and no others, and remove what it made."""
    _end(Lab.load(state.absolute()))


def _prepare(folder: Path) -> Lab:
    if (folder / _RECORD).exists():
        raise ConfigError(f"there is a lab in {folder} already", hint=f"End it: pybible-ctl lab down --state {folder}")
    made = not folder.exists()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "agents").mkdir(mode=0o700)
    except FileExistsError as error:
        raise ConfigError(f"{error.filename} is there already, and is not a lab's") from error
    except OSError as error:
        raise ConfigError(f"the folder {folder} can't be used: {error.strerror}") from error
    lab = Lab(folder=folder, made_folder=made, socket=str(folder / "controller" / "controller.sock"))
    if len(lab.socket.encode()) > LONGEST_SOCKET:
        lab.scratch = tempfile.mkdtemp(prefix="pybible-lab-")
        lab.socket = f"{lab.scratch}/controller.sock"
    lab.save()
    return lab


def _start_controller(lab: Lab, config: Path | None) -> None:
    log = lab.folder / "controller.log"
    signs = Signs()
    try:
        daemon, process = start_daemon(
            "the controller",
            (
                command_path("pybible-controller"),
                *("--state", str(lab.folder / "controller"), "--socket", lab.socket),
                *("--listen", "127.0.0.1:0", "--enroll-listen", "127.0.0.1:0"),
                *(("--config", str(config.absolute())) if config is not None else ()),
            ),
            log=log,
            environment=signs.environment,
        )
        lab.daemons.append(daemon)
        lab.save()
        with _explained(log):
            wait_for_signs(signs, "READY=1", count=1, processes={daemon.name: process}, seconds=_START_SECONDS)
    finally:
        signs.close()


def _start_agents(lab: Lab, names: list[str], config: Path | None) -> None:
    if not names:
        return
    token = _token(lab, len(names))
    with ThreadPoolExecutor(_JOINS_AT_ONCE) as pool:
        for _done in pool.map(lambda name: _join(lab, name, token), names):
            pass
    signs = Signs()
    processes = {}
    try:
        for name in names:
            daemon, processes[f"agent {name}"] = start_daemon(
                f"agent {name}",
                (
                    *(command_path("pybible-agent"), "run", "--state", str(lab.folder / "agents" / name)),
                    *(("--config", str(config.absolute())) if config is not None else ()),
                ),
                log=lab.folder / "agents" / f"{name}.log",
                environment=signs.environment,
            )
            lab.daemons.append(daemon)
        lab.save()
        with _explained(lab.folder / "agents" / f"{names[0]}.log"):
            wait_for_signs(
                signs, "STATUS=attached", count=len(names), processes=processes, seconds=_START_SECONDS + len(names)
            )
    finally:
        signs.close()


def _start_swarm(lab: Lab, count: int) -> None:
    """Start the processes of a swarm, each with its share of the agents, and wait until all of them are attached."""
    if not count:
        return
    shares = min(os.cpu_count() or 1, -(-count // _SWARM_SHARE))
    token = _token(lab, count, labels={"kind": "swarm"})
    signs = Signs()
    processes = {}
    log = lab.folder / "agents" / "swarm.log"
    first = 1
    try:
        for number in range(shares):
            share = count // shares + (number < count % shares)
            daemon, processes[f"swarm {first}"] = start_daemon(
                f"swarm {first}",
                (
                    *(sys.executable, "-P", "-m", "pybible.agent.swarm", "--agents", str(share), "--first", str(first)),
                    *("--state", str(lab.folder / "agents")),
                ),
                told=token,
                log=log,
                environment=signs.environment,
            )
            lab.daemons.append(daemon)
            first += share
        lab.save()
        with _explained(log):
            wait_for_signs(
                signs, "READY=1", count=shares, processes=processes, seconds=_START_SECONDS + count * _SWARM_SECONDS
            )
    finally:
        signs.close()


def _token(lab: Lab, uses: int, *, labels: Mapping[str, str] | None = None) -> str:
    with Endpoint.local(Path(lab.socket)).blocking_entered() as entrance, entrance.blocking_channel() as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        try:
            return stub.CreateToken(fleet_pb2.CreateTokenRequest(uses=uses, labels=labels), timeout=_CALL_SECONDS).token
        except grpc.RpcError as error:
            raise call_failure(error, lab.socket) from error


def _join(lab: Lab, name: str, token: str) -> None:
    state = lab.folder / "agents" / name
    done = subprocess.run(
        (command_path("pybible-agent"), "join", "--token", "-", "--name", name, "--state", str(state)),
        input=token,
        capture_output=True,
        text=True,
        timeout=_START_SECONDS,
        check=False,
    )
    if done.returncode:
        raise PybibleError(f"agent {name} can't join: {(done.stderr or done.stdout).strip()}")


@contextlib.contextmanager
def _explained(log: Path) -> Iterator[None]:
    """Let an error show the end of the log that says more."""
    try:
        yield
    except PybibleError as error:
        raise PybibleError(error.message, hint=tail(log)) from error


def _end(lab: Lab) -> None:
    end_daemons(lab.daemons[1:], seconds=_STOP_SECONDS)
    end_daemons(lab.daemons[:1], seconds=_STOP_SECONDS)
    for name in ("controller", "agents", lab.scratch):
        if name:
            shutil.rmtree(lab.folder / name, ignore_errors=True)
    for name in ("controller.log", _RECORD):
        (lab.folder / name).unlink(missing_ok=True)
    if lab.made_folder:
        with contextlib.suppress(OSError):
            lab.folder.rmdir()
