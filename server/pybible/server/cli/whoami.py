"""whoami: `pybible-ctl whoami` and `can-i`: who the operator is to the controller, and what he may have run."""

from __future__ import annotations

import click

from pybible.server.cli.calls import CALL_SECONDS, connected, controller_option, json_option
from pybible.server.cli.listing import moment, print_fields, print_json
from pybible.v1 import fleet_pb2, fleet_pb2_grpc


@click.command("whoami")
@controller_option
@json_option
@click.pass_context
def command(ctx: click.Context, controller: str, as_json: bool) -> None:
    """Show who you are to the controller: name, role, and the rules that are about you."""
    with connected(ctx, controller) as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        answer = stub.WhoAmI(fleet_pb2.WhoAmIRequest(), timeout=CALL_SECONDS)
    found: dict[str, object] = {
        "operator": answer.operator,
        "role": answer.role,
        "address": answer.address,
        "serial": answer.serial,
        "expires": moment(answer.expires) if answer.HasField("expires") else "",
        "rules": list(answer.rules),
    }
    if as_json:
        print_json(found)
    else:
        print_fields({**found, "rules": ", ".join(answer.rules) or "none"})
