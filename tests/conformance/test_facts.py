"""test_facts: the facts of this machine beside ansible-core's: the same keys, types and values, but for what moves.

Live where ansible-core is in .venv-ansible or in the environment that ANSIBLE_VENV names. Else the names and types are
compared that ansible-core gave on a machine of ours; `python -m tests.conformance.test_facts` records them again.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from pybible.wire.values import JsonObject, JsonValue
from tests.support.modules import run_module

_RECORD = Path(__file__).parent / "facts.recorded.json"
_VENV = Path(os.environ.get("ANSIBLE_VENV", Path(__file__).parents[2] / ".venv-ansible"))
# Facts of the process that gathers, of the moment, and those that have no order. docs/reference/facts.md lists them.
_OF_THE_PROCESS = re.compile(r"ansible_(env|python|python_version|user_.*|real_.*|effective_.*)(\.|$)")
_MOVES = re.compile(
    r"ansible_date_time\.|ansible_uptime_seconds|ansible_loadavg\.|ansible_(mem|swap)free_mb"
    r"|ansible_memory_mb\..*\.(free|used|cached)|ansible_mounts\.\d+\.(block|size|inode)_(available|used)"
)
_UNORDERED = {"ansible_interfaces", "ansible_virtualization_tech_guest", "ansible_virtualization_tech_host"}
# What a machine has or has not.
_OF_THE_MACHINE = re.compile(
    r"ansible_(devices|device_links|mounts|eth|ifb|lsb|default_ipv[46]|ssh_host_key_|dns|cmdline|proc_cmdline|env|local"
    r"|flags|lvm|selinux|apparmor|distribution_minor_version|system_capabilities|machine_id|bios_|board_|chassis_|product_)"
)


def stock(**arguments: JsonValue) -> JsonObject:
    """Return ansible-core's facts of this machine."""
    python = _VENV / "bin" / "python"
    if not python.exists():
        pytest.skip("ansible-core is not here")
    text = json.dumps({"ANSIBLE_MODULE_ARGS": arguments})
    done = subprocess.run(
        [python, "-m", "ansible.modules.setup"], input=text, capture_output=True, text=True, check=True, timeout=60
    )
    facts: JsonObject = json.loads(done.stdout)["ansible_facts"]
    return facts


def ours(**arguments: JsonValue) -> JsonObject:
    """Return pybible's."""
    facts: JsonObject = run_module("setup", arguments)["ansible_facts"]
    return facts


def flat(value: JsonValue, path: str = "") -> dict[str, JsonValue]:
    """Return all that is no container, by its path; of a container its type."""
    if isinstance(value, dict):
        found = {path: "{}"} if path else {}
        for key, item in value.items():
            found |= flat(item, f"{path}.{key}" if path else key)
        return found
    if isinstance(value, list) and value and isinstance(value[0], dict):
        found = {path: "[]"}
        for index, item in enumerate(value):
            found |= flat(item, f"{path}.{index}")
        return found
    return {path: sorted(value, key=str) if path in _UNORDERED and isinstance(value, list) else value}


def kind(value: JsonValue) -> str:
    """Return the name of a value's type."""
    return type(value).__name__


def test_every_fact_of_ansible_core_is_there_with_its_type_and_value() -> None:
    theirs, own = flat(stock()), flat(ours())
    expected = {path: value for path, value in theirs.items() if not _OF_THE_PROCESS.match(path)}
    assert sorted(set(expected) - set(own)) == []
    assert {path: kind(own[path]) for path in expected} == {path: kind(value) for path, value in expected.items()}
    still = [path for path in expected if not _MOVES.match(path)]
    assert {path: own[path] for path in still} == {path: expected[path] for path in still}
    process = {path: kind(value) for path, value in theirs.items() if _OF_THE_PROCESS.match(path)}
    missing = {path for path in process if path not in own and not path.startswith("ansible_env.")}
    assert missing == set()


