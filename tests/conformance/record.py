"""record: run every conformance case through ansible-core and through pybible, live, and record ansible-core's side.

`python -m tests.conformance.record [CASE ...]`. ansible-core is taken from .venv-ansible, or from the environment that
ANSIBLE_VENV names. Ends with status 1 when a case differs.
"""

from __future__ import annotations

import difflib
import os
import sys
import tempfile
from pathlib import Path

from tests.conformance.harness import Call, Case, all_cases, in_a_process, transcript
from tests.support.lab import lab

ROOT = Path(__file__).resolve().parents[2]


def ansible_transcript(case: Case, venv: Path) -> str:
    """Run a case with ansible-core, each host over the local connection."""
    with tempfile.TemporaryDirectory() as work:
        environment = {
            "ANSIBLE_TRANSPORT": "local",
            # As on a terminal: a pipe would let standard error overtake standard output.
            "PYTHONUNBUFFERED": "1",
            "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
        }
        command = [str(venv / "bin" / "ansible-playbook")]
        return transcript(case, command, work=Path(work).resolve(), environment=environment)


def pybible_transcript(case: Case, controller: str, call: Call = in_a_process) -> str:
    """Run a case with pybible, each host being the lab's one agent."""
    with tempfile.TemporaryDirectory() as work:
        environment = {"PYBIBLE_CONTROLLER": controller}
        return transcript(case, ["pybible-ctl", "run"], work=Path(work).resolve(), environment=environment, call=call)


def main(names: list[str]) -> int:
    """Record the named cases, or all."""
    venv = Path(os.environ.get("ANSIBLE_VENV", ROOT / ".venv-ansible"))
    if not (venv / "bin" / "ansible-playbook").exists():
        print(f"no ansible-playbook in {venv}: run `make conformance`", file=sys.stderr)
        return 1
    cases = [case for case in all_cases() if not names or case.name in names]
    differing = []
    with lab(agents=1, prefix="local") as running:
        for case in cases:
            expected = ansible_transcript(case, venv)
            case.record.write_text(expected)
            found = pybible_transcript(case, running.controller)
            # Line by line, as `make test` reads records: pybible prints no carriage returns.
            same = found.splitlines() == expected.splitlines()
            print(f"{'same   ' if same else 'DIFFERS'} {case.name}", flush=True)
            if not same:
                differing.append(case.name)
                lines = difflib.unified_diff(
                    expected.splitlines(), found.splitlines(), "ansible-core", "pybible", lineterm="", n=2
                )
                print("\n".join(f"    {line}" for line in lines), flush=True)
    print(f"\n{len(cases)} cases, {len(cases) - len(differing)} the same, {len(differing)} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
