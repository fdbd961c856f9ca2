"""version: `pybible-ctl version`."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version

import click

_PACKAGES = ("grpcio", "protobuf", "jinja2", "pyyaml", "cryptography")


def _versions() -> dict[str, str]:
    found = {"pybible": version("pybible"), "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def version_text() -> str:
    """Return what is printed: pybible's version, then what it stands on."""
    found = _versions()
    first = f"pybible-ctl [pybible {found.pop('pybible')}]"
    return "\n".join([first, *(f"  {name} version = {value}" for name, value in found.items())])


@click.command("version")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """Print the versions of pybible and what it stands on."""
    click.echo(json.dumps(_versions(), indent=2) if as_json else version_text())
