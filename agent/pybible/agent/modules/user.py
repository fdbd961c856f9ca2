"""user: makes sure that a user is, or is not, on the host, with what belongs to it."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, Unchanged, arg
from pybible.agent.modules.programs import call, need
from pybible.agent.modules.user_accounts import Account, account_of, group_id, memberships, shadow_of
from pybible.agent.modules.user_commands import ageing, creation, modification, password_line
from pybible.agent.modules.user_home import make_home, plan_key
from pybible.wire.values import JsonObject

_NOT_HASHED = (
    "The input password appears not to have been hashed. The 'password' argument must be encrypted for this module to "
    "work properly."
)
_HASH_LENGTHS = {"1": 22, "5": 43, "6": 86}
_KEY_THERE = 'Found existing ssh key private file "{file}", no force, so skipping ssh-keygen generation'
_APPEND_ALONE = (
    "'append' is set, but no 'groups' are specified. Use 'groups' for appending new groups."
    "This will change to an error in Ansible 2.14."
)


def _key_comment() -> str:
    return f"ansible-generated on {socket.gethostname()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of user."""

    name: str = arg(aliases=("user",), doc="the user's name")
    state: Literal["absent", "present"] = arg(default="present", doc="whether the user is to be there")
    uid: int | None = arg(default=None, doc="the user's number")
    non_unique: bool = arg(default=False, doc="allow a number that another user has")
    group: str | None = arg(default=None, doc="the primary group")
    groups: list[str] | None = arg(default=None, doc="further groups; an empty list: none")
    comment: str | None = arg(default=None, doc="the GECOS field")
    home: PathText | None = arg(default=None, doc="the home folder")
    shell: PathText | None = arg(default=None, doc="the login shell")
    password: str | None = arg(default=None, no_log=True, doc="the password's hash")
    login_class: str | None = arg(default=None, doc="on BSD")
    password_expire_max: int | None = arg(default=None, doc="days until the password has to be changed")
    password_expire_min: int | None = arg(default=None, doc="days between two changes of the password")
    password_expire_warn: int | None = arg(default=None, doc="days of warning before it has to be changed")
    hidden: bool | None = arg(default=None, doc="on macOS")
    seuser: str | None = arg(default=None, doc="the SELinux user")
    force: bool = arg(default=False, doc="remove what belongs to a user that is still logged in")
    remove: bool = arg(default=False, doc="remove the home folder with the user")
    create_home: bool = arg(default=True, aliases=("createhome",), doc="make the home folder when there is none")
    skeleton: str | None = arg(default=None, doc="what a new home folder starts from")
    system: bool = arg(default=False, doc="make a system account")
    move_home: bool = arg(default=False, doc="move the old home folder to the new place")
    append: bool = arg(default=False, doc="add the groups, leave none")
    expires: float | None = arg(default=None, doc="when the account ends, in seconds since 1970; negative: never")
    local: bool | None = arg(default=None, doc="use the programs for local accounts, whatever the name service says")
    generate_ssh_key: bool | None = arg(default=None, doc="make an SSH key when there is none")
    ssh_key_bits: int = arg(default=0, doc="its length")
    ssh_key_type: str = arg(default="rsa", doc="its kind")
    ssh_key_file: PathText | None = arg(default=None, doc="its file, relative to the home folder")
    ssh_key_comment: str = arg(default_factory=_key_comment, doc="its comment; `ansible-generated on HOST`")
    ssh_key_passphrase: str | None = arg(default=None, no_log=True, doc="its passphrase")
    update_password: Literal["always", "on_create"] = arg(default="always", doc="change the password of a user")
    profile: str | None = arg(default=None, doc="on Solaris")
    authorization: str | None = arg(default=None, doc="on Solaris")
    role: str | None = arg(default=None, doc="on Solaris")
    password_lock: bool | None = arg(default=None, doc="lock the password")
    umask: str | None = arg(default=None, doc="umask for a new home folder")
    password_expire_account_disable: int | None = arg(default=None, doc="days from an old password to a closed account")
    uid_min: int | None = arg(default=None, doc="lowest number for a new user, over /etc/login.defs")
    uid_max: int | None = arg(default=None, doc="highest number for a new user, over /etc/login.defs")


def plan(args: Args, context: Context) -> Plan:
    """Compare the host's accounts with what is asked."""
    if args.local:
        for name in ("umask", "uid_min", "uid_max"):
            if getattr(args, name) is not None:
                raise ModuleError(f"'{name}' can not be used with 'local'")
    account = account_of(args.name, local=bool(args.local))
    warnings = _warnings(args)
    if args.state == "absent":
        if account is None:
            return Unchanged(values={"name": args.name, "state": "absent", **warnings})
        words = [need("luserdel" if args.local else "userdel", context)]
        words += ["-f"] if args.force and not args.local else []
        words += ["-r"] if args.remove else []
        return Change(values=warnings, apply=partial(_remove, args, context, [*words, args.name]))
    _check_groups(args)
    if account is None:
        return Change(values=warnings, apply=partial(_create, args, context))
    return _plan_existing(args, context, account, warnings)


