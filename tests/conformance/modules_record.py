"""modules_record: run every module case through the stock module and keep what it did, for `make test` to compare with.

python -m tests.conformance.modules_record [--python PYTHON_WITH_ANSIBLE_CORE] [NAME...]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from tests.conformance.module_cases import CASES, Case, build, load, names, outcome

_STOCK = {"shell": "command"}


def record(case: Case, folder: Path, python: str) -> dict[str, Any]:
    """Run one case through the stock module."""
    build(case, folder)
    return outcome(case, folder, partial(_call, case, folder, python))


def _call(case: Case, folder: Path, python: str, arguments: dict[str, Any]) -> dict[str, Any]:
    arguments |= {"_ansible_check_mode": case.check, "_ansible_diff": case.diff}
    if case.module == "shell":
        arguments["_uses_shell"] = True
    file = folder.with_suffix(".json")
    file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}), encoding="utf-8")
    place = f"ansible_collections.{case.collection}.plugins.modules" if case.collection else "ansible.modules"
    module = f"{place}.{_STOCK.get(case.module, case.module)}"
    environment = {**os.environ, **case.surroundings(folder)}
    done = subprocess.run(
        [python, "-m", module, file], capture_output=True, text=True, check=False, env=environment, cwd=folder
    )
    try:
        result: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        result = {"failed": True, "crashed": done.stderr.strip().splitlines()[-1].partition(": ")[2]}
    return result


_VERSION = """
import json, pathlib, sys
if sys.argv[1:]:
    import ansible_collections
    folder = pathlib.Path(list(ansible_collections.__path__)[0], *sys.argv[1].split("."))
    print(sys.argv[1], json.loads((folder / "MANIFEST.json").read_text())["collection_info"]["version"])
else:
    import ansible.release
    print("ansible-core", ansible.release.__version__)
"""


def version(python: str, collection: str) -> str:
    """Return what the stock module comes from, with its version."""
    words = [python, "-c", _VERSION, *([collection] if collection else [])]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Record all cases, or those of the files named."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--python", default="python3")
    options.add_argument("names", nargs="*", default=names())
    given = options.parse_args()
    for name in given.names:
        cases = load(name)
        records: dict[str, Any] = {"": version(given.python, cases[0].collection)}
        with tempfile.TemporaryDirectory() as place:
            records |= {case.name: record(case, Path(place) / "case", given.python) for case in cases}
        text = json.dumps(records, indent=1, sort_keys=True, ensure_ascii=True)
        (CASES / f"{name}.recorded.json").write_text(text + "\n", encoding="utf-8")
        print(f"{name}: {len(cases)} cases")


if __name__ == "__main__":
    main()
