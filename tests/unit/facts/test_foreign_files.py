"""test_foreign_files: what other machines' kernels and owners write, and what nobody would: facts come of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybible.agent.facts import hardware, local
from pybible.agent.facts.gather import COLLECTORS
from pybible.agent.facts.source import Collector, Host
from pybible.wire.values import dumps

# /proc/cpuinfo as machines of many architectures have it, with what ansible-core 2.19 makes of each.
CPUS = json.loads((Path(__file__).parent / "cases" / "cpuinfo.json").read_text())
# Of this one ansible-core counts no processor at all.
UNCOUNTED = "armv6"
REAL = [
    *(case["cpuinfo"] for case in CPUS.values()),
    "MemTotal:        2040220 kB\nMemFree:          150064 kB\nSwapTotal:             0 kB\nHugePages_Total:       0\n",
    "sysfs /sys sysfs rw,nosuid 0 0\n/dev/mapper/vg-root / ext4 rw,errors=remount-ro 0 1\n"
    "nas:/srv /mnt/my\\040files nfs4 rw 0 0\n",
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n"
    "eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\n",
    "fe80000000000000021122fffe334455 02 40 20 80     eth0\n00000000000000000000000000000001 01 80 10 80       lo\n",
    'NAME="openSUSE Leap"\nVERSION="15.6"\nID="opensuse-leap"\nID_LIKE="suse opensuse"\n',
    "nameserver 10.0.0.1\nsearch example.com\noptions ndots:5 timeout:1\n",
    "BOOT_IMAGE=/vmlinuz-6.1 root=UUID=1-2-3 ro quiet console=tty0 console=ttyS0,115200n8 init='/sbin/init -x'\n",
    "12:cpuset:/docker/4c8e\n0::/system.slice/docker-4c8e.scope\n",
    "kvm_intel 368640 0 - Live 0x0\nkvm 1032192 1 kvm_intel, Live 0x0\n",
    "350735.47 234388.90\n",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd(Host):
    """A host of which every file holds what a test says."""

    files: Mapping[str, str] = field(default_factory=dict)
    others: str = ""

    def text(self, name: str) -> str:
        """Return what the file of that name holds."""
        return self.files.get(Path(name).name, self.others)

    def lines(self, name: str) -> list[str]:
        """Return its lines."""
        return self.text(name).splitlines()

    def exists(self, name: str) -> bool:
        """Say that there is everything."""
        return True

    def names(self, name: str) -> list[str]:
        """Return names that a folder may hold."""
        return ["eth0", "lo", "sda", "sda1"]

    def run(self, *command: str) -> str:
        """Return what every program prints."""
        return self.others


@pytest.mark.parametrize("name", CPUS)
def test_processors_are_counted_as_ansible_core_does(name: str) -> None:
    case = CPUS[name]
    facts = hardware.processors(Odd(environment={}, files={"cpuinfo": case["cpuinfo"]}))
    facts.pop("processor_nproc")
    expected = dict(case["facts"])
    if name == UNCOUNTED:
        expected |= {"processor_count": 1, "processor_vcpus": 1}
    assert facts == expected


def damaged() -> st.SearchStrategy[str]:
    """Return files as they are, cut, with lines left out, doubled or mixed; and any text at all."""

    def shuffled(text: str) -> st.SearchStrategy[str]:
        lines = st.lists(st.sampled_from(text.splitlines(keepends=True)), max_size=12).map("".join)
        cut = st.integers(0, len(text)).map(lambda at: text[:at])
        return lines | cut

    numbers = st.from_regex(r"[-+0-9a-fx_. ]{0,12}\n?", fullmatch=True)
    return st.sampled_from(REAL).flatmap(shuffled) | numbers | st.text(max_size=200)


@pytest.mark.parametrize("collector", COLLECTORS, ids=[collector.name for collector in COLLECTORS])
@given(text=damaged())
def test_no_file_stops_a_collector(collector: Collector, text: str) -> None:
    facts = collector.collect(Odd(environment={"PATH": "/nonexistent"}, others=text, fact_path="/nonexistent"))
    dumps(facts)


OWN = ['{"a": 1}', "[general]\na = 1\n", "[x]\n%(y\n", "[x]\ny = %(z)s\n", "NaN", "[a\n"]


@given(text=st.text() | st.sampled_from(OWN))
def test_no_file_of_the_owner_s_stops_facts(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("facts.d")
    (folder / "own.fact").write_text(text, "utf-8", "surrogatepass")
    (folder / "good.fact").write_text('{"a": 1}')
    found = local.collect(Host(environment={}, fact_path=str(folder)))["local"]
    assert set(found) == {"good", "own"}
    assert found["good"] == {"a": 1}
    dumps(found)
