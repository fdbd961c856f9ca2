"""test_collectors: facts of hosts that are not this one: their files under another root."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybible.agent.facts import boot, date_time, distribution, hardware, naming, packages, services, storage, virtual
from pybible.agent.facts.source import Host
from pybible.wire.values import JsonObject

SYSTEMS: list[tuple[str, dict[str, str], JsonObject]] = [
    (
        "debian",
        {
            "etc/os-release": 'ID=debian\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
            "etc/debian_version": "12.11\n",
            "usr/bin/apt-get": "",
        },
        {"distribution": "Debian", "distribution_version": "12.11", "distribution_major_version": "12",
         "distribution_release": "bookworm", "os_family": "Debian", "pkg_mgr": "apt"},
    ),
    (
        "ubuntu",
        {
            "etc/os-release": 'ID=ubuntu\nID_LIKE=debian\nNAME="Ubuntu"\nVERSION="24.04.1 LTS (Noble Numbat)"\n'
            'VERSION_ID="24.04"\nVERSION_CODENAME=noble\n',
            "etc/debian_version": "trixie/sid\n",
            "usr/bin/apt-get": "",
        },
        {"distribution": "Ubuntu", "distribution_version": "24.04", "distribution_major_version": "24",
         "distribution_release": "noble", "os_family": "Debian", "pkg_mgr": "apt"},
    ),
    (
        "rocky",
        {
            "etc/os-release": 'ID="rocky"\nNAME="Rocky Linux"\nVERSION="9.4 (Blue Onyx)"\nVERSION_ID="9.4"\n',
            "etc/redhat-release": "Rocky Linux release 9.4 (Blue Onyx)\n",
            "usr/bin/dnf-3": "", "usr/bin/dnf": "", "usr/bin/yum": "",
        },
        {"distribution": "Rocky", "distribution_version": "9.4", "distribution_major_version": "9",
         "distribution_release": "Blue Onyx", "os_family": "RedHat", "pkg_mgr": "dnf"},
    ),
    (
        "fedora",
        {
            "etc/os-release": "ID=fedora\nNAME=\"Fedora Linux\"\nVERSION_ID=41\n",
            "etc/redhat-release": "Fedora release 41 (Forty One)\n",
            "usr/bin/dnf5": "", "usr/bin/dnf": "",
        },
        {"distribution": "Fedora", "distribution_version": "41", "os_family": "RedHat", "pkg_mgr": "dnf5"},
    ),
    (
        "alpine",
        {
            "etc/os-release": 'ID=alpine\nNAME="Alpine Linux"\nVERSION_ID=3.19.1\n',
            "etc/alpine-release": "3.19.1\n",
            "sbin/apk": "",
        },
        {"distribution": "Alpine", "distribution_version": "3.19.1", "distribution_major_version": "3",
         "os_family": "Alpine", "pkg_mgr": "apk"},
    ),
    (
        "opensuse",
        {
            "etc/os-release": 'ID="opensuse-leap"\nNAME="openSUSE Leap"\nVERSION_ID="15.6"\n',
            "usr/bin/zypper": "",
        },
        {"distribution": "openSUSE Leap", "distribution_version": "15.6", "os_family": "Suse", "pkg_mgr": "zypper"},
    ),
    (
        "an unknown one",
        {"etc/os-release": 'ID=other\nNAME="Other OS"\nVERSION_ID=1\n'},
        {"distribution": "Other OS", "os_family": "Other OS", "pkg_mgr": "unknown"},
    ),
]  # fmt: skip


def host_with(root: Path, files: dict[str, str]) -> Host:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Host(root=root, environment={})


@pytest.mark.parametrize(("files", "expected"), [item[1:] for item in SYSTEMS], ids=[item[0] for item in SYSTEMS])
def test_a_system_has_ansibles_names(files: dict[str, str], expected: JsonObject, tmp_path: Path) -> None:
    host = host_with(tmp_path, files)
    facts = distribution.collect(host) | packages.collect(host)
    assert {name: facts[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/1/comm": "systemd\n"}, "systemd"),
        ({"proc/1/comm": "init\n", "run/systemd/system/x": ""}, "systemd"),
        ({"proc/1/comm": "init\n", "sbin/openrc": ""}, "openrc"),
        ({"proc/1/comm": "init\n", "etc/init.d/x": ""}, "sysvinit"),
        ({"proc/1/comm": "bash\n", "etc/init.d/x": ""}, "sysvinit"),
        ({"proc/1/comm": "runit-init\n"}, "runit"),
        ({"proc/1/comm": "tini\n"}, "tini"),
        ({}, "service"),
    ],
)
def test_the_manager_of_services_is_process_1_if_it_can_be_trusted(
    files: dict[str, str], expected: str, tmp_path: Path
) -> None:
    assert services.COLLECTOR.collect(host_with(tmp_path, files)) == {"service_mgr": expected}


DMI = "sys/devices/virtual/dmi/id/"


@pytest.mark.parametrize(
    ("files", "kind", "role"),
    [
        ({".dockerenv": ""}, "docker", "guest"),
        ({"run/.containerenv": ""}, "podman", "guest"),
        ({"proc/1/environ": "A=b\0container=lxc\0"}, "lxc", "guest"),
        ({DMI + "product_name": "KVM\n"}, "kvm", "guest"),
        ({DMI + "sys_vendor": "QEMU\n"}, "kvm", "guest"),
        ({DMI + "product_name": "VMware Virtual Platform\n"}, "VMware", "guest"),
        (
            {DMI + "product_name": "Virtual Machine\n", DMI + "sys_vendor": "Microsoft Corporation\n"},
            "VirtualPC",
            "guest",
        ),
        ({"proc/modules": "kvm 1 0 - Live 0x0\n"}, "kvm", "host"),
        ({DMI + "product_name": "PowerEdge R640\n", DMI + "sys_vendor": "Dell Inc.\n"}, "NA", "NA"),
    ],
)
def test_a_machine_is_what_it_looks_like(files: dict[str, str], kind: str, role: str, tmp_path: Path) -> None:
    facts = virtual.collect(host_with(tmp_path, files))
    assert (facts["virtualization_type"], facts["virtualization_role"]) == (kind, role)


def test_memory_is_in_mebibytes(tmp_path: Path) -> None:
    text = "MemTotal: 2048000 kB\nMemFree: 1024000 kB\nBuffers: 1024 kB\nCached: 2048 kB\nSwapTotal: 0 kB\n"
    facts = hardware.memory(host_with(tmp_path, {"proc/meminfo": text}))
    assert (facts["memtotal_mb"], facts["memfree_mb"]) == (2000, 1000)
    assert facts["memory_mb"]["nocache"] == {"free": 1003, "used": 997}


def test_processors_count_sockets_cores_and_threads(tmp_path: Path) -> None:
    blocks = [
        f"processor\t: {number}\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon\nphysical id\t: {number // 8}\n"
        "siblings\t: 8\ncpu cores\t: 4\nflags\t\t: fpu vme\n"
        for number in range(16)
    ]
    facts = hardware.processors(host_with(tmp_path, {"proc/cpuinfo": "\n".join(blocks)}))
    found = [facts[f"processor_{name}"] for name in ("count", "cores", "threads_per_core", "vcpus")]
    assert found == [2, 4, 2, 16]
    assert facts["processor"][:3] == ["0", "GenuineIntel", "Xeon"]
    assert facts["flags"] == ["fpu", "vme"]


def test_processors_without_sockets_are_counted_one_by_one(tmp_path: Path) -> None:
    text = "processor\t: 0\nBogoMIPS\t: 48.00\n\nprocessor\t: 1\nBogoMIPS\t: 48.00\n"
    facts = hardware.processors(host_with(tmp_path, {"proc/cpuinfo": text}))
    assert (facts["processor_count"], facts["processor_cores"], facts["processor_vcpus"]) == (2, 1, 2)


def test_a_mount_is_shown_when_something_real_is_mounted(tmp_path: Path) -> None:
    text = (
        "proc /proc proc rw 0 0\n/dev/vda1 / ext4 rw,relatime 0 1\nserver:/x /mnt/a\\040b nfs rw 0 0\n"
        "tmpfs /tmp tmpfs rw 0 0\n"
    )
    host = host_with(tmp_path, {"etc/mtab": text})
    mounts = storage.collect(host)["mounts"]
    assert [(mount["mount"], mount["device"], mount["fstype"]) for mount in mounts] == [
        ("/", "/dev/vda1", "ext4"),
        ("/mnt/a b", "server:/x", "nfs"),
    ]
    assert mounts[0]["size_total"] > 0
    assert mounts[0]["passno"] == 1


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0.00 Bytes"), (512, "512.00 Bytes"), (1536, "1.50 KB"), (256 * 2**30, "256.00 GB")]
)
def test_sizes_are_shown_in_the_largest_unit(size: int, shown: str) -> None:
    assert storage.human_size(size) == shown


def test_the_kernels_command_line_keeps_the_last_and_every_value(tmp_path: Path) -> None:
    host = host_with(tmp_path, {"proc/cmdline": "quiet console=tty0 console=ttyS0 opts='a b'\n"})
    facts = boot.COMMAND_LINE.collect(host)
    assert facts["cmdline"] == {"quiet": True, "console": "ttyS0", "opts": "a b"}
    assert facts["proc_cmdline"]["console"] == ["tty0", "ttyS0"]


def test_name_servers_and_their_options(tmp_path: Path) -> None:
    text = "# by hand\nnameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch a.example b.example\noptions ndots:2 rotate\n"
    facts = naming.DNS.collect(host_with(tmp_path, {"etc/resolv.conf": text}))
    assert facts["dns"] == {
        "nameservers": ["10.0.0.1", "10.0.0.2"],
        "search": ["a.example", "b.example"],
        "options": {"ndots": "2", "rotate": True},
    }


def test_ssh_keys_come_with_their_type(tmp_path: Path) -> None:
    facts = naming.SSH_KEYS.collect(host_with(tmp_path, {"etc/ssh/ssh_host_rsa_key.pub": "ssh-rsa AAAA root@x\n"}))
    assert facts == {"ssh_host_key_rsa_public": "AAAA", "ssh_host_key_rsa_public_keytype": "ssh-rsa"}


def test_one_moment_has_many_shapes() -> None:
    shapes = date_time.shown(1_700_000_000.25)
    assert shapes["iso8601"] == "2023-11-14T22:13:20Z"
    assert shapes["iso8601_micro"] == "2023-11-14T22:13:20.250000Z"
    assert shapes["epoch"] == "1700000000"
    assert shapes["weekday_number"] in {"1", "2", "3"}


def test_a_host_of_which_nothing_can_be_read_has_facts_all_the_same(tmp_path: Path) -> None:
    host = Host(root=tmp_path, environment={})
    for collect in (distribution.collect, packages.collect, virtual.collect, storage.collect):
        assert collect(host)
