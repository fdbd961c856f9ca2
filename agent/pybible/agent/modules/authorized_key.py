"""authorized_key: makes sure that an account's authorized_keys file has, or has not, some SSH keys."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules import files
from pybible.agent.modules.api import (
    Change,
    Context,
    Diff,
    FileAttributes,
    Module,
    ModuleError,
    PathText,
    Plan,
    Unchanged,
    arg,
)
from pybible.agent.modules.rewrite import lines_of, read_text
from pybible.agent.modules.ssh_keys import Lines, parse_key, split_options
from pybible.wire.values import JsonObject

_SHOWN = ("comment", "exclusive", "follow", "key", "key_options", "manage_dir", "path", "state", "user")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of authorized_key."""

    user: str = arg(doc="the account")
    key: str = arg(doc="the keys, a line each; or an address, `https:` or on the host `file:`, under which they are")
    path: PathText | None = arg(default=None, doc="the file, in the place of the account's own")
    manage_dir: bool = arg(default=True, doc="make the file's folder, and set its owner and mode")
    state: Literal["absent", "present"] = arg(default="present", doc="whether the keys are to be there")
    key_options: str | None = arg(default=None, doc="options of the keys; without them those in `key`")
    exclusive: bool = arg(default=False, doc="no other keys are to be there")
    comment: str | None = arg(default=None, doc="comment of the keys; without it the one in `key`")
    validate_certs: bool = arg(default=True, doc="check the certificate of the address")
    follow: bool = arg(default=False, doc="follow a link at `path`")


def plan(args: Args, context: Context) -> Plan:
    """Compare the file with what is asked."""
    wanted = [line.strip() for line in lines_of(_keys(args))]
    path = _file(args, context)
    before = read_text(path)
    lines = Lines(before)
    changed = edit(lines, [line for line in wanted if line and not line.startswith("#")], args)
    shown: JsonObject = {name: getattr(args, name) for name in _SHOWN}
    values = {**shown, "keyfile": path, "validate_certs": args.validate_certs}
    if not changed:
        return Unchanged(values=values)
    after = lines.text()
    return Change(
        values=values,
        diff=Diff(before, after, before_header=path, after_header=path),
        apply=partial(_write, args, path, after),
    )


def edit(lines: Lines, wanted: list[str], args: Args) -> bool:
    """Put the keys among the lines, or take them away; return whether anything changed."""
    changed = False
    names = set()
    for text in wanted:
        key = parse_key(text)
        if key is None:
            raise ModuleError(f"invalid key specified: {text}")
        if args.key_options is not None:
            key = replace(key, options=split_options(args.key_options))
        if args.comment is not None:
            key = replace(key, comment=args.comment)
        names.add(key.data)
        old = lines.get(key.data)
        if args.state == "absent":
            if old is not None:
                lines.remove(key.data)
                changed = True
        elif old is None or not old.same(key):
            lines.put(key)
            changed = True
    if args.exclusive and args.state == "present":
        changed |= lines.only(names)
    return changed


def _keys(args: Args) -> str:
    if args.key.startswith("file://"):
        path = args.key.removeprefix("file://")
        if not Path(path).exists():
            raise ModuleError(f"Path to a key file not found: {path}")
        return read_text(path)
    if not args.key.startswith("http"):
        return args.key
    # The machinery of the web is large: only a task that needs it pays for it.
    from pybible.agent.modules.web import Request, fetch

    with fetch(Request(url=args.key, check_certificate=args.validate_certs)) as answer:
        if answer.status != 200:
            raise ModuleError(f"Error getting key from: {args.key}")
        return answer.read().decode("utf-8", "surrogateescape")


def _file(args: Args, context: Context) -> str:
    path = args.path
    try:
        account = pwd.getpwnam(args.user)
    except KeyError as error:
        if not context.check:
            raise ModuleError(f"Failed to lookup user {args.user}: {error}") from error
        if path is None:
            text = "Either user must exist or you must provide full path to key file in check mode"
            raise ModuleError(text) from error
    else:
        path = path or str(Path(account.pw_dir, ".ssh", "authorized_keys"))
    return path


def _write(args: Args, path: str, text: str) -> None:
    account = pwd.getpwnam(args.user)
    if args.follow:
        path = os.path.realpath(path)
    folder = Path(path).parent
    made = not folder.exists()
    folder.mkdir(mode=0o700 if args.manage_dir else 0o777, parents=True, exist_ok=True)
    # The folder is the account's: a link there must not have root give away what it leads to.
    if (args.manage_dir or made) and not folder.is_symlink():
        os.chown(folder, account.pw_uid, account.pw_gid)
        if args.manage_dir:
            folder.chmod(0o700)
    with files.beside(path) as temporary:
        Path(temporary).write_bytes(text.encode("utf-8", "surrogateescape"))
        files.replace(temporary, path, FileAttributes(), mode=0o600)
    os.lchown(path, account.pw_uid, account.pw_gid)


MODULE = Module(name="ansible.posix.authorized_key", args=Args, plan=plan)
