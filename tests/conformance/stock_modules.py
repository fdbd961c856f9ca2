"""stock_modules: run stock modules many times from one process that has imported what they share.

`python stock_modules.py`, with the interpreter of an environment that has ansible-core. Each line of standard input is
a JSON list: the module as Python names it, the file that holds its arguments, its working directory, its environment.
Each answer is a line on standard output: the exit status, standard output and standard error of the module, which ran
in a child of its own as `python -m MODULE FILE` would have.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import runpy
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from typing import IO

SECONDS = 300
# What most modules import, and none of which looks at the host while it is imported.
SHARED = ("ansible.module_utils.basic", "ansible.module_utils.urls", "ansible.module_utils.common.text.converters")


def run(module: str, file: str, directory: str, environment: Mapping[str, str]) -> None:
    """Become the module. What it respawns under another Python finds this one's packages."""
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(directory)
    sys.argv = [module, file]
    basic = importlib.import_module("ansible.module_utils.basic")
    place = os.path.dirname(os.path.dirname(os.path.dirname(str(basic.__file__))))  # noqa: PTH120
    runpy.run_module(module, {"_module_fqn": module, "_modlib_path": place}, "__main__", alter_sys=True)


def in_child(
    module: str, file: str, directory: str, environment: Mapping[str, str], *, out: IO[bytes], err: IO[bytes]
) -> int:
    """Run the module in a child of its own and return its exit status; it is killed after SECONDS."""
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        # Whoever started all this may have it ignored, and a terminal's programs end by it.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        status = 1
        try:
            run(module, file, directory, environment)
            status = 0
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        except BaseException:  # whatever it is, it is what the module ended with
            traceback.print_exc()
        finally:
            # Modules remove their temporary folders there.
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    """Answer requests until standard input ends."""
    for name in SHARED:
        importlib.import_module(name)
    # A module of this file's folder is none of the stock modules'.
    sys.path[0] = ""
    with os.fdopen(os.dup(1), "w") as answers, open(os.devnull, "rb") as nothing:  # noqa: PTH123
        requests = os.fdopen(os.dup(0))
        os.dup2(nothing.fileno(), 0)
        while line := requests.readline():
            module, file, directory, environment = json.loads(line)
            with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
                status = in_child(module, file, directory, environment, out=out, err=err)
                texts = []
                for stream in (out, err):
                    stream.seek(0)
                    texts.append(stream.read().decode("utf-8", "surrogateescape"))
            print(json.dumps([status, *texts]), file=answers, flush=True)


if __name__ == "__main__":
    main()
