"""test_host_settings: SELinux's mode and booleans, kernel modules, alternatives: on hosts that are played."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from pybible.agent.modules import alternatives, modprobe, seboolean, selinux, selinux_context
from pybible.wire.values import JsonObject, JsonValue
from tests.support.modules import context, run_module


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernel that enforces SELinux's policy `targeted`."""
    folder = tmp_path / "kernel"
    folder.mkdir()
    (folder / "enforce").write_text("1")
    (tmp_path / "etc" / "targeted" / "policy").mkdir(parents=True)
    (tmp_path / "etc" / "mls" / "policy").mkdir(parents=True)
    (tmp_path / "etc" / "config").write_text("# mode\nSELINUX=enforcing\nSELINUXTYPE=targeted\n")
    monkeypatch.setattr(selinux_context, "_KERNEL", folder)
    monkeypatch.setattr(selinux, "_FOLDER", tmp_path / "etc")
    monkeypatch.setattr(selinux, "_CONFIG", str(tmp_path / "etc" / "config"))
    return folder


def programs(folder: Path, **texts: str) -> JsonObject:
    """Make programs that write down their arguments and print a text; return the environment that finds them."""
    place = folder / "bin"
    place.mkdir(exist_ok=True)
    for name, text in texts.items():
        script = f'#!/bin/sh\necho {name} "$@" >> {folder}/asked\nprintf %s {shlex.quote(text)}\n'
        (place / name.replace("_", "-")).write_text(script)
        (place / name.replace("_", "-")).chmod(0o755)
    return {"PATH": f"{place}:/usr/bin:/bin"}


def asked(folder: Path) -> list[str]:
    """Return what the programs were asked."""
    path = folder / "asked"
    return path.read_text().splitlines() if path.exists() else []


# What ansible.posix.selinux answers with a libselinux that plays the same kernel.
SELINUX: list[tuple[str, JsonObject, bool, str, bool, str]] = [
    ("1", {"state": "enforcing", "policy": "targeted"}, False, "", False, "1"),
    (
        "1",
        {"state": "permissive", "policy": "targeted"},
        True,
        "SELinux state changed from 'enforcing' to 'permissive', "
        "Config SELinux state changed from 'enforcing' to 'permissive'",
        False,
        "0",
    ),
    ("1", {"state": "disabled"}, True, "Config SELinux state changed from 'enforcing' to 'disabled'", True, "0"),
    ("0", {"state": "disabled"}, True, "Config SELinux state changed from 'enforcing' to 'disabled'", True, "0"),
    (
        "0",
        {"state": "enforcing", "policy": "targeted"},
        True,
        "SELinux state changed from 'permissive' to 'enforcing'",
        False,
        "1",
    ),
    (
        "1",
        {"state": "enforcing", "policy": "mls"},
        True,
        "Running SELinux policy changed from 'targeted' to 'mls', "
        "SELinux policy configuration in 'CONFIG' changed from 'targeted' to 'mls'",
        False,
        "1",
    ),
]


@pytest.mark.parametrize(("mode", "args", "changed", "msg", "reboot", "after"), SELINUX)
def test_selinux_is_set_now_and_for_the_next_boot(
    mode: str, args: JsonObject, changed: bool, msg: str, reboot: bool, after: str, kernel: Path, tmp_path: Path
) -> None:
    (kernel / "enforce").write_text(mode)
    config = tmp_path / "etc" / "config"
    before = config.read_text()
    given: JsonObject = {**args, "configfile": str(config)}
    predicted = run_module("ansible.posix.selinux", given, context(check=True))
    assert (config.read_text(), (kernel / "enforce").read_text()) == (before, mode)
    result = run_module("ansible.posix.selinux", given)
    assert result == predicted
    assert (result["changed"], result["reboot_required"]) == (changed, reboot)
    assert result["msg"] == msg.replace("CONFIG", str(config))
    assert (kernel / "enforce").read_text() == after
    assert f"SELINUX={args['state']}\n" in config.read_text()
    if args["state"] != "disabled":
        assert run_module("ansible.posix.selinux", given)["changed"] is False


@pytest.mark.parametrize(
    ("args", "msg"),
    [
        ({"state": "enforcing"}, "Policy is required if state is not 'disabled'"),
        ({"state": "enforcing", "policy": "none"}, "Policy none does not exist in /etc/selinux/"),
        ({"state": "disabled", "configfile": "/none"}, "Unable to find file /none"),
        ({"state": "disabled", "update_kernel_param": True}, "'grubby' command not found on host"),
    ],
)
def test_what_selinux_lacks_is_named(args: JsonObject, msg: str, kernel: Path, tmp_path: Path) -> None:
    result = run_module("ansible.posix.selinux", {"configfile": str(tmp_path / "etc" / "config"), **args})
    assert (result["failed"], result["msg"]) == (True, msg)


