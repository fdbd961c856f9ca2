"""oracle: asks ansible-core what generated inventories, patterns, texts and variables mean, and records its answers.

`python -m tests.conformance.oracle`, a part of `make conformance`. ansible-core is taken from .venv-ansible, or from
the environment that ANSIBLE_VENV names. test_oracle.py compares.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conformance import oracle_project
from tests.conformance.oracle_questions import FLAT_INVENTORY, NAMES, NESTED_INVENTORY, questions

HERE = Path(__file__).parent
ANSWERS = HERE / "oracle"
_SHOWN = re.compile(r"^TASK \[([^\n]*)\] \*+$|^ok: \[(\w+)\] => (\{.*?^\})$", re.MULTILINE | re.DOTALL)


def ask(venv: Path) -> dict[str, object]:
    """Return ansible-core's answers to all questions."""
    given = {"questions": questions(), "names": NAMES, "flat": FLAT_INVENTORY, "nested": NESTED_INVENTORY}
    done = subprocess.run(
        [venv / "bin" / "python", HERE / "oracle_answers.py"],
        input=json.dumps(given),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    answers: dict[str, object] = json.loads(done.stdout)
    answers["variables"] = oracle_project.compact(_run(venv))
    return answers


def _run(venv: Path) -> list[tuple[str, str, dict[str, object]]]:
    """Run the project of variables; return what each task showed on each host."""
    with tempfile.TemporaryDirectory() as work:
        oracle_project.write(Path(work), oracle_project.project())
        done = subprocess.run(
            [venv / "bin" / "ansible-playbook", "-i", "inventory/hosts", "site.yml", "-e", "@extra.json",
             "-e", "ansible_python_interpreter=/usr/bin/python3", "-c", "local", "--forks", "1"],
            cwd=work,
            env={**os.environ, "HOME": work},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        )  # fmt: skip
    shown = []
    task = ""
    for name, host, values in _SHOWN.findall(done.stdout):
        task = name.rpartition(" : ")[2] or task
        if host and values:
            shown.append((task, host, json.loads(values)["msg"]))
    return shown


def main() -> int:
    """Record all answers."""
    venv = Path(os.environ.get("ANSIBLE_VENV", HERE.parents[1] / ".venv-ansible"))
    if not (venv / "bin" / "ansible-playbook").exists():
        print(f"no ansible-playbook in {venv}: run `make conformance`", file=sys.stderr)
        return 1
    ANSWERS.mkdir(exist_ok=True)
    for about, answers in ask(venv).items():
        lines = ",\n".join(json.dumps(answer, separators=(",", ":")) for answer in answers)  # type: ignore[attr-defined]
        (ANSWERS / f"{about}.json").write_text(f"[\n{lines}\n]\n")
        print(f"recorded {about}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