@pytest.mark.parametrize(
    "arguments",
    [
        {"gather_subset": ["!all"]},
        {"gather_subset": ["!all", "!min", "network"]},
        {"gather_subset": ["hardware"]},
        {"gather_subset": ["!hardware"]},
        {"gather_subset": ["!all", "mounts", "devices"]},
        {"gather_subset": ["!all", "!min", "distribution"]},
        {"gather_subset": ["min", "virtual"]},
        {"filter": ["ansible_mem*", "*_ipv4*"]},
        {"filter": ["hostname"], "gather_subset": ["!all"]},
        {"gather_subset": ["!all", "!min"]},
    ],
    ids=lambda given: " ".join(f"{name}={','.join(words)}" for name, words in given.items()),
)
def test_subsets_and_filters_choose_the_same_facts(arguments: JsonObject) -> None:
    assert sorted(ours(**arguments)) == sorted(stock(**arguments))


@pytest.fixture
def owners(tmp_path: Path) -> Path:
    """Return a folder of an owner's facts, right and wrong ones."""
    files = {
        "ini.fact": "[general]\nrole = web\nEmpty =\n[second]\na: 1\n",
        "json.fact": '{"list": [1, 2.5, null, true], "text": "ü"}',
        "number.fact": "42",
        "wrong.fact": "neither: {one, nor the other",
        "program.fact": '#!/bin/sh\necho \'{"from": "a program"}\'\n',
        "ini-program.fact": "#!/bin/sh\necho '[s]'; echo k=v\n",
        "fails.fact": "#!/bin/sh\necho no >&2; exit 3\n",
        "ignored.txt": "[x]\ny=1\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        if text.startswith("#!"):
            (tmp_path / name).chmod(0o755)
    return tmp_path


def test_the_owner_s_own_facts_are_read_alike(owners: Path) -> None:
    arguments: JsonObject = {"fact_path": str(owners), "gather_subset": ["!all", "!min", "local"]}
    theirs, own = stock(**arguments)["ansible_local"], ours(**arguments)["ansible_local"]
    assert own == theirs
    warned = run_module("setup", arguments)["warnings"]
    assert sorted(warned) == sorted(text for text in theirs.values() if isinstance(text, str))


def test_volumes_are_listed_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("LVM answers to root")
    printed = {
        "vgs": "  data,2,3,0,wz--n-,199.99,20.50\n  root,1,1,0,wz--n-,19.00,0\n",
        "lvs": "  home,data,-wi-ao----,100.00,,,,,,,,\n  swap,root,-wi-ao----,4.00,,,,,,,,\n",
        "pvs": "  /dev/sdb1,data,lvm2,a--,99.99,10.25\n  /dev/dm-7,root,lvm2,a--,19.00,0\n",
        "dmsetup": "luks-root\n",
    }
    for name, text in printed.items():
        (tmp_path / name).write_text(f"#!/bin/sh\nprintf '%s' '{text}'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    arguments: JsonObject = {"gather_subset": ["!all", "!min", "hardware"]}
    assert ours(**arguments)["ansible_lvm"] == stock(**arguments)["ansible_lvm"]


def test_the_facts_of_the_record_are_there_with_their_types() -> None:
    record = json.loads(_RECORD.read_text())
    own = {path: kind(value) for path, value in flat(ours()).items()}
    expected = {path: name for path, name in record["types"].items() if not _OF_THE_MACHINE.match(path)}
    assert {path: own.get(path) for path in expected} == expected
    assert len(expected) > 100


def main() -> None:
    """Record the names and types."""
    python = _VENV / "bin" / "python"
    words = [str(python), "-c", "import ansible.release as r; print('ansible-core', r.__version__)"]
    version = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    types = {path: kind(value) for path, value in flat(stock()).items() if not path.startswith("ansible_env.")}
    _RECORD.write_text(json.dumps({"": version, "types": types}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