GRUBBY = 'index=0\nkernel="/boot/v"\nargs="ro quiet{}"\nroot="/dev/sda"\nindex=1\nkernel="/boot/w"\nargs="ro{}"\n'


@pytest.mark.parametrize(
    ("first", "second", "state"),
    [("", "", "enabled"), (" selinux=0", " selinux=0", "disabled"), (" selinux=0", "", "<inconsistent>")],
)
def test_grubby_tells_of_every_kernel(first: str, second: str, state: str) -> None:
    assert selinux.kernel_state(GRUBBY.format(first, second)) == state


def test_the_kernels_parameters_are_changed_with_grubby(kernel: Path, tmp_path: Path) -> None:
    environment = programs(tmp_path, grubby=GRUBBY.format("", ""))
    args: JsonObject = {"state": "disabled", "configfile": str(tmp_path / "etc/config"), "update_kernel_param": True}
    result = run_module("ansible.posix.selinux", args, context(environment=environment))
    assert result["msg"].endswith("Kernel SELinux state changed from 'enabled' to 'disabled'")
    assert asked(tmp_path) == ["grubby --info=ALL", "grubby --update-kernel=ALL --args selinux=0"]


SEMANAGE = (
    "ftp_home_dir                   (off  ,  off)  Determine whether ftpd can read home directories.\n"
    "httpd_can_network_connect      (on   ,  off)  Allow httpd to can network connect\n"
)


@pytest.mark.parametrize(
    ("args", "active", "changed", "command"),
    [
        ({"state": True}, "off", True, "setsebool httpd_can_network_connect on"),
        ({"state": True}, "on", False, ""),
        ({"state": False}, "on", True, "setsebool httpd_can_network_connect off"),
        ({"state": True, "persistent": True}, "on", True, "setsebool -P httpd_can_network_connect on"),
        ({"state": False, "persistent": True}, "off", False, ""),
    ],
)
def test_a_boolean_is_set_where_it_differs(
    args: JsonObject, active: str, changed: bool, command: str, kernel: Path, tmp_path: Path
) -> None:
    shown = f"httpd_can_network_connect --> {active}\n"
    environment = programs(tmp_path, getsebool=shown, setsebool="", semanage=SEMANAGE)
    given: JsonObject = {"name": "httpd_can_network_connect", **args}
    predicted = run_module("ansible.posix.seboolean", given, context(check=True, environment=environment))
    assert not any(line.startswith("setsebool") for line in asked(tmp_path))
    result = run_module("ansible.posix.seboolean", given, context(environment=environment))
    assert (predicted["changed"], result["changed"]) == (changed, changed)
    assert [line for line in asked(tmp_path) if line.startswith("setsebool")] == ([command] if command else [])


def test_a_boolean_that_is_none_is_named(kernel: Path, tmp_path: Path) -> None:
    environment = programs(tmp_path, getsebool="")
    result = run_module("ansible.posix.seboolean", {"name": "no", "state": True}, context(environment=environment))
    assert result["msg"] == "SELinux boolean no does not exist."


def test_a_boolean_needs_selinux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selinux_context, "_KERNEL", tmp_path / "none")
    result = run_module("ansible.posix.seboolean", {"name": "x", "state": True})
    assert result["msg"] == "SELinux is disabled on this host."


