"""local_users: what users of the controller's own machine may do, by name, number or group. Default: nothing."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from pybible.wire.errors import ConfigError
from pybible.wire.identity import OperatorRole
from pybible.wire.tables import Convert, read_table, texts

# A role, and who has it: NAME, uid:NUMBER or group:NAME.
LocalRoles: TypeAlias = tuple[tuple[OperatorRole, str], ...]

_UID, _GROUP = "uid:", "group:"
# Whom a user namespace hides: the kernel names all of them by this number.
_OVERFLOW_UID = 65534
# Where several entries are about a user, the first of these is his.
_ORDER = (OperatorRole.ADMIN, OperatorRole.RUNNER, OperatorRole.APPROVER, OperatorRole.VIEWER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The other end of a connection on this machine, as the kernel names it: the process that opened it."""

    pid: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalUser:
    """An operator on the controller's machine. `name` empty: the user database does not know him."""

    uid: int
    pid: int
    name: str
    role: OperatorRole | None

    @property
    def operator(self) -> str:
        """What he is called in rules and records. No certificate is for such a name: they hold no colon."""
        return f"unix:{self.name}" if self.name else f"unix:{_UID}{self.uid}"

    @property
    def entry(self) -> str:
        """What the configuration calls him."""
        return self.name or f"{_UID}{self.uid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalUsers:
    """Tells who a user is, and his role. Root and the controller's own user (`own_uid`) are admins in any case."""

    roles: LocalRoles = ()
    own_uid: int = field(default_factory=os.geteuid)

    def find(self, peer: Peer) -> LocalUser:
        """Return whom the user database has for a peer, with his role, None for no role. It may take a while.

        His groups are those of the database and the one with which he connected: who was taken out of a group is not in
        it any more, whatever his session still holds.
        """
        try:
            known = pwd.getpwuid(peer.uid)
        except KeyError:
            known = None
        name = known.pw_name if known else ""
        if peer.uid in {0, self.own_uid}:
            return LocalUser(uid=peer.uid, pid=peer.pid, name=name, role=OperatorRole.ADMIN)
        groups = {peer.gid}
        if known is not None:
            groups.update(os.getgrouplist(known.pw_name, known.pw_gid))
        role = next((role for role in _ORDER if self._has(role, peer.uid, name, groups)), None)
        return LocalUser(uid=peer.uid, pid=peer.pid, name=name, role=role)

    def _has(self, role: OperatorRole, uid: int, name: str, groups: set[int]) -> bool:
        if uid == _OVERFLOW_UID:
            return False
        for other, entry in self.roles:
            if other is not role:
                continue
            if entry.startswith(_GROUP):
                if _gid(entry.removeprefix(_GROUP)) in groups:
                    return True
            elif entry == f"{_UID}{uid}" or (name and entry == name):
                return True
        return False


def _gid(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def read_local_users(found: object, *, where: str) -> LocalRoles:
    """Read the table `local_users` of the configuration. ConfigError names the setting that is wrong."""
    table = read_table(found, _SETTINGS, where=f"{where}: [local_users]")
    roles = tuple((OperatorRole(role), entry) for role, entries in table.items() for entry in entries)
    seen: dict[str, OperatorRole] = {}
    for role, entry in roles:
        if seen.setdefault(entry, role) is not role:
            raise ConfigError(f"{where}: [local_users]: {entry} has two roles: {seen[entry]} and {role}")
    return roles


def _users(value: object) -> tuple[str, ...]:
    entries = texts(value)
    for entry in entries:
        kind, colon, rest = entry.partition(":")
        if colon and not (kind == "group" and rest) and not (kind == "uid" and rest.isascii() and rest.isdigit()):
            raise ValueError("a list of NAME, uid:NUMBER or group:NAME")
    return entries


_SETTINGS: Mapping[str, Convert] = {role.value: _users for role in OperatorRole}
