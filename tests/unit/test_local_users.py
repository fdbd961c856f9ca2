"""test_local_users: the role that a user of the controller's machine has."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Mapping

import pytest

from pybible.server.controller.local_users import LocalUser, LocalUsers, Peer, read_local_users
from pybible.wire.errors import ConfigError
from pybible.wire.identity import OperatorRole

# name: (uid, primary group); groups: (gid, members).
USERS = {"ada": (1001, 1001), "bob": (1002, 100), "nobody": (65534, 65534)}
GROUPS = {"deploy": (2000, ("ada",)), "users": (100, ()), "nogroup": (65534, ())}


@pytest.fixture(autouse=True)
def user_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def user(uid: int) -> pwd.struct_passwd:
        for name, (number, gid) in USERS.items():
            if number == uid:
                return pwd.struct_passwd((name, "x", uid, gid, "", "/", "/bin/sh"))
        raise KeyError(uid)

    def group(name: str) -> grp.struct_group:
        gid, members = GROUPS[name]
        return grp.struct_group((name, "x", gid, list(members)))

    def groups_of(name: str, gid: int) -> list[int]:
        return [gid, *(number for number, members in GROUPS.values() if name in members)]

    monkeypatch.setattr(pwd, "getpwuid", user)
    monkeypatch.setattr(grp, "getgrnam", group)
    monkeypatch.setattr(os, "getgrouplist", groups_of)


def found(uid: int, gid: int = 7, /, **roles: list[str]) -> LocalUser:
    return LocalUsers(roles=read_local_users(roles, where="controller.toml"), own_uid=500).find(
        Peer(pid=1, uid=uid, gid=gid)
    )


@pytest.mark.parametrize("uid", [0, 500])
def test_root_and_the_controllers_own_user_are_admins(uid: int) -> None:
    assert found(uid).role is OperatorRole.ADMIN
    assert found(uid, viewer=[f"uid:{uid}"]).role is OperatorRole.ADMIN


def test_everybody_else_is_nobody() -> None:
    assert found(1001).role is None
    assert found(1001, runner=["bob", "uid:1002", "group:users"]).role is None


@pytest.mark.parametrize("entry", ["ada", "uid:1001", "group:deploy"])
@pytest.mark.parametrize("role", list(OperatorRole), ids=str)
def test_a_user_is_named_by_name_number_or_group(role: OperatorRole, entry: str) -> None:
    user = found(1001, **{role.value: ["x", entry]})
    assert (user.role, user.operator, user.entry) == (role, "unix:ada", "ada")


def test_the_group_of_the_connection_counts() -> None:
    assert found(1001, 100, viewer=["group:users"]).role is OperatorRole.VIEWER
    assert found(1002, viewer=["group:users"]).role is OperatorRole.VIEWER


def test_a_user_without_a_name_is_a_number() -> None:
    user = found(4711, runner=["uid:4711"])
    assert (user.role, user.operator, user.entry) == (OperatorRole.RUNNER, "unix:uid:4711", "uid:4711")
    assert found(4711, runner=["uid:471", "group:nosuch", "x"]).role is None


def test_the_first_of_several_roles_counts() -> None:
    assert found(1001, viewer=["ada"], approver=["group:deploy"]).role is OperatorRole.APPROVER
    assert found(1001, approver=["ada"], runner=["group:deploy"]).role is OperatorRole.RUNNER
    assert found(1001, runner=["ada"], admin=["group:deploy"]).role is OperatorRole.ADMIN


def test_whom_a_user_namespace_hides_is_nobody() -> None:
    assert found(65534, 65534, admin=["nobody", "uid:65534", "group:nogroup"]).role is None


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ([], "[local_users] must be a table"),
        ({"king": ["ada"]}, "[local_users]: unknown setting 'king'"),
        ({"admin": "ada"}, "[local_users]: admin must be a list of texts, not 'ada'"),
        ({"admin": ["user:ada"]}, "[local_users]: admin must be a list of NAME, uid:NUMBER or group:NAME"),
        ({"admin": ["uid:ada"]}, "[local_users]: admin must be a list of NAME, uid:NUMBER or group:NAME"),
        ({"admin": ["group:"]}, "[local_users]: admin must be a list of NAME, uid:NUMBER or group:NAME"),
        ({"admin": ["ada"], "viewer": ["ada"]}, "[local_users]: ada has two roles: admin and viewer"),
    ],
)
def test_what_is_wrong_in_the_table_is_told(table: Mapping[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_local_users(table, where="controller.toml")
    assert str(raised.value).startswith(f"controller.toml: {said}")
