"""forked_commands: run a playbook command many times from one process that has it imported.

`python forked_commands.py ansible-playbook|pybible-ctl`, with the interpreter of the environment that has the command.
Each line of standard input is a JSON list: an id, and the command's arguments. Each answer is a line on standard
output: the id, the exit status, standard output and standard error. Needs nothing but the command's own environment.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from typing import IO

SECONDS = 300


def ansible_playbook(arguments: Sequence[str]) -> None:
    """Become ansible-playbook."""
    playbook = importlib.import_module("ansible.cli.playbook")
    sys.argv = ["ansible-playbook", *arguments]
    playbook.main()


def pybible_ctl(arguments: Sequence[str]) -> None:
    """Become pybible-ctl run."""
    entry = importlib.import_module("pybible.server.cli.main")
    sys.argv = ["pybible-ctl", "run", *arguments]
    entry.main()


COMMANDS: dict[str, tuple[Callable[[Sequence[str]], None], tuple[str, ...]]] = {
    "ansible-playbook": (
        ansible_playbook,
        ("ansible.cli.playbook", "ansible.executor.playbook_executor", "ansible.plugins.strategy"),
    ),
    "pybible-ctl": (pybible_ctl, ("pybible.server.cli.main", "pybible.server.cli.run", "pybible.server.cli.playing")),
}


def in_child(command: Callable[[Sequence[str]], None], arguments: Sequence[str], out: IO[bytes], err: IO[bytes]) -> int:
    """Run the command in a child of its own and return its exit status; it is killed after SECONDS."""
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        for stream, number in ((out, 1), (err, 2)):
            os.dup2(stream.fileno(), number)
        status = 250
        try:
            command(arguments)
            status = 0
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        except BaseException:  # whatever it is, it is what the command ended with
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(name: str) -> None:
    """Answer requests until standard input ends."""
    command, imported = COMMANDS[name]
    sys.argv = [name]
    for module in imported:
        importlib.import_module(module)
    with os.fdopen(os.dup(1), "w") as answers, open(os.devnull, "rb") as nothing:  # noqa: PTH123
        requests = os.fdopen(os.dup(0))
        os.dup2(nothing.fileno(), 0)
        while line := requests.readline():
            number, *arguments = json.loads(line)
            with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
                status = in_child(command, arguments, out, err)
                texts = []
                for stream in (out, err):
                    stream.seek(0)
                    texts.append(stream.read().decode("utf-8", "replace"))
            print(json.dumps([number, status, *texts]), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
