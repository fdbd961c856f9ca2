"""pki: `pybible-ctl pki`: the controller's authority, and the change of what signs for it."""

from __future__ import annotations

from pathlib import Path

import click

from pybible.server.cli.calls import CALL_SECONDS, connected, controller_option, json_option
from pybible.server.cli.listing import ago, moment, print_fields, print_json, print_table
from pybible.v1 import fleet_pb2, fleet_pb2_grpc
from pybible.wire.errors import UsageError


@click.group("pki")
def command() -> None:
    """Show the controller's authority; rotate and retire what signs certificates."""


@command.command("status")
@controller_option
@json_option
@click.pass_context
def status(ctx: click.Context, controller: str, as_json: bool) -> None:
    """Show the pin by which hosts know the controller, and what signs certificates until when."""
    with connected(ctx, controller) as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        places = stub.GetController(fleet_pb2.GetControllerRequest(), timeout=CALL_SECONDS)
        found = stub.DescribeAuthority(fleet_pb2.DescribeAuthorityRequest(), timeout=CALL_SECONDS)
    for warning in found.warnings:
        click.echo(f"[WARNING]: {warning}", err=True)
    if as_json:
        print_json(_values(places, found))
        return
    print_fields(
        {
            "pin": found.pin,
            "enrolment": places.enrollment_address,
            "agents": places.agent_address,
            "operators": places.operator_address or "the socket only",
            "root": f"expires {ago(found.root_expires)}, its key is {'here' if found.has_root_key else 'elsewhere'}",
            "ports": f"expires {ago(found.server_expires)}, replaced {ago(found.server_renewal)}",
        }
    )
    click.echo()
    print_table(
        ("ISSUING", "ISSUED", "EXPIRES", "REPLACED", "AGENTS", "OPERATORS"),
        [
            (
                *(each.serial, ago(each.issued), ago(each.expires)),
                *(ago(found.issuing_renewal) if each.signs else "already", each.agents, each.operators),
            )
            for each in found.issuing
        ],
    )


@command.command("rotate")
@click.option(
    "--root-key",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The root's key, where it is not on the controller. It is used here and sent nowhere.",
)
@controller_option
@click.pass_context
def rotate(ctx: click.Context, root_key: Path | None, controller: str) -> None:
    """Make another issuing authority. Both are trusted, and the agents renew their certificates, whatever they run."""
    with connected(ctx, controller) as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        certificate = b"" if root_key is None else _signed(stub, root_key)
        answer = stub.RotateAuthority(fleet_pb2.RotateAuthorityRequest(certificate=certificate), timeout=CALL_SECONDS)
    click.echo(f"issuing authority {answer.serial} signs from now on, and expires {ago(answer.expires)}")
    click.echo(f"{answer.agents} agents renew their certificates; see pybible-ctl pki status")


@command.command("retire")
@click.argument("serial", default="")
@click.option("--force", is_flag=True, help="Shut out whoever has no certificate of another one.")
@controller_option
@click.pass_context
def retire(ctx: click.Context, serial: str, force: bool, controller: str) -> None:
    """Refuse what a replaced issuing authority signed: SERIAL, or all that were replaced."""
    with connected(ctx, controller) as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        request = fleet_pb2.RetireAuthorityRequest(serial=serial, force=force)
        answer = stub.RetireAuthority(request, timeout=CALL_SECONDS)
    for each in answer.serials:
        click.echo(f"issuing authority {each} retired")
    if answer.shut_out:
        click.echo(f"{answer.shut_out} holders were shut out")


def _signed(stub: fleet_pb2_grpc.FleetServiceStub, root_key: Path) -> bytes:
    """Return what the root's key makes of the controller's request, PEM."""
    # cryptography is large, and no other command needs it.
    from pybible.server.controller.pki.authority import sign_issuing
    from pybible.server.controller.pki.signing import CertificateRequestRefused

    if not root_key.exists():
        raise UsageError(f"there is no file {root_key}")
    root = stub.DescribeAuthority(fleet_pb2.DescribeAuthorityRequest(), timeout=CALL_SECONDS).root
    asked = stub.RequestIssuing(fleet_pb2.RequestIssuingRequest(), timeout=CALL_SECONDS)
    try:
        return sign_issuing(asked.csr, key_file=root_key, root_pem=root, lifetime=asked.lifetime.ToTimedelta())
    except CertificateRequestRefused as error:
        raise UsageError(f"the controller's request can't be signed: {error}") from error


def _values(places: fleet_pb2.GetControllerResponse, found: fleet_pb2.DescribeAuthorityResponse) -> dict[str, object]:
    return {
        "pin": found.pin,
        "enrolment": places.enrollment_address,
        "agents": places.agent_address,
        "operators": places.operator_address,
        "root": {"expires": moment(found.root_expires), "key_is_here": found.has_root_key},
        "ports": {"expires": moment(found.server_expires), "replaced": moment(found.server_renewal)},
        "issuing": [
            {
                "serial": each.serial,
                "issued": moment(each.issued),
                "expires": moment(each.expires),
                "signs": each.signs,
                "replaced": moment(found.issuing_renewal) if each.signs else None,
                "agents": each.agents,
                "operators": each.operators,
            }
            for each in found.issuing
        ],
        "warnings": list(found.warnings),
    }
