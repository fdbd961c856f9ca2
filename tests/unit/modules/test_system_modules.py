"""test_system_modules: what the modules of users, services and packages read of other programs' words."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybible.agent.modules.getent import parse
from pybible.agent.modules.known_hosts import hashed_name, matches
from pybible.agent.modules.pip import normalized, parse_freeze
from pybible.agent.modules.service_facts import parse_systemd
from pybible.agent.modules.sockets import address, connections
from pybible.agent.modules.systemd import parse_show
from pybible.agent.modules.user import looks_hashed
from tests.support.modules import context, run_module


def test_a_value_of_systemctl_show_in_braces_takes_several_lines() -> None:
    shown = parse_show("Id=a.service\nExecStart={ path=/x ;\n argv[]=/x ; }\nActiveState=active\n")
    assert shown == {"Id": "a.service", "ExecStart": "{ path=/x ;\n argv[]=/x ; }", "ActiveState": "active"}


def test_units_and_unit_files_are_put_together() -> None:
    units = "ssh.service loaded active running OpenSSH\n● bad.service loaded failed failed Bad\n"
    files = "ssh.service enabled enabled\ncron.service disabled enabled\ngetty@.service enabled enabled\n"
    found = parse_systemd(units, files)
    assert found["ssh.service"]["state"] == "running"
    assert found["ssh.service"]["status"] == "enabled"
    assert found["bad.service"]["status"] == "failed"
    assert found["cron.service"]["state"] == "stopped"
    assert found["getty@.service"]["state"] == "inactive"


@pytest.mark.parametrize(
    ("text", "shown"), [("0100007F", "127.0.0.1"), ("0000000000000000FFFF00000100007F", "127.0.0.1")]
)
def test_an_address_of_the_kernel_s_is_readable(text: str, shown: str) -> None:
    assert address(text) == shown


def test_connections_are_read_with_their_state(tmp_path: Path) -> None:
    line = "   0: 0100007F:1F90 0200007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0"
    (tmp_path / "tcp").write_text(f"  sl  local_address rem_address   st\n{line}\n")
    (found,) = connections(tmp_path)
    assert (found.local, found.local_port, found.remote, found.state) == ("127.0.0.1", 8080, "127.0.0.2", "ESTABLISHED")


def test_a_hashed_name_matches_its_own_name_only() -> None:
    field = hashed_name("web01")
    assert matches(field, "web01")
    assert not matches(field, "web02")


def test_names_of_packages_are_compared_in_one_spelling() -> None:
    assert parse_freeze("Foo_Bar==1.0\n") == {normalized("foo.bar"): "1.0"}


def test_a_key_with_several_lines_has_all_of_them() -> None:
    assert parse("a 1\na 2\na 3\nb 4\n", None) == {"a": [["1"], ["2"], ["3"]], "b": ["4"]}


@pytest.mark.parametrize(("password", "hashed"), [("*", True), ("secret", False), ("$6$salt$short", False)])
def test_a_plain_password_is_noticed(password: str, hashed: bool) -> None:
    assert looks_hashed(password) is hashed


def test_an_archive_is_not_unpacked_where_its_file_is(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    result = run_module(
        "unarchive", {"src": "/none", "dest": str(tmp_path), "remote_src": True, "creates": str(tmp_path / "there")}
    )
    assert result["skipped"]
    assert not result["changed"]


def test_a_name_is_predicted_and_not_set() -> None:
    result = run_module("hostname", {"name": "pbx-other", "use": "debian"}, context(check=True))
    assert result["changed"]
    assert result["ansible_facts"]["ansible_nodename"] == "pbx-other"