def _warnings(args: Args) -> JsonObject:
    found = []
    if args.append and args.groups is None:
        found.append(_APPEND_ALONE)
    if args.password is not None and not looks_hashed(args.password):
        found.append(_NOT_HASHED)
    return {"warnings": found} if found else {}


def looks_hashed(password: str) -> bool:
    """Return whether a password can be a hash, or one of the words that stand for none."""
    if password in ("*", "!", "*************"):
        return True
    if password.startswith("$2"):
        return True
    fields = password.split("$")
    if any(letter in password for letter in ":*!") or len(fields) < 3:
        return False
    length = _HASH_LENGTHS.get(fields[1])
    return length is None or (len(fields[-1]) == length and re.search(r"[^a-zA-Z0-9./]", fields[-1]) is None)


def _check_groups(args: Args) -> None:
    if args.group is not None and group_id(args.group) is None:
        raise ModuleError(f"Group {args.group} does not exist")
    for name in args.groups or ():
        if group_id(name) is None:
            raise ModuleError(f"Group {name} does not exist")


def _plan_existing(args: Args, context: Context, account: Account, warnings: JsonObject) -> Plan:
    home = args.home or account.home
    commands = modification(args, account, shadow_of(args.name), memberships(account), context)
    password = password_line(args, shadow_of(args.name))
    later = ageing(args, shadow_of(args.name), context)
    missing = args.create_home and not home_exists(home)
    key = plan_key(args, account, home) if args.generate_ssh_key else None
    values: JsonObject = {**_existing(args, account), "append": args.append, "move_home": args.move_home, **warnings}
    if key is not None:
        values |= key.values
    work = partial(_modify, args, context, commands, password, later)
    if commands or password or later or missing or (key is not None and key.missing):
        return Change(values=values, apply=work)
    if key is not None:
        values |= key.describe(context)
        values["warnings"] = [*values.get("warnings", ()), _KEY_THERE.format(file=key.file)]
    return Unchanged(values=values)


def home_exists(home: str) -> bool:
    """Return whether there is anything at the place of a home folder."""
    return Path(home).exists()


def _existing(args: Args, account: Account) -> JsonObject:
    values: JsonObject = {
        "name": args.name, "state": args.state, "uid": account.uid, "group": account.gid, "comment": account.comment,
        "home": account.home, "shell": account.shell,
    }  # fmt: skip
    if args.groups is not None:
        values["groups"] = ",".join(args.groups)
    if args.password is not None:
        values["password"] = "NOT_LOGGING_PASSWORD"  # noqa: S105
    return values


def _remove(args: Args, context: Context, words: list[str]) -> JsonObject:
    result = _run(args, context, [words])
    return {"name": args.name, "state": "absent", "force": args.force, "remove": args.remove, **result}


def _run(args: Args, context: Context, commands: list[list[str]]) -> JsonObject:
    outputs: JsonObject = {}
    for words in commands:
        done = call(words, context)
        if done.rc:
            raise ModuleError(done.stderr, name=args.name, rc=done.rc)
        for name, text in (("stdout", done.stdout), ("stderr", done.stderr)):
            if text:
                outputs[name] = outputs.get(name, "") + text
    return outputs


def _set_password(args: Args, context: Context, line: str | None) -> None:
    if line is None:
        return
    done = call([need("chpasswd", context), "-e"], context, stdin=line)
    if done.rc:
        raise ModuleError(done.stderr, name=args.name, rc=done.rc)


def _create(args: Args, context: Context) -> JsonObject:
    result = _run(args, context, creation(args, context))
    _set_password(args, context, password_line(args, None, created=True))
    account = _account(args)
    result |= {**_existing(args, account), "system": args.system, "create_home": args.create_home}
    return result | _finish(args, context, ageing(args, shadow_of(args.name), context))


def _account(args: Args) -> Account:
    account = account_of(args.name, local=bool(args.local))
    if account is None:
        raise ModuleError(f"failed to look up user name: {args.name}", name=args.name)
    return account


def _modify(
    args: Args,
    context: Context,
    commands: list[list[str]],
    password: str | None,
    later: list[list[str]],
) -> JsonObject:
    result = _run(args, context, commands)
    _set_password(args, context, password)
    result |= _existing(args, _account(args))
    return result | _finish(args, context, later)


def _finish(args: Args, context: Context, later: list[list[str]]) -> JsonObject:
    """Make the home folder and the key where they are missing, and set the password's ages."""
    account = _account(args)
    home = args.home or account.home
    if args.create_home and not home_exists(home):
        make_home(home, account, skeleton=args.skeleton, umask=args.umask)
    result: JsonObject = {}
    if args.generate_ssh_key:
        key = plan_key(args, account, home)
        key.make(context)
        result |= key.values | key.describe(context)
    _run(args, context, later)
    return result


MODULE = Module(name="user", args=Args, plan=plan)
