"""login: `pybible-ctl login`: an operator's identity for a controller on another machine."""

from __future__ import annotations

import getpass
import sys

import click

from pybible.server.cli.settings import load_settings
from pybible.server.client.identity import OperatorIdentity, store_identity
from pybible.wire.errors import UsageError
from pybible.wire.identity import Role


@click.command("login")
@click.option("--token", required=True, help="What `token create --role ROLE` printed; - reads standard input.")
@click.option("--controller", default="", metavar="HOST:PORT", help="The enrolment port, if not the token's.")
@click.option("--name", default="", help="How you are called in listings. [your login name]")
def command(token: str, controller: str, name: str) -> None:
    """Get a certificate from a controller; the key is made here and stays here."""
    from pybible.wire.enrolment import enrol

    if token == "-":  # noqa: S105  not a secret
        token = sys.stdin.readline()
    if not token.strip():
        raise UsageError("the token is empty")
    settings = load_settings()
    enrolled = enrol(token, role=Role.OPERATOR, controller=controller, name=name or getpass.getuser())
    identity = OperatorIdentity(key=enrolled.key, certificate=enrolled.certificate, authority=enrolled.authority)
    store_identity(settings.identity_folder, identity)
    click.echo(f"operator {enrolled.id}: identity stored in {settings.identity_folder}")
    config = settings.config_folder / "config.toml"
    if config.exists():
        click.echo(f"name the controller by PYBIBLE_CONTROLLER={enrolled.controller}, or in {config}")
    else:
        config.write_text(f'controller = "{enrolled.controller}"\n', encoding="utf-8")
        click.echo(f"the controller is {enrolled.controller} from now on, as {config} says")
