"""peers: other tools on the same workloads, where they are installed, over an sshd on loopback.

Each is looked for in the environment that PYBIBLE_BENCH_ANSIBLE, _MITOGEN or _PYINFRA names, or in .venv-ansible,
.venv-mitogen, .venv-pyinfra beside the checkout (`make peers` makes them). They are slow: few hosts and tasks tell
their rates.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.load import workloads
from tests.load.workloads import Workload

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Wall and CPU seconds of one command; the largest resident set that it, or a child of it, had, in bytes."""

    wall: float
    cpu: float
    memory: int = 0


def timed(command: list[str], *, environment: dict[str, str] | None = None, cwd: Path | None = None) -> Timing:
    """Run a command that must succeed, and time it."""
    with tempfile.TemporaryFile("w+") as printed:
        started = time.monotonic()
        process = subprocess.Popen(
            command, env={**os.environ, **(environment or {})}, cwd=cwd, stdin=subprocess.DEVNULL, stdout=printed,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            printed.seek(0)
            raise RuntimeError(f"{command[0]} ended with {process.returncode}:\n{printed.read()[-4000:]}")
    return Timing(wall=wall, cpu=used.ru_utime + used.ru_stime, memory=used.ru_maxrss * 1024)


def environment_of(name: str) -> Path:
    """Return the virtual environment of a peer, whether it is there or not."""
    return Path(os.environ.get(f"PYBIBLE_BENCH_{name.upper()}", ROOT / f".venv-{name}"))


def ansible_playbook() -> str | None:
    """Return the ansible-playbook to compare with: its environment's, or the one on PATH."""
    own = environment_of("ansible") / "bin" / "ansible-playbook"
    return str(own) if own.exists() else shutil.which("ansible-playbook")


def sshd() -> str | None:
    """Return the sshd to run, if there is one."""
    found = shutil.which("sshd") or "/usr/sbin/sshd"
    return found if Path(found).exists() and shutil.which("ssh") else None


@contextmanager
def ssh_server(folder: Path) -> Iterator[tuple[int, Path]]:
    """Run an sshd on loopback that knows one key; yield its port and the private key."""
    program = sshd()
    if program is None:
        raise RuntimeError("no sshd is installed")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    lines = [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {folder}/host",
        f"AuthorizedKeysFile {folder}/authorized",
        f"PidFile {folder}/pid",
        "StrictModes no",
        "UsePAM no",
        "PermitRootLogin prohibit-password",
        "MaxStartups 200",
        "MaxSessions 200",
        "Subsystem sftp internal-sftp",
    ]
    (folder / "sshd_config").write_text("\n".join(lines) + "\n")
    Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen([program, "-D", "-f", str(folder / "sshd_config")], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield port, folder / "user"
    finally:
        server.terminate()
        server.wait(10)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"sshd does not listen on port {port}")


def ansible_environment(key: Path) -> dict[str, str]:
    """Return the settings with which ansible-core is fastest over ssh."""
    return {
        "ANSIBLE_HOST_KEY_CHECKING": "false",
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_PRIVATE_KEY_FILE": str(key),
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s -o StrictHostKeyChecking=no",
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What a peer did: host-tasks a second, and CPU seconds of its control node for each."""

    rate: float
    cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another tool: its command, on how many hosts it is measured, and with how many tasks of W1 and W2."""

    name: str
    hosts: int
    tasks: int
    command: Callable[[Path, int, Path], list[str]]
    environment: Mapping[str, str]
    # Its own playbooks of the workloads, in the order in which they run.
    workloads: Callable[[Path, int], list[Workload]]

    def measure(self) -> dict[str, Rate]:
        """Return its rates by workload."""
        found = {}
        with tempfile.TemporaryDirectory(prefix="bench") as scratch:
            folder = Path(scratch)
            (folder / "out").mkdir()
            with ssh_server(folder) as (port, key):
                command = self.command(folder, port, key)
                environment = {**self.environment, **ansible_environment(key)}
                for workload in self.workloads(folder / "out", self.tasks):
                    timing = timed([*command, str(workload.write(folder))], environment=environment, cwd=folder)
                    count = self.hosts * workload.tasks
                    found[workload.name] = Rate(rate=count / timing.wall, cpu=timing.cpu / count)
        return found


def installed() -> list[Peer]:
    """Return the peers that are here, each with what is said of those that are not printed."""
    if sshd() is None:
        print("all peers are left out: sshd is not installed")
        return []
    found = []
    program = ansible_playbook()
    if program is not None:
        found.append(_ansible("ansible-core", program, hosts=5, tasks=4))
    mitogen = environment_of("mitogen") / "bin" / "ansible-playbook"
    plugins = next(environment_of("mitogen").glob("lib/python*/site-packages/ansible_mitogen/plugins/strategy"), None)
    if mitogen.exists() and plugins is not None:
        strategy = {"ANSIBLE_STRATEGY_PLUGINS": str(plugins), "ANSIBLE_STRATEGY": "mitogen_linear"}
        found.append(_ansible("mitogen", str(mitogen), hosts=10, tasks=10, **strategy))
    pyinfra = environment_of("pyinfra") / "bin" / "pyinfra"
    if pyinfra.exists():
        found.append(_pyinfra(str(pyinfra), hosts=25, tasks=10))
    for name in ("ansible-core", "mitogen", "pyinfra"):
        if all(peer.name != name for peer in found):
            print(f"{name} is left out: it is not installed (`make peers`)")
    return found


def one_ping(*, rounds: int) -> float:
    """Return the seconds that ansible-playbook takes for a ping of one host, start to exit; 0 without it."""
    program = ansible_playbook()
    if program is None or sshd() is None:
        return 0.0
    with tempfile.TemporaryDirectory(prefix="bench") as scratch, ssh_server(Path(scratch)) as (port, key):
        folder = Path(scratch)
        inventory = workloads.inventory(folder, ["bench01"], f"ansible_host=127.0.0.1 ansible_port={port}")
        command = [program, "-i", str(inventory), str(workloads.repeated("one", "ping:", 1).write(folder))]
        tries = [timed(command, environment=ansible_environment(key)).wall for _ in range(rounds)]
    return statistics.median(tries)


def _names(hosts: int) -> list[str]:
    return [f"bench{number:02}" for number in range(1, hosts + 1)]


def _ansible(name: str, program: str, *, hosts: int, tasks: int, **environment: str) -> Peer:
    """Return ansible-playbook, as it is or with another strategy."""

    def command(folder: Path, port: int, _key: Path) -> list[str]:
        inventory = workloads.inventory(folder, _names(hosts), f"ansible_host=127.0.0.1 ansible_port={port}")
        return [program, "-i", str(inventory), "-f", str(hosts)]

    return Peer(name=name, hosts=hosts, tasks=tasks, command=command, environment=environment, workloads=_playbooks)


def _playbooks(out: Path, tasks: int) -> list[Workload]:
    realistic = workloads.realistic(out)
    return [
        workloads.repeated("W1", "ping:", tasks),
        workloads.repeated("W2", "command: /bin/true", tasks),
        realistic,
        workloads.again(realistic),
        workloads.facts(),
    ]


def _pyinfra(program: str, *, hosts: int, tasks: int) -> Peer:
    def command(folder: Path, port: int, key: Path) -> list[str]:
        data = {"ssh_hostname": "127.0.0.1", "ssh_port": port, "ssh_user": "root", "ssh_key": str(key)}
        data["ssh_strict_host_key_checking"] = "off"
        path = folder / "hosts.py"
        path.write_text(f"bench = [(name, {data!r}) for name in {_names(hosts)!r}]\n")
        return [program, "-y", "--parallel", str(hosts), str(path)]

    return Peer(
        name="pyinfra", hosts=hosts, tasks=tasks, command=command, environment={}, workloads=workloads.of_pyinfra
    )
