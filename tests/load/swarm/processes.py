"""processes: a swarm as its starter sees it: so many processes, and how many of their agents are attached."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pybible.server.client.connection import Endpoint
from pybible.v1 import fleet_pb2, fleet_pb2_grpc

_CALL_SECONDS = 30.0
# How long it is looked at how many a storm cuts off.
_LOOK_SECONDS = 0.3
_TOKEN_SECONDS = 3600


class Swarm:
    """A running swarm."""

    def __init__(self, *, agents: int) -> None:
        self.agents = agents
        self.processes: list[subprocess.Popen[str]] = []
        self._attached: dict[int, int] = {}
        self._enrolled: set[int] = set()
        self._changed = threading.Condition()

    @property
    def pids(self) -> list[int]:
        """Its processes."""
        return [process.pid for process in self.processes]

    @property
    def attached(self) -> int:
        """How many agents have a session."""
        return sum(self._attached.values())

    def wait_enrolled(self, seconds: float) -> None:
        """Wait until every agent has an identity. TimeoutError."""
        self._wait(lambda: len(self._enrolled) == len(self.processes), seconds)

    def wait_attached(self, seconds: float) -> float:
        """Wait until every agent is attached, and return how long that took. TimeoutError."""
        began = time.monotonic()
        self._wait(lambda: self.attached == self.agents, seconds)
        return time.monotonic() - began

    def wait_gone(self, seconds: float) -> None:
        """Wait until no agent is attached. TimeoutError."""
        self._wait(lambda: not self.attached, seconds)

    def wait_cut(self, seconds: float) -> int:
        """Wait until an agent is gone, and return how many are left, the fewest for a while. TimeoutError."""
        self._wait(lambda: self.attached < self.agents, seconds)
        fewest = self.attached
        deadline = time.monotonic() + _LOOK_SECONDS
        with self._changed:
            while (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
                fewest = min(fewest, self.attached)
        return fewest

    def storm(self) -> None:
        """Cut a random third of the agents off, all at once."""
        for process in self.processes:
            process.send_signal(signal.SIGUSR1)

    def listen(self, process: subprocess.Popen[str]) -> None:
        """Take what a process says, until its end."""
        assert process.stdout is not None
        for line in process.stdout:
            word, _, number = line.strip().partition(" ")
            with self._changed:
                if word == "enrolled":
                    self._enrolled.add(process.pid)
                elif word == "attached":
                    self._attached[process.pid] = int(number)
                self._changed.notify_all()
        with self._changed:
            self._attached.pop(process.pid, None)
            self._changed.notify_all()

    def _wait(self, what: object, seconds: float) -> None:
        assert callable(what)
        with self._changed:
            if not self._changed.wait_for(what, seconds):
                raise TimeoutError(f"{self.attached} of {self.agents} agents are attached after {seconds:.0f} s")


@contextmanager
def swarm(
    *, agents: int, state: Path, socket: str = "", token: str = "", processes: int = 1, words: Sequence[str] = ()
) -> Iterator[Swarm]:
    """Start one, each process with its share of the agents; end it with the block.

    `socket`: the operators' of the controller, where a token is made unless one is given. `words`: further options of
    each process.
    """
    token = token or (_token(socket, agents) if socket else "")
    running = Swarm(agents=agents)
    threads = []
    first = 1
    try:
        for number in range(processes):
            share = agents // processes + (number < agents % processes)
            command = [sys.executable, "-m", "tests.load.swarm.fleet", "--agents", str(share), "--first", str(first)]
            command += ["--state", str(state), "--token", token, *words]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
            running.processes.append(process)
            thread = threading.Thread(target=running.listen, args=(process,))
            thread.start()
            threads.append(thread)
            first += share
        yield running
    finally:
        for process in running.processes:
            process.terminate()
        for process in running.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for thread in threads:
            thread.join()
        for process in running.processes:
            assert process.stdout is not None
            process.stdout.close()


def _token(socket: str, uses: int) -> str:
    with Endpoint.local(Path(socket)).blocking_entered() as entrance, entrance.blocking_channel() as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        request = fleet_pb2.CreateTokenRequest(uses=uses)
        request.ttl.FromSeconds(_TOKEN_SECONDS)
        return stub.CreateToken(request, timeout=_CALL_SECONDS).token
