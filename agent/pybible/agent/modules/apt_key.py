"""apt_key: adds and removes keys with which apt checks repositories, by apt-key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, Unchanged, arg
from pybible.agent.modules.programs import Answer, call, need
from pybible.agent.modules.web import Request, fetch
from pybible.wire.values import JsonObject

_ENVIRONMENT = {"LANG": "C.UTF-8", "LANGUAGE": "C.UTF-8", "LC_ALL": "C.UTF-8", "LC_MESSAGES": "C.UTF-8"}
_SHORT, _LONG = 8, 16
_KEYSERVER_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of apt_key."""

    id: str | None = arg(default=None, doc="the key's number: 8, or 16 and more, hexadecimal digits")
    url: str | None = arg(default=None, doc="where the key is")
    data: str | None = arg(default=None, doc="the key itself")
    file: PathText | None = arg(default=None, doc="the key's file on the host")
    keyring: PathText | None = arg(default=None, doc="file of keys; apt's own")
    keyserver: str | None = arg(default=None, doc="server to ask for the key")
    validate_certs: bool = arg(default=True, doc="check the server's certificate")
    state: Literal["absent", "present"] = arg(default="present", doc="what is wanted")


@dataclass(frozen=True, slots=True)
class KeyId:
    """A key's number as it was given, as keyrings list it, and its last digits."""

    given: str
    listed: str
    short: str


def plan(args: Args, context: Context) -> Plan:
    """Look whether the key is in the keyring."""
    programs = (need("apt-key", context), need("gpg", context))
    data = args.data
    given = args.id
    if given is None and args.state == "present":
        if args.url is not None:
            data = _download(args)
        if data is not None or args.file is not None:
            given = _id_of(data, args.file, args.url, programs[1], context)
    try:
        key = key_id(given or "")
    except ValueError as error:
        raise ModuleError("Invalid key_id", id=args.id) from error
    before = _keys(args, key, context)
    values: JsonObject = {
        "before": before, "id": given, "key_id": key.given, "fp": key.listed, "short_id": key.short,
    }  # fmt: skip
    there = key.listed in before
    if there == (args.state == "present"):
        return Unchanged(values=values)
    do = partial(_add, args, context, key, data) if args.state == "present" else partial(_remove, args, context, key)
    return Change(values=values, apply=partial(_carry_out, args, context, key, do, values))


def key_id(text: str) -> KeyId:
    """Take a key's number apart. ValueError when it is none."""
    digits = text.strip().upper().removeprefix("0X")
    if not re.fullmatch(r"[0-9A-F]+", digits) or (len(digits) != _SHORT and len(digits) < _LONG):
        raise ValueError(text)
    given = text.upper().removeprefix("0X")
    return KeyId(given, digits[-_LONG:], digits[-_SHORT:])


def parse_keys(output: str) -> list[str]:
    """Return the numbers of the keys and subkeys that gpg lists: `pub   rsa4096/NUMBER 2020-01-01 [SC]`."""
    found = (re.match(r"(?:pub|sub) +[^ /]+/(\S+)", line) for line in output.split("\n"))
    return [matched[1] for matched in found if matched]


def parse_id(output: str) -> str | None:
    """Return the number of the first key in gpg's output with colons."""
    for line in output.split("\n"):
        fields = line.split(":")
        if fields[0] == "pub" and len(fields) > 4:
            return fields[4]
    return None


def _command(args: Args, context: Context, *words: str) -> list[str]:
    keyring = ["--keyring", args.keyring] if args.keyring else []
    return [need("apt-key", context), *keyring, *words]


def _keys(args: Args, key: KeyId, context: Context) -> list[str]:
    words = _command(args, context, "adv", "--list-public-keys", "--keyid-format=long")
    done = call(words, context, also=_ENVIRONMENT)
    if done.rc:
        raise _failure("Unable to list public keys", words, done)
    length = _SHORT if len(key.listed) == _SHORT else _LONG
    return [number[-length:] for number in parse_keys(done.stdout)]


def _failure(msg: str, words: list[str], done: Answer) -> ModuleError:
    return ModuleError(msg, cmd=" ".join(words), rc=done.rc, stdout=done.stdout, stderr=done.stderr)


def _download(args: Args) -> str:
    url = str(args.url)
    with fetch(Request(url=url, check_certificate=args.validate_certs)) as answer:
        if answer.status != 200 or url.startswith("file:"):
            raise ModuleError(f"Failed to download key at {url}: {answer.msg}")
        return answer.read().decode("utf-8", "surrogateescape")


def _id_of(data: str | None, file: str | None, url: str | None, gpg: str, context: Context) -> str:
    words = [gpg, "--with-colons", "-" if file is None else file]
    done = call(words, context, stdin=data, also=_ENVIRONMENT)
    found = parse_id(done.stdout)
    if found is None:
        source = url or file or "inline data"
        raise ModuleError(f"Unable to extract key from '{source}'", stdout=done.stdout, stderr=done.stderr)
    return found


def _carry_out(args: Args, context: Context, key: KeyId, do: partial[None], values: JsonObject) -> JsonObject:
    do()
    after = _keys(args, key, context)
    if (key.listed in after) != (args.state == "present"):
        verb = "add" if args.state == "present" else "remove"
        raise ModuleError(
            f"apt-key did not return an error, but failed to {verb} the key"
            " (check that the id is correct and *not* a subkey)",
            **values, changed=True, after=after,
        )  # fmt: skip
    return {"after": after}


def _add(args: Args, context: Context, key: KeyId, data: str | None) -> None:
    if args.file is not None:
        words, data = _command(args, context, "add", args.file), None
    elif args.keyserver is not None:
        return _receive(args, context, key)
    else:
        if args.url is not None and data is None:
            data = _download(args)
        if data is None:
            raise ModuleError("No key to add ... how did i get here?!?!", id=args.id, key_id=key.given, fp=key.listed)
        words = _command(args, context, "add", "-")
    done = call(words, context, stdin=data, also=_ENVIRONMENT)
    if done.rc:
        raise _failure(f"Error fetching key from {args.file}" if args.file else "Unable to add a key", words, done)
    return None


def _receive(args: Args, context: Context, key: KeyId) -> None:
    words = _command(args, context, "adv", "--no-tty", "--keyserver", str(args.keyserver), "--recv", key.given)
    for _ in range(_KEYSERVER_TRIES):
        done = call(words, context, also=_ENVIRONMENT)
        if not done.rc:
            return
    raise _failure(f"Error fetching key {key.given} from keyserver: {args.keyserver}", words, done)


def _remove(args: Args, context: Context, key: KeyId) -> None:
    words = _command(args, context, "del", key.short)
    done = call(words, context, also=_ENVIRONMENT)
    if done.rc:
        raise _failure(f"Error removing key {key.short}", words, done)


MODULE = Module(
    name="apt_key",
    args=Args,
    plan=plan,
    mutually_exclusive=(("data", "file", "keyserver", "url"),),
    exclusive=True,
)
