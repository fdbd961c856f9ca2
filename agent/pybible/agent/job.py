"""job: the program in which a module runs that a task does not wait for (`async`). It is nobody's child.

`python -m pybible.agent.job FILE` reads on standard input what to run, and returns when the job is a process of its
own session. Two processes then live on: one in which the module runs, and one that waits for its end or its time limit
and sees that FILE says how it ended, whatever happens.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import traceback
from pathlib import Path

from pybible.agent import processes
from pybible.agent.modules.async_wrapper import contents_of, write_state
from pybible.wire.limits import RESULT_BYTES
from pybible.wire.values import JsonObject, dumps, loads_object


def main(arguments: list[str]) -> int:
    """Become a job and run it."""
    path = Path(arguments[0])
    told = loads_object(sys.stdin.buffer.read())
    if os.fork():
        return 0
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    began = processes.boot_ticks()
    child = os.fork()
    if child:
        _watch(child, path, float(told["limit"]), since=began)
    else:
        _be_module(path, told)
    os._exit(0)


def _watch(child: int, path: Path, limit: float, *, since: int) -> None:
    """Wait for the module's end, at most for its time."""
    try:
        descriptor = os.pidfd_open(child)
        if not select.select([descriptor], [], [], limit)[0]:
            _end_all(since)
            write_state(path, dumps({"msg": "Timeout exceeded", "failed": True, "child_pid": child}))
            return
        _, status = os.waitpid(child, 0)
        if status:
            how = os.waitstatus_to_exitcode(status)
            text = f"the job ended without a result: {f'signal {-how}' if how < 0 else f'exit status {how}'}"
            write_state(path, dumps({"msg": text, "failed": True, "child_pid": child}))
    finally:
        shutil.rmtree(contents_of(path), ignore_errors=True)


def _end_all(since: int) -> None:
    """Kill the module and all that it started, until there is nothing left."""
    while processes.send(processes.of_task(os.getpid(), since=since - 1), signal.SIGKILL) == []:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _be_module(path: Path, told: JsonObject) -> None:
    """Run the module, write what it gives, and end."""
    code = 1
    try:
        write_state(path, _result(told))
        code = 0
    finally:
        # Nothing that a module left behind may keep this process, and nothing of the watcher's is to be done twice.
        os._exit(code)


def _result(told: JsonObject) -> bytes:
    from pybible.agent.modules import registry, runner
    from pybible.agent.modules.api import Context

    contents: dict[str, str] = told["contents"]
    context = Context(
        check=told["check"],
        diff=told["diff"],
        verbosity=told["verbosity"],
        environment=told["environment"],
        content=lambda sha256: Path(contents[sha256]),
        emit=lambda _stream, _data: None,
        no_log=told["no_log"],
    )
    try:
        module = registry.find(told["module"])
        if module is None:
            return dumps({"failed": True, "msg": f"this agent has no module {told['module']!r}"})
        result = dumps(runner.run(module, told["arguments"], context))
    except BaseException as error:
        # SystemExit as well: a module must not end without a word.
        text = f"{type(error).__name__}: {error}"
        return dumps({"failed": True, "msg": text, "exception": traceback.format_exc()})
    if len(result) > RESULT_BYTES:
        msg = f"the module's result is {len(result)} bytes long; at most {RESULT_BYTES} can be returned"
        return dumps({"failed": True, "msg": msg})
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
