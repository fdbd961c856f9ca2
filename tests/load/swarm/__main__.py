"""The command: python -m tests.load.swarm."""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
from pathlib import Path

from tests.load.swarm import fleet
from tests.load.swarm.processes import swarm

_START_SECONDS = 600.0


def main() -> int:
    """Start a swarm, and say how many of it are attached until SIGINT or SIGTERM."""
    parser = fleet.parser()
    parser.add_argument(
        "--controller", default="", metavar="DIR", help="state folder of a controller, or unix:SOCKET: makes the token"
    )
    parser.add_argument("--processes", type=int, default=1, metavar="P", help="how many processes share the agents")
    options = parser.parse_args()
    if not options.controller and not options.token and options.state is None:
        parser.error("--controller DIR, --token TOKEN, or the --state of agents that are enrolled")
    socket = options.controller.removeprefix("unix:")
    if socket and Path(socket).is_dir():
        socket = str(Path(socket) / "controller.sock")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    words = ["--prefix", options.prefix, "--seed", str(options.seed), "--script", options.script]
    words += ["--reconnect-limit", str(options.reconnect_limit), "--log-level", options.log_level]
    if options.marks is not None:
        words += ["--marks", str(options.marks)]
    with tempfile.TemporaryDirectory(prefix="swarm") as scratch:
        state = options.state or Path(scratch)
        with swarm(
            agents=options.agents,
            state=state,
            socket=socket,
            token=options.token,
            processes=options.processes,
            words=words,
        ) as running:
            print(f"{options.agents} agents in {options.processes} processes, seed {options.seed}", flush=True)
            told = -1
            while not stop.wait(1.0):
                if running.attached != told:
                    told = running.attached
                    print(f"attached: {told}", flush=True)
                if any(process.poll() is not None for process in running.processes):
                    return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
