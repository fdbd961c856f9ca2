"""bridge_entry: runs a packed Python module as a program. It stands alone: another Python on the host may run it.

As a program it takes the package's path and the module's name as arguments, and the module's arguments from its
standard input. It keeps to what old Pythons know.
"""

import json
import os
import runpy
import sys
import traceback
from contextlib import suppress
from importlib import import_module


def run(entry: str, payload: bytes, place: str) -> None:
    """Run a module to its end. `payload` is what ansible.module_utils.basic takes, `place` the package's path."""
    try:
        # Where it looks for them; a package without it has its own way.
        with suppress(ImportError):
            basic = import_module("ansible.module_utils.basic")
            vars(basic).update(_ANSIBLE_ARGS=payload, _ANSIBLE_PROFILE="legacy")
        runpy.run_module(entry, {"_module_fqn": entry, "_modlib_path": place}, "__main__", True)
        raise RuntimeError("New-style module did not handle its own exit.")
    except Exception as error:
        text = str(error) or type(error).__name__
        result = {
            "failed": True,
            "changed": False,
            "msg": "Task failed: Module failed: " + text,
            "exception": traceback.format_exc(),
        }
        sys.stdout.write("\n" + json.dumps(result) + "\n")
        sys.exit(1)


if __name__ == "__main__":
    place, entry = sys.argv[1:3]
    sys.argv[:] = [place + "/" + entry.replace(".", "/") + ".py"]
    # `-c` puts the working directory first.
    sys.path[:] = [place] + [path for path in sys.path if path not in ("", os.curdir)]
    run(entry, sys.stdin.buffer.read(), place)
