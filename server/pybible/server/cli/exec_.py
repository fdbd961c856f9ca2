"""exec: `pybible-ctl exec PATTERN -m MODULE -a ARGS`."""

from __future__ import annotations

import click

from pybible.server.cli.options import asked_from, engine_options


@click.command("exec", context_settings={"max_content_width": 100})
@click.argument("pattern")
@click.option("-m", "--module-name", "module", default="command", help="The module. [command]")
@click.option("-a", "--args", "args", default="", help="Its arguments: key=value, JSON, or a command line.")
@click.option("--list-hosts", is_flag=True, help="Only list the hosts.")
@engine_options
def command(pattern: str, module: str, args: str, list_hosts: bool, **given: object) -> int:
    """Run one module on the hosts that match PATTERN."""
    from pybible.server.cli.adhoc import AdHoc, run

    return run(AdHoc(asked=asked_from(given), pattern=pattern, module=module, args=args, list_hosts=list_hosts))
