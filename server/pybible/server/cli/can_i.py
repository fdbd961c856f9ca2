"""can_i: `pybible-ctl can-i`: whether the operator may have a task run, as the controller decides it."""

from __future__ import annotations

import click

from pybible.server.cli.calls import CALL_SECONDS, connected, controller_option, json_option
from pybible.server.cli.listing import print_json
from pybible.v1 import fleet_pb2, fleet_pb2_grpc


@click.command("can-i")
@click.argument("module")
@click.argument("host")
@click.option("--become-user", default="", help="The user to become.")
@click.option("-C", "--check", is_flag=True, help="In check mode.")
@controller_option
@json_option
@click.pass_context
def command(
    ctx: click.Context, module: str, host: str, become_user: str, check: bool, controller: str, as_json: bool
) -> None:
    """Tell whether you may have MODULE run on HOST, an agent's name. Exit status 1: you may not."""
    request = fleet_pb2.CanIRequest(agent=host, module=module, become_user=become_user, check=check)
    with connected(ctx, controller) as channel:
        answer = fleet_pb2_grpc.FleetServiceStub(channel).CanI(request, timeout=CALL_SECONDS)
    if as_json:
        print_json({"allowed": answer.allowed, "reason": answer.reason})
    else:
        click.echo("yes" if answer.allowed else f"no: {answer.reason}")
    ctx.exit(0 if answer.allowed else 1)
