"""vault_strings: `vault encrypt-string`: values as YAML to paste into a file of variables."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from pybible.server.cli.vault import PasswordsAsked
from pybible.server.cli.vault_commands import STANDARD, done, encrypting, say, write
from pybible.wire.errors import PybibleError, UsageError

_INDENT = " " * 10


@dataclass(frozen=True, slots=True, kw_only=True)
class StringsAsked:
    """What to encrypt: `-` among the strings, or nothing at all, is standard input."""

    strings: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    stdin_name: str = ""
    prompt: bool = False
    show_input: bool = False

    @property
    def reads_standard_input(self) -> bool:
        """Whether standard input is one of the strings."""
        return STANDARD in self.strings or bool(self.stdin_name) or not (self.strings or self.prompt)


@dataclass(frozen=True, slots=True)
class _Found:
    clear: bytes
    name: str
    source: str


def encrypt_strings(wanted: StringsAsked, asked: PasswordsAsked, *, output: str, encrypt_id: str) -> None:
    """Encrypt, and write `NAME: !vault |` and the indented text for each. Raises PybibleError."""
    if wanted.prompt and wanted.reads_standard_input:
        raise UsageError("The --prompt option is not supported if also reading input from stdin")
    secrets, secret = encrypting(asked, encrypt_id)
    found = list(_found(wanted))
    parts = []
    for number, each in enumerate(found, start=1):
        text = as_yaml(secrets.seal(each.clear, secret, vault_id=secret.id), each.name)
        if len(found) > 1:
            say(_comment(number, each))
        parts.append(text)
    write(output or STANDARD, "".join(f"{part}\n" for part in parts).encode())
    done("Encryption successful")


def as_yaml(text: str, name: str = "") -> str:
    """Return a vault's text as a value of YAML, after its name."""
    head = f"{name}: !vault |" if name else "!vault |"
    return "\n".join([head, *(_INDENT + line for line in text.splitlines())])


def _found(wanted: StringsAsked) -> Iterator[_Found]:
    if wanted.reads_standard_input:
        yield _Found(_from_standard_input(), wanted.stdin_name, "from stdin")
    if wanted.prompt:
        name = input("Variable name (enter for no name): ").strip()
        yield _Found(_typed(show=wanted.show_input), name, "from the interactive prompt")
    strings = [string for string in wanted.strings if string != STANDARD]
    if wanted.names and len(wanted.names) < len(strings):
        say("The number of --name options do not match the number of args.")
        say(f'The last named variable will be "{wanted.names[-1]}". The rest will not have names.')
    for string, name in zip(strings, wanted.names + ("",) * len(strings), strict=False):
        if not string:
            raise UsageError("The plaintext provided from the command line args was empty, not encrypting")
        yield _Found(string.encode("utf-8", "surrogateescape"), name, "from the command line args")


def _from_standard_input() -> bytes:
    if sys.stdin.isatty():
        say(
            "Reading plaintext input from stdin. "
            "(ctrl-d to end input, twice if your content does not already have a newline)"
        )
    clear = sys.stdin.buffer.read()
    if not clear:
        raise UsageError("stdin was empty, not encrypting")
    if sys.stdout.isatty() and not clear.endswith(b"\n"):
        say("")
    return clear


def _typed(*, show: bool) -> bytes:
    try:
        if show:
            text = input("String to encrypt: ")
        else:
            text = getpass.getpass("String to encrypt (hidden): ")
            if getpass.getpass("Confirm String to encrypt (hidden): ") != text:
                raise PybibleError("Provided plaintext values do not match")
    except EOFError:
        raise PybibleError("EOFError (ctrl-d) on prompt for the string to encrypt") from None
    if not text:
        raise UsageError("The plaintext provided from the prompt was empty, not encrypting")
    return text.encode()


def _comment(number: int, found: _Found) -> str:
    if found.name:
        return f'# The encrypted version of variable ("{found.name}", the string #{number} {found.source}).'
    return f"# The encrypted version of the string #{number} {found.source}."
