"""vault: `pybible-ctl vault create|edit|view|encrypt|decrypt|rekey|encrypt-string`, with ansible-vault's options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., object])

_SECRETS = (
    click.option("--vault-id", "vault_ids", multiple=True, help="A vault password: LABEL@FILE or LABEL@prompt."),
    click.option(
        "--vault-password-file", "--vault-pass-file", "vault_files", multiple=True, help="A vault password's file."
    ),
    click.option("-J", "--ask-vault-password", "--ask-vault-pass", "ask_vault", is_flag=True, help="Ask for one."),
    click.option("-v", "--verbose", count=True, hidden=True, expose_value=False),
)
_encrypt_id = click.option(
    "--encrypt-vault-id", default="", metavar="ID", help="The id to encrypt with, where there are several."
)
_output = click.option("--output", default="", metavar="FILE", help="Where the text goes; `-` is standard output.")
_files = click.argument("files", nargs=-1, metavar="[FILE]...")


@dataclass(frozen=True, slots=True)
class PasswordsAsked:
    """What the operator said of passwords."""

    ids: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    ask: bool = False


class _Group(click.Group):
    """Knows `encrypt_string` too, as ansible-vault spells it."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by either spelling."""
        return super().get_command(ctx, cmd_name.replace("_", "-"))


@click.group("vault", cls=_Group)
def command() -> None:
    """Encrypt and decrypt files and values as ansible-vault does."""


def _secrets(function: Function) -> Function:
    for option in reversed(_SECRETS):
        function = option(function)
    return function


@command.command("create")
@_files
@_secrets
@_encrypt_id
@click.option("--skip-tty-check", is_flag=True, help="Start the editor even without a terminal.")
def _create(files: tuple[str, ...], encrypt_vault_id: str, skip_tty_check: bool, **given: object) -> None:
    """Write a new encrypted file in an editor ($EDITOR)."""
    from pybible.server.cli.vault_commands import create

    create(files, _asked(given), encrypt_id=encrypt_vault_id, without_terminal=skip_tty_check)


@command.command("edit")
@_files
@_secrets
@_encrypt_id
def _edit(files: tuple[str, ...], encrypt_vault_id: str, **given: object) -> None:
    """Change encrypted files in an editor ($EDITOR)."""
    from pybible.server.cli.vault_commands import edit

    edit(files, _asked(given), encrypt_id=encrypt_vault_id)


@command.command("view")
@_files
@_secrets
def _view(files: tuple[str, ...], **given: object) -> None:
    """Show what encrypted files hold."""
    from pybible.server.cli.vault_commands import view

    view(files, _asked(given))


@command.command("encrypt")
@_files
@_secrets
@_output
@_encrypt_id
def _encrypt(files: tuple[str, ...], output: str, encrypt_vault_id: str, **given: object) -> None:
    """Encrypt files in place, or standard input."""
    from pybible.server.cli.vault_commands import encrypt

    encrypt(files, _asked(given), output=output, encrypt_id=encrypt_vault_id)


@command.command("decrypt")
@_files
@_secrets
@_output
def _decrypt(files: tuple[str, ...], output: str, **given: object) -> None:
    """Decrypt files in place, or standard input."""
    from pybible.server.cli.vault_commands import decrypt

    decrypt(files, _asked(given), output=output)


@command.command("rekey")
@_files
@_secrets
@_encrypt_id
@click.option("--new-vault-password-file", default="", metavar="FILE", help="The new password's file.")
@click.option("--new-vault-id", default="", metavar="LABEL@SOURCE", help="The new password and its id.")
def _rekey(
    files: tuple[str, ...], encrypt_vault_id: str, new_vault_password_file: str, new_vault_id: str, **given: object
) -> None:
    """Give encrypted files another password."""
    from pybible.server.cli.vault_commands import rekey

    rekey(files, _asked(given), encrypt_id=encrypt_vault_id, new_id=new_vault_id, new_file=new_vault_password_file)


@command.command("encrypt-string")
@click.argument("strings", nargs=-1, metavar="[STRING]...")
@_secrets
@_output
@_encrypt_id
@click.option("-p", "--prompt", is_flag=True, help="Ask for the string.")
@click.option("--show-input", is_flag=True, help="Show what is typed.")
@click.option("-n", "--name", "names", multiple=True, help="The variable's name, once for each string.")
@click.option("--stdin-name", default="", metavar="NAME", help="The name of what standard input holds.")
def _encrypt_string(strings: tuple[str, ...], output: str, encrypt_vault_id: str, **given: object) -> None:
    """Encrypt values to put into a YAML file."""
    from pybible.server.cli.vault_strings import StringsAsked, encrypt_strings

    wanted = StringsAsked(
        strings=strings,
        names=_texts(given.pop("names")),
        stdin_name=str(given.pop("stdin_name")),
        prompt=bool(given.pop("prompt")),
        show_input=bool(given.pop("show_input")),
    )
    encrypt_strings(wanted, _asked(given), output=output, encrypt_id=encrypt_vault_id)


def _asked(given: dict[str, object]) -> PasswordsAsked:
    return PasswordsAsked(_texts(given["vault_ids"]), _texts(given["vault_files"]), bool(given["ask_vault"]))


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, tuple) else ()
