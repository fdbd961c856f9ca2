"""peers: other tools on the same workloads, where they are installed: ansible-core over an sshd on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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


def ansible_playbook() -> str | None:
    """Return the ansible-playbook to compare with: .venv-ansible's, or the one on PATH."""
    own = ROOT / ".venv-ansible" / "bin" / "ansible-playbook"
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
