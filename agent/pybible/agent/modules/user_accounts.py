"""user_accounts: what a host knows of an account: its entries in passwd, shadow and group."""

from __future__ import annotations

import grp
import pwd
from dataclasses import dataclass
from pathlib import Path

from pybible.agent.modules.api import ModuleError

_PASSWD = Path("/etc/passwd")
_SHADOW = Path("/etc/shadow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A line of passwd."""

    name: str
    uid: int
    gid: int
    comment: str
    home: str
    shell: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """A line of shadow: what is empty there is None. `expires` is in days since 1970."""

    password: str
    least: int | None
    most: int | None
    warn: int | None
    inactive: int | None
    expires: int | None


def account_of(name: str, *, local: bool) -> Account | None:
    """Return the account of that name, None when there is none. local: of /etc/passwd alone."""
    if local:
        return _local(name)
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(
        name=name, uid=found.pw_uid, gid=found.pw_gid, comment=found.pw_gecos, home=found.pw_dir, shell=found.pw_shell
    )


def _local(name: str) -> Account | None:
    if not _PASSWD.exists():
        raise ModuleError(f"'local: true' specified but unable to find local account file {_PASSWD} to parse.")
    for line in _PASSWD.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) == 7:
            return Account(
                name=name, uid=int(fields[2]), gid=int(fields[3]), comment=fields[4], home=fields[5], shell=fields[6]
            )
    return None


def shadow_of(name: str) -> Shadow | None:
    """Return the shadow entry of that name, None when there is none, or none to be read."""
    try:
        lines = _SHADOW.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    for line in lines:
        fields = line.split(":")
        if fields[0] == name and len(fields) >= 8:
            least, most, warn, inactive, expires = (int(field) if field else None for field in fields[3:8])
            return Shadow(password=fields[1], least=least, most=most, warn=warn, inactive=inactive, expires=expires)
    return None


def group_id(name: str) -> int | None:
    """Return the number of a group given by name or number, None when there is no such group."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        pass
    try:
        return grp.getgrgid(int(name)).gr_gid
    except (KeyError, ValueError):
        return None


def group_name(name: str) -> str:
    """Return the name of a group given by name or number."""
    found = group_id(name)
    return name if found is None else grp.getgrgid(found).gr_name


def memberships(account: Account) -> set[str]:
    """Return the names of the account's groups, without the primary one."""
    return {entry.gr_name for entry in grp.getgrall() if account.name in entry.gr_mem and entry.gr_gid != account.gid}
