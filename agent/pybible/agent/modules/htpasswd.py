"""htpasswd: makes sure that a user is, or is not, in a password file of a web server."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import (
    Change,
    Context,
    FileAttributes,
    Module,
    ModuleError,
    PathText,
    Plan,
    Unchanged,
    arg,
)
from pybible.agent.modules.attributes import AttributeChange, plan_attributes
from pybible.agent.modules.files import beside, replace
from pybible.agent.modules.htpasswd_hashes import make, matches
from pybible.agent.modules.rewrite import ATTRIBUTES_CHANGED
from pybible.wire.values import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(FileAttributes):
    """Arguments of htpasswd."""

    path: PathText = arg(aliases=("dest", "destfile"), doc="the file")
    name: str = arg(aliases=("username",), doc="the user")
    password: str | None = arg(default=None, no_log=True, doc="the password")
    hash_scheme: str = arg(
        default="apr_md5_crypt",
        aliases=("crypt_scheme",),
        doc="how it is hidden: apr_md5_crypt, ldap_sha1, plaintext, bcrypt, sha512_crypt, sha256_crypt, md5_crypt, "
        "des_crypt; others where the host has passlib",
    )
    state: Literal["present", "absent"] = arg(default="present", doc="whether the user is to be there")
    create: bool = arg(default=True, doc="make the file when there is none")


def plan(args: Args, context: Context) -> Plan:
    """Compare the file with what is asked."""
    path = Path(args.path)
    if args.state == "absent":
        return _plan_removal(args, context)
    if not path.exists():
        if not args.create:
            raise ModuleError(f"Destination {args.path} does not exist")
        if context.check:
            return Change(msg=f"Create {args.path}", apply=_nothing)
    if args.password is None:
        raise ModuleError("secret must be unicode or bytes, not None")
    if not args.name or set(args.name) & set(":\n\r\t\0"):
        raise ModuleError(f"user contains invalid characters: {args.name.encode()!r}")
    if not path.exists():
        line = f"{args.name}:{make(args.hash_scheme, args.password)}\n"
        return Change(apply=partial(_write, args, line, f"Created {args.path} and added {args.name}"))
    lines = _read(path)
    if any(user == args.name and matches(args.password, found) for user, found in map(parse, lines)):
        return _attributes(args, f"{args.name} already present")
    text = put(lines, args.name, make(args.hash_scheme, args.password))
    msg = _with_attributes(args, f"Add/update {args.name}")
    return Change(msg=msg, apply=partial(_write, args, text, msg))


def _nothing() -> None:
    return None


def _plan_removal(args: Args, context: Context) -> Plan:
    if not Path(args.path).exists():
        values: JsonObject = {"msg": f"{args.name} not present", "warnings": [f"{args.path} does not exist"]}
        return Unchanged(values=values)
    lines = _read(Path(args.path))
    kept = [line for line in lines if parse(line)[0] != args.name]
    if kept == lines:
        return _attributes(args, f"{args.name} not present")
    msg = _with_attributes(args, f"Remove {args.name}")
    return Change(msg=msg, apply=partial(_write, args, "".join(kept), msg))


def _attributes(args: Args, msg: str) -> Plan:
    change = plan_attributes(args.path, args)
    if not change:
        return Unchanged(values={"msg": msg})
    return Change(msg=f"{msg}{ATTRIBUTES_CHANGED}", apply=change.apply)


def _with_attributes(args: Args, msg: str) -> str:
    return f"{msg} and {ATTRIBUTES_CHANGED}" if plan_attributes(args.path, args) else msg


def _read(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise ModuleError(str(error)) from error
    return [f"{line}\n" for line in text.removesuffix("\n").split("\n")] if text else []


def parse(line: str) -> tuple[str, str]:
    """Return the user of a line and the hash; both are empty in one that is none's."""
    if line.startswith("#"):
        return "", ""
    user, colon, found = line.rstrip("\r\n").partition(":")
    return (user, found) if colon else ("", "")


def put(lines: list[str], name: str, found: str) -> str:
    """Return the file's text with the user's line in the place of the old one, or at the end."""
    after = []
    done = False
    for line in lines:
        if parse(line)[0] != name:
            after.append(line)
        elif not done:
            after.append(f"{name}:{found}\n")
            done = True
    return "".join(after if done else [*after, f"{name}:{found}\n"])


def _write(args: Args, text: str, msg: str) -> JsonObject:
    path = Path(args.path)
    new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with beside(args.path) as temporary:
        Path(temporary).write_bytes(text.encode("utf-8", "surrogateescape"))
        attributes: AttributeChange = replace(temporary, args.path, args)
    return {"msg": f"{msg} and {ATTRIBUTES_CHANGED}"} if attributes and new else {"msg": msg}


MODULE = Module(name="htpasswd", args=Args, plan=plan)
