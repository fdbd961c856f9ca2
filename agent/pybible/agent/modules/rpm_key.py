"""rpm_key: adds and removes keys with which rpm checks packages."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.programs import Answer, call, locate, need
from pybible.agent.modules.web import Request, fetch

_ENVIRONMENT = {"LC_ALL": "C.UTF-8"}
_NUMBER = re.compile(r"(?:0x)?([0-9a-f]{8,})", re.IGNORECASE)
_SHORT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of rpm_key."""

    key: str = arg(doc="the key: its address, its file on the host, or its number when it is there")
    fingerprint: list[str] | None = arg(default=None, doc="fingerprints that have to be the key's")
    validate_certs: bool = arg(default=True, doc="check the server's certificate")
    state: Literal["absent", "present"] = arg(default="present", doc="what is wanted")


@dataclass(frozen=True, slots=True)
class Keys:
    """What gpg says of keys: their numbers, and their fingerprints."""

    numbers: tuple[str, ...]
    fingerprints: tuple[str, ...]


def plan(args: Args, context: Context) -> Plan:
    """Look whether rpm has the key."""
    need("rpm", context)
    with _file(args) as file:
        if file is None:
            matched = _NUMBER.fullmatch(args.key)
            if matched is None:
                raise ModuleError(f"Not a valid key {args.key}")
            keys = Keys((matched[1].upper(),), ())
        else:
            keys = _read_file(file, context)
    number = keys.numbers[0]
    if _has(number, context) == (args.state == "present"):
        return Unchanged()
    if args.state == "absent":
        name = f"gpg-pubkey-{number[-_SHORT:].lower()}"
        return Change(apply=partial(_rpm, ("--erase", "--allmatches", name), context))
    if file is None:
        raise ModuleError("When importing a key, a valid file must be given")
    _check_fingerprints(args, keys)
    return Change(apply=partial(_import, args, context))


def parse_keys(output: str) -> Keys:
    """Return the keys in gpg's output with colons; subkeys are not counted."""
    numbers: list[str] = []
    fingerprints: list[str] = []
    kind = ""
    for line in output.split("\n"):
        fields = line.split(":")
        if fields[0] in ("pub", "sub"):
            kind = fields[0]
        if fields[0] == "pub" and len(fields) > 4:
            numbers.append(fields[4])
        elif fields[0] == "fpr" and kind == "pub" and len(fields) > 9:
            fingerprints.append(fields[9])
    return Keys(tuple(numbers), tuple(fingerprints))


@contextlib.contextmanager
def _file(args: Args) -> Iterator[str | None]:
    """Give the path of the key's file, None when the task names the key by its number."""
    if "://" not in args.key:
        yield args.key if Path(args.key).is_file() else None
        return
    with fetch(Request(url=args.key, check_certificate=args.validate_certs)) as answer:
        if answer.status != 200:
            raise ModuleError(f"failed to fetch key at {args.key} , error was: {answer.msg}")
        content = answer.read()
    if b"-----BEGIN PGP PUBLIC KEY BLOCK-----" not in content:
        raise ModuleError(f"Not a public key: {args.key}")
    with tempfile.NamedTemporaryFile() as stream:
        stream.write(content)
        stream.flush()
        yield stream.name


def _gpg(words: Iterable[str], context: Context, stdin: str | None = None) -> Answer:
    program = locate("gpg", context) or need("gpg2", context)
    command = [program, "--no-tty", "--batch", "--with-colons", "--fixed-list-mode", "--with-fingerprint", *words]
    return call(command, context, stdin=stdin, also=_ENVIRONMENT)


def _read_file(file: str, context: Context) -> Keys:
    done = _gpg([file], context)
    if done.rc:
        raise ModuleError(done.stderr)
    keys = parse_keys(done.stdout)
    if not keys.numbers:
        raise ModuleError("Unexpected gpg output")
    return keys


def _has(number: str, context: Context) -> bool:
    words = [need("rpm", context), "-q", "gpg-pubkey", "--qf", "%{description}"]
    done = call(words, context, also=_ENVIRONMENT)
    if done.rc:
        # rpm's way to say that there is none.
        return False
    listed = parse_keys(_gpg(["-"], context, stdin=done.stdout).stdout).numbers
    return any(number == (each[-_SHORT:] if len(number) == _SHORT else each) for each in listed)


def _check_fingerprints(args: Args, keys: Keys) -> None:
    wanted = {text.replace(" ", "").upper() for text in args.fingerprint or ()}
    if not wanted <= set(keys.fingerprints):
        raise ModuleError(
            f"The specified fingerprint, '{_set(wanted)}', does not match any key fingerprints in"
            f" '{_set(keys.fingerprints)}'"
        )


def _set(words: Iterable[str]) -> str:
    return "{" + ", ".join(repr(word) for word in sorted(words)) + "}"


def _import(args: Args, context: Context) -> None:
    with _file(args) as file:
        _rpm(("--import", str(file)), context)


def _rpm(words: tuple[str, ...], context: Context) -> None:
    done = call([need("rpm", context), *words], context, also=_ENVIRONMENT, live=True)
    if done.rc:
        raise ModuleError(done.stderr, rc=done.rc, stdout=done.stdout, stderr=done.stderr)


MODULE = Module(name="rpm_key", args=Args, plan=plan, exclusive=True)
