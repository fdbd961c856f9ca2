"""the bridge does with stock modules of many collections what ansible-playbook does: live, where these are installed.

ANSIBLE_VENV names the environment; the `ansible` package of PyPI has the collections.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from pybible.server.engine.bridge.places import Places

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]

ROOT: Final = Path(__file__).resolve().parents[2]
VENV: Final = Path(os.environ.get("ANSIBLE_VENV", ROOT / ".venv-ansible"))
PLAYBOOK: Final = Path(__file__).parent / "bridge" / "site.yml"
# What they return is never twice the same: only the names of their keys are compared.
_MOVING: Final = frozenset(
    {
        "community.crypto.openssh_keypair", "community.crypto.openssl_privatekey", "community.crypto.x509_certificate",
        "community.crypto.x509_certificate_info", "community.crypto.openssl_csr", "community.general.filesize",
        "community.general.python_requirements_info", "community.general.terraform",
        "community.crypto.openssl_dhparam",
    }
)  # fmt: skip
_PYTHON: Final = re.compile(r"/[\w./-]+/bin/python[\d.]*")
_RESULT: Final = re.compile(r"(ok|changed|fatal|skipping): \[localhost\](?:: FAILED!)? => (.*)")

Results = dict[str, tuple[str, object]]


def run(command: list[str], target: Path) -> Results:
    """Run the playbook; return how each task ended and what it returned."""
    target.mkdir()
    (target / "c.csv").write_text("name,x\na,1\nb,2\n")
    (target / "gc").write_text("[user]\n name=x\n")
    done = subprocess.run(
        [*command, "-v", "-e", f"target={target}", str(PLAYBOOK)],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(target.parent), "PYBIBLE_ANSIBLE": str(VENV)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found: Results = {}
    task = ""
    for line in done.stdout.splitlines():
        if line.startswith("TASK ["):
            task = line[6:].partition("]")[0]
        elif match := _RESULT.match(_PYTHON.sub("PYTHON", line.replace(str(target), "TARGET"))):
            result = json.loads(match[2])
            found[task] = (match[1], sorted(result) if task in _MOVING else result)
    return found


def test_stock_modules_of_many_collections_do_what_they_do_in_ansible(tmp_path: Path) -> None:
    if Places(ansible=str(VENV)).core is None:
        pytest.skip(f"no ansible-core in {VENV}; ANSIBLE_VENV may name another place")
    if not (Places(ansible=str(VENV)).collection_roots(())):
        pytest.skip(f"no collections in {VENV}: the package `ansible` of PyPI has them")
    expected = run([str(VENV / "bin" / "ansible-playbook")], tmp_path / "theirs")
    found = run([str(Path(sys.executable).parent / "pybible-ctl"), "run"], tmp_path / "ours")
    assert {name: (result, expected.get(name)) for name, result in found.items() if result != expected.get(name)} == {}
    assert len(found) >= 50
    assert len({name.rpartition(".")[0] for name in found}) >= 12
