"""doc: `pybible-ctl doc MODULE...` and `doc --list`."""

from __future__ import annotations

import click

from pybible.server.cli.calls import json_option
from pybible.wire.errors import UsageError


@click.command("doc", context_settings={"max_content_width": 100})
@click.argument("modules", nargs=-1, metavar="[MODULE]...")
@click.option("-l", "--list", "list_", is_flag=True, help="List the native modules.")
@json_option
@click.option("-M", "--module-path", "module_path", multiple=True, help="Folders with modules of your own.")
def command(modules: tuple[str, ...], list_: bool, as_json: bool, module_path: tuple[str, ...]) -> int:
    """Show the arguments of native modules; of any other say where it was found."""
    if list_ == bool(modules):
        raise UsageError("Name modules, or give --list.")
    from pybible.server.cli.documenting import show

    return show(modules, as_json=as_json, module_path=module_path)
