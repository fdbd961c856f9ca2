"""signing_key: `pybible-ctl signing-key`: the key with which an operator signs tasks, for hosts that ask for it."""

from __future__ import annotations

from pathlib import Path

import click

from pybible.server.cli.settings import default_signing_key, load_settings
from pybible.wire.errors import ConfigError


@click.group("signing-key")
def command() -> None:
    """Make or show the key with which tasks are signed."""


@command.command("create")
@click.option("--file", "path", type=click.Path(path_type=Path), help="Where to put it, instead of the usual place.")
def create(path: Path | None) -> None:
    """Make a key and print its public half, for the hosts' policies. It is used from then on."""
    from pybible.wire.signing import SigningKey

    key = SigningKey.create(path or default_signing_key(load_settings().config_folder))
    click.echo(key.public)


@command.command("show")
def show() -> None:
    """Print the public half of the key that is in use."""
    from pybible.wire.signing import SigningKey

    path = load_settings().signing_key
    if path is None:
        raise ConfigError("no signing key is set", hint="Make one: pybible-ctl signing-key create")
    click.echo(SigningKey.load(path).public)
