"""inventory: `pybible-ctl inventory --list|--graph|--host NAME`."""

from __future__ import annotations

from pathlib import Path

import click

from pybible.server.cli.options import Asked
from pybible.wire.errors import UsageError


@click.command("inventory", context_settings={"max_content_width": 100})
@click.argument("group", required=False, default="all", metavar="[GROUP]")
@click.option("--list", "list_", is_flag=True, help="Print all, as an inventory script does.")
@click.option("--graph", is_flag=True, help="Print groups and hosts as a tree, from GROUP on.")
@click.option("--host", "host", default="", metavar="NAME", help="Print the variables of one host.")
@click.option(
    *("-i", "--inventory", "--inventory-file", "inventory"),
    multiple=True,
    help="Inventory file, folder, script, or list of hosts with commas. Without any, the agents are the inventory.",
)
@click.option("-l", "--limit", "limit", default=None, help="Only hosts that match this pattern (--list).")
@click.option("-y", "--yaml", "as_yaml", is_flag=True, help="YAML instead of JSON.")
@click.option("--toml", "as_toml", is_flag=True, help="TOML instead of JSON: not supported.", hidden=True)
@click.option("--vars", "variables", is_flag=True, help="Show variables in the tree too.")
@click.option("--export", is_flag=True, help="Show each variable where it is defined only.")
@click.option("--output", default="", metavar="FILE", help="Write into a file instead.")
@click.option("--playbook-dir", default="", metavar="FOLDER", help="Use the group_vars and host_vars there too.")
@click.option("-e", "--extra-vars", "extra_vars", multiple=True, help="key=value, YAML, JSON, or @FILE.")
@click.option("--flush-cache", is_flag=True, help="Forget the facts of all hosts that were kept from earlier runs.")
@click.option("-v", "--verbose", "verbose", count=True, help="Show more.")
@click.option("--vault-id", "vault_ids", multiple=True, help="A vault password: LABEL@FILE or LABEL@prompt.")
@click.option(
    "--vault-password-file", "--vault-pass-file", "vault_files", multiple=True, help="A vault password's file."
)
@click.option("-J", "--ask-vault-password", "--ask-vault-pass", "ask_vault", is_flag=True, help="Ask for one.")
@click.option("--controller", default="", metavar="ADDRESS", help="unix:PATH or HOST:PORT, when it is the inventory.")
def command(group: str, list_: bool, graph: bool, host: str, **given: object) -> int:
    """Show the hosts and groups of an inventory, and their variables."""
    chosen = sum((list_, graph, bool(host)))
    if not chosen:
        raise UsageError("No action selected, at least one of --host, --graph or --list needs to be specified.")
    if chosen > 1:
        raise UsageError(
            "Conflicting options used, only one of --host, --graph or --list can be used at the same time."
        )
    if given.pop("as_toml"):
        raise UsageError("--toml is not supported: inventories are read from TOML, but not written.")
    from pybible.server.cli.showing import Shown, run

    shown = Shown(
        asked=Asked(**{name: given.pop(name) for name in Asked.__slots__ if name in given}),  # type: ignore[arg-type]
        group=group,
        graph=graph,
        host=host,
        as_yaml=bool(given["as_yaml"]),
        variables=bool(given["variables"]),
        export=bool(given["export"]),
        output=Path(str(given["output"])) if given["output"] else None,
        playbook_dir=Path(str(given["playbook_dir"])) if given["playbook_dir"] else None,
        flush_cache=bool(given["flush_cache"]),
    )
    return run(shown)
