"""pki: `pybible-ctl pki`: the controller's authority."""

from __future__ import annotations

import click

from pybible.server.cli.calls import CALL_SECONDS, connected, controller_option, json_option
from pybible.server.cli.listing import print_fields, print_json
from pybible.v1 import fleet_pb2, fleet_pb2_grpc


@click.group("pki")
def command() -> None:
    """Show the controller's authority."""


@command.command("status")
@controller_option
@json_option
@click.pass_context
def status(ctx: click.Context, controller: str, as_json: bool) -> None:
    """Show where hosts enrol, and the pin by which they know the controller."""
    with connected(ctx, controller) as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        answer = stub.GetController(fleet_pb2.GetControllerRequest(), timeout=CALL_SECONDS)
    found: dict[str, object] = {
        "pin": answer.authority_pin,
        "enrolment": answer.enrollment_address,
        "agents": answer.agent_address,
    }
    if as_json:
        print_json(found)
    else:
        print_fields(found)
