"""operators: `pybible-ctl operators`: who has a certificate of an operator."""

from __future__ import annotations

import click

from pybible.server.cli.calls import CALL_SECONDS, connected, controller_option, json_option
from pybible.server.cli.listing import ago, moment, print_json, print_table
from pybible.v1 import fleet_pb2, fleet_pb2_grpc


@click.group("operators", invoke_without_command=True)
@controller_option
@json_option
@click.pass_context
def command(ctx: click.Context, controller: str, as_json: bool) -> None:
    """List the operators who have a certificate; revoke one's."""
    ctx.obj = {"controller": controller}
    if ctx.invoked_subcommand is not None:
        return
    with connected(ctx, controller) as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        found = stub.ListOperators(fleet_pb2.ListOperatorsRequest(), timeout=CALL_SECONDS).operators
    if as_json:
        print_json(
            [
                {
                    "name": each.name,
                    "role": each.role,
                    "serial": each.serial,
                    "issued": moment(each.issued),
                    "expires": moment(each.expires),
                }
                for each in found
            ]
        )
        return
    rows = [(each.name, each.role, ago(each.issued), ago(each.expires), each.serial) for each in found]
    print_table(("NAME", "ROLE", "ISSUED", "EXPIRES", "SERIAL"), rows)


@command.command("revoke")
@click.argument("name")
@controller_option
@click.pass_context
def revoke(ctx: click.Context, name: str, controller: str) -> None:
    """Make all certificates of an operator worthless, and end his runs."""
    with connected(ctx, controller or ctx.obj["controller"]) as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        answer = stub.RevokeOperator(fleet_pb2.RevokeOperatorRequest(operator=name), timeout=CALL_SECONDS)
    click.echo(f"{name} revoked ({answer.certificates} certificates)")
