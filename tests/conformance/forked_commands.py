"""forked_commands: run a playbook command many times from one process that has it imported.

`python forked_commands.py ansible-playbook|pybible-ctl`, with the interpreter of the environment that has the command.
Each line of standard input is a JSON list: the command's arguments, the folder it starts in, its environment (null:
this one's), whether its two outputs are one. Each answer is a line on standard output, a JSON list: the exit status,
standard output and standard error. Needs nothing but the command's own environment.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import IO

SECONDS = 120


def ansible_playbook(arguments: Sequence[str]) -> None:
    """Become ansible-playbook."""
    playbook = importlib.import_module("ansible.cli.playbook")
    sys.argv = ["ansible-playbook", *arguments]
    playbook.main()


def pybible_ctl(arguments: Sequence[str]) -> None:
    """Become pybible-ctl."""
    entry = importlib.import_module("pybible.server.cli.main")
    sys.argv = ["pybible-ctl", *arguments]
    entry.main()


COMMANDS: dict[str, tuple[Callable[[Sequence[str]], None], tuple[str, ...]]] = {
    "ansible-playbook": (
        ansible_playbook,
        ("ansible.cli.playbook", "ansible.executor.playbook_executor", "ansible.plugins.strategy"),
    ),
    "pybible-ctl": (
        pybible_ctl,
        (
            "pybible.server.cli.main", "pybible.server.cli.run", "pybible.server.cli.playing",
            "pybible.server.cli.inventory", "pybible.server.client.embedded", "pybible.server.report.screen",
        ),
    ),
}  # fmt: skip


def in_child(
    command: Callable[[Sequence[str]], None],
    arguments: Sequence[str],
    *,
    directory: str,
    environment: Mapping[str, str] | None,
    outputs: tuple[IO[bytes], IO[bytes]],
) -> int:
    """Run the command in a child of its own and return its exit status; it is killed after SECONDS."""
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        for number, stream in enumerate(outputs, start=1):
            os.dup2(stream.fileno(), number)
        status = 250
        try:
            os.chdir(directory)
            if environment is not None:
                os.environ.clear()
                os.environ.update(environment)
                time.tzset()
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
    # No child looks through what they all share.
    gc.freeze()
    with os.fdopen(os.dup(1), "w") as answers, open(os.devnull, "rb") as nothing:  # noqa: PTH123
        requests = os.fdopen(os.dup(0))
        os.dup2(nothing.fileno(), 0)
        while line := requests.readline():
            arguments, directory, environment, merged = json.loads(line)
            with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
                outputs = (out, out if merged else err)
                status = in_child(command, arguments, directory=directory, environment=environment, outputs=outputs)
                texts = []
                for stream in (out, err):
                    stream.seek(0)
                    texts.append(stream.read().decode("utf-8", "replace"))
            print(json.dumps([status, *texts]), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
