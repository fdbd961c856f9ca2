"""user_commands: the command lines of useradd, usermod and chage for what is asked of an account."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pybible.agent.modules.api import Context, ModuleError
from pybible.agent.modules.programs import need
from pybible.agent.modules.user_accounts import Account, Shadow, group_id, group_name

if TYPE_CHECKING:
    from pybible.agent.modules.user import Args

_DAY = 86400


def creation(args: Args, context: Context) -> list[list[str]]:
    """Return the commands that make the account."""
    words = [need("luseradd" if args.local else "useradd", context)]
    if args.uid is not None:
        words += ["-u", str(args.uid), *(["-o"] if args.non_unique else [])]
    if args.seuser is not None:
        words += ["-Z", args.seuser]
    if args.group is not None:
        words += ["-g", args.group]
    elif group_id(args.name) is not None and not args.name.isdigit():
        # Else useradd would refuse to make a group of the user's name.
        words.append("-n" if args.local else "-N")
    if args.groups and not args.local:
        words += ["-G", ",".join(args.groups)]
    for option, value in (("-c", args.comment), ("-d", args.home), ("-s", args.shell)):
        if value is not None:
            words += [option, value]
    if args.expires is not None:
        words += ["-e", "" if args.expires < 0 else _date(args.expires)]
    if args.password is not None and args.local:
        words += ["-p", _locked(args)]
    if args.password_expire_account_disable is not None:
        words += ["-f", str(args.password_expire_account_disable)]
    words += _home_words(args)
    if args.system:
        words.append("-r")
    for name, number in (("UID_MIN", args.uid_min), ("UID_MAX", args.uid_max)):
        if number is not None:
            words += ["-K", f"{name}={number}"]
    commands = [[*words, args.name]]
    if args.local and args.groups:
        commands += [[need("lgroupmod", context), "-M", args.name, group] for group in args.groups]
    return commands


def _home_words(args: Args) -> list[str]:
    if not args.create_home:
        return ["-M"]
    words = [] if args.local else ["-m"]
    if args.skeleton is not None:
        words += ["-k", args.skeleton]
    if args.umask is not None:
        words += ["-K", f"UMASK={args.umask}"]
    return words


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def _locked(args: Args) -> str:
    return f"!{args.password}" if args.password_lock else str(args.password)


def modification(
    args: Args, account: Account, shadow: Shadow | None, groups: set[str], context: Context
) -> list[list[str]]:
    """Return the commands that make the account as asked; none when it is."""
    words: list[str] = []
    if args.uid is not None and args.uid != account.uid:
        words += ["-u", str(args.uid), *(["-o"] if args.non_unique else [])]
    if args.group is not None and (gid := group_id(args.group)) is not None and gid != account.gid:
        words += ["-g", str(gid)]
    words += _group_words(args, groups, context)
    if args.comment is not None and args.comment != account.comment:
        words += ["-c", args.comment]
    if args.home is not None and args.home != account.home:
        words += ["-d", args.home, *(["-m"] if args.move_home else [])]
    if args.shell is not None and args.shell != account.shell:
        words += ["-s", args.shell]
    words += _expiry_words(args, shadow)
    words += _password_words(args, shadow)
    if not words:
        return []
    return [[need("lusermod" if args.local else "usermod", context), *words, args.name]]


def _group_words(args: Args, current: set[str], context: Context) -> list[str]:
    if args.groups is None:
        return []
    wanted = {group_name(name) for name in args.groups}
    if args.group is not None:
        wanted.discard(group_name(args.group))
    if args.append:
        if wanted <= current:
            return []
        return ["-a", "-G", ",".join(sorted(wanted))]
    return [] if wanted == current else ["-G", ",".join(sorted(wanted))]


def _expiry_words(args: Args, shadow: Shadow | None) -> list[str]:
    if args.expires is None or shadow is None:
        return []
    if args.expires < 0:
        return ["-e", ""] if shadow.expires is not None and shadow.expires >= 0 else []
    if shadow.expires is not None and shadow.expires == int(args.expires) // _DAY:
        return []
    return ["-e", _date(args.expires)]


def _is_new(args: Args, shadow: Shadow | None) -> bool:
    current = "" if shadow is None else shadow.password
    return (
        args.update_password == "always"  # noqa: S105
        and args.password is not None
        and current.lstrip("!") != args.password.lstrip("!")
    )


def password_line(args: Args, shadow: Shadow | None, *, created: bool = False) -> str | None:
    """Return the line for `chpasswd -e`, None when the password is as asked.

    On a command line it could be read by everybody on the host. libuser's tools, for `local`, have no other way.
    """
    if args.password is None or args.local or not (created or _is_new(args, shadow)):
        return None
    if "\n" in args.password or ":" in args.name:
        raise ModuleError("neither a user's name nor the password's hash may have such characters", name=args.name)
    return f"{args.name}:{_locked(args)}\n"


def _password_words(args: Args, shadow: Shadow | None) -> list[str]:
    words = []
    current = "" if shadow is None else shadow.password
    if _is_new(args, shadow):
        # Lock and password are one field: -p sets both.
        if args.local:
            words += ["-p", _locked(args)]
    elif args.password_lock and not current.startswith("!"):
        words.append("-L")
    elif args.password_lock is False and current.startswith("!"):
        words.append("-U")
    inactive = args.password_expire_account_disable
    if inactive is not None and (shadow is None or shadow.inactive != (None if inactive < 0 else inactive)):
        words += ["-f", str(inactive)]
    return words


def ageing(args: Args, shadow: Shadow | None, context: Context) -> list[list[str]]:
    """Return the command that sets the ages of the password; none when they are as asked."""
    words: list[str] = []
    for option, wanted, current in (
        ("-m", args.password_expire_min, shadow.least if shadow else None),
        ("-M", args.password_expire_max, shadow.most if shadow else None),
        ("-W", args.password_expire_warn, shadow.warn if shadow else None),
    ):
        if wanted is not None and wanted != current:
            words += [option, str(wanted)]
    return [[need("chage", context), *words, args.name]] if words else []