def test_semanage_and_getsebool_are_read() -> None:
    assert seboolean.stored(SEMANAGE) == {"ftp_home_dir": False, "httpd_can_network_connect": False}
    assert seboolean.active("a --> on\nb --> off\n") == {"a": True, "b": False}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernel with one module loaded and one built in, and empty folders of configuration."""
    (tmp_path / "modules").write_text("loop 1 0 - Live 0x0\nis_loaded 1 0 - Live 0x0\n")
    release = tmp_path / "kernels" / os.uname().release
    release.mkdir(parents=True)
    (release / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
    monkeypatch.setattr(modprobe, "_LOADED", tmp_path / "modules")
    monkeypatch.setattr(modprobe, "_KERNELS", tmp_path / "kernels")
    monkeypatch.setattr(modprobe, "_AT_BOOT", tmp_path / "load")
    monkeypatch.setattr(modprobe, "_OPTIONS", tmp_path / "options")
    return tmp_path


def loads(folder: Path, args: JsonObject, *, check: bool = False) -> JsonObject:
    """Run modprobe with a program that refuses to load for the first time."""
    environment = programs(folder, modprobe="")
    script = (folder / "bin" / "modprobe").read_text()
    (folder / "bin" / "modprobe").write_text(f'{script}case "$*" in *first-time*|*bad*) echo no >&2; exit 1;; esac\n')
    return run_module("community.general.modprobe", args, context(check=check, environment=environment))


@pytest.mark.parametrize(
    ("args", "changed", "commands"),
    [
        ({"name": "other", "params": "a=1 b=2"}, True, ["other a=1 b=2", "-n --first-time other a=1 b=2"]),
        ({"name": "is-loaded"}, False, []),
        ({"name": "ext4"}, False, []),
        ({"name": "is_loaded", "state": "absent"}, True, ["-r is_loaded"]),
        ({"name": "other", "state": "absent"}, False, []),
    ],
)
def test_a_module_is_loaded_or_unloaded(args: JsonObject, changed: bool, commands: list[str], modules: Path) -> None:
    result = loads(modules, args)
    assert (result["changed"], result["name"]) == (changed, args["name"])
    assert asked(modules) == [f"modprobe {words}" for words in commands]


@pytest.mark.parametrize("check", [False, True])
def test_a_module_that_is_not_to_be_had_fails_in_check_mode_too(check: bool, modules: Path) -> None:
    result = loads(modules, {"name": "bad"}, check=check)
    assert (result["failed"], result["rc"], result["msg"]) == (True, 1, "no\n")


def test_a_module_is_loaded_at_boot_with_its_parameters(modules: Path) -> None:
    args: JsonObject = {"name": "is_loaded", "params": "a=1 b=2", "persistent": "present"}
    assert loads(modules, args, check=True)["changed"] is True
    assert not (modules / "load").exists()
    assert loads(modules, args)["changed"] is True
    assert (modules / "load/is_loaded.conf").read_text() == "is_loaded\n"
    assert (modules / "options/is_loaded.conf").read_text() == "options is_loaded a=1\noptions is_loaded b=2\n"
    assert loads(modules, args)["changed"] is False


def test_a_module_that_is_not_to_load_at_boot_is_a_comment(modules: Path) -> None:
    (modules / "load").mkdir()
    (modules / "options").mkdir()
    (modules / "load" / "x.conf").write_text("# is_loaded\nis_loaded # why\nother\n")
    (modules / "options" / "x.conf").write_text("options is_loaded a=1\noptions other b=2\n")
    args: JsonObject = {"name": "is_loaded", "persistent": "absent"}
    assert loads(modules, args)["changed"] is True
    assert (modules / "load" / "x.conf").read_text() == "# is_loaded\n#is_loaded # why\nother\n"
    assert (modules / "options" / "x.conf").read_text() == "#options is_loaded a=1\noptions other b=2\n"
    assert loads(modules, args)["changed"] is False


REDHAT = """java - status is auto.
 link currently points to /usr/lib/jvm/java-11/bin/java
/usr/lib/jvm/java-1.8/bin/java - family java-1.8 priority 1800
 follower keytool: /usr/lib/jvm/java-1.8/bin/keytool
 follower orbd: (null)
/usr/lib/jvm/java-11/bin/java - family java-11 priority 1100
 slave keytool: /usr/lib/jvm/java-11/bin/keytool
/opt/java - priority 5
Current `best' version is /usr/lib/jvm/java-11/bin/java.
"""


# What community.general.alternatives asks and answers where the program says the same.
@pytest.mark.parametrize(
    ("args", "msg", "command"),
    [
        ({"family": "java-1.8"}, "Set alternative 'java-1.8' for 'java'.", "--set java java-1.8"),
        ({"family": "java-11"}, "", ""),
        ({"family": "java-11", "state": "auto"}, "", ""),
        ({"family": "java-11", "state": "absent"}, "", ""),
        (
            {"path": "/bin/sh", "family": "java-11", "link": "/usr/bin/java"},
            "Install alternative '/bin/sh' for 'java'.",
            "--install /usr/bin/java java /bin/sh 50 --family java-11",
        ),
        ({"path": "/opt/java"}, "Set alternative '/opt/java' for 'java'.", "--set java /opt/java"),
        ({"path": "/usr/lib/jvm/java-11/bin/java", "priority": 1100, "link": "/usr/bin/java"}, "", ""),
    ],
)
def test_alternatives_of_red_hat_are_read(args: dict[str, JsonValue], msg: str, command: str, tmp_path: Path) -> None:
    environment = programs(tmp_path, update_alternatives=REDHAT)
    given: JsonObject = {"name": "java", **args}
    result = run_module("community.general.alternatives", given, context(environment=environment))
    assert (result["msg"], result["changed"]) == (msg, bool(command))
    commands = asked(tmp_path)[1:]
    assert commands == ([f"update_alternatives {command}"] if command else [])
    assert alternatives.parse(REDHAT).mode == "auto"
