"""enrollments: `pybible-ctl enrollments`: hosts that ask to be enrolled without a token."""

from __future__ import annotations

import click

from pybible.server.cli.calls import CALL_SECONDS, connected, controller_option, json_option
from pybible.server.cli.listing import ago, moment, print_json, print_table
from pybible.server.cli.token import read_labels
from pybible.v1 import fleet_pb2, fleet_pb2_grpc
from pybible.wire.errors import UsageError

_SHOWN_DIGITS = 16


@click.group("enrollments", invoke_without_command=True)
@controller_option
@json_option
@click.pass_context
def command(ctx: click.Context, controller: str, as_json: bool) -> None:
    """List the hosts that wait to be enrolled; approve or deny them."""
    ctx.obj = {"controller": controller}
    if ctx.invoked_subcommand is not None:
        return
    with connected(ctx, controller) as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        found = stub.ListEnrollments(fleet_pb2.ListEnrollmentsRequest(), timeout=CALL_SECONDS).enrollments
    if as_json:
        print_json([_fields(each) for each in found])
        return
    print_table(
        ("FINGERPRINT", "NAME", "ADDRESS", "SINCE", "STATE", "SYSTEM"),
        [
            (each.fingerprint[:_SHOWN_DIGITS], each.name, each.address, ago(each.since), each.state, each.facts["os"])
            for each in found
        ],
    )


@command.command("approve")
@click.argument("hosts", nargs=-1)
@click.option("--all-matching", default="", metavar="PATTERN", help="All that wait with a name that matches.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Put on each agent that is let in.")
@controller_option
@click.pass_context
def approve(
    ctx: click.Context, hosts: tuple[str, ...], all_matching: str, labels: tuple[str, ...], controller: str
) -> None:
    """Let HOSTS in: names, or beginnings of fingerprints."""
    request = fleet_pb2.DecideEnrollmentsRequest(
        hosts=hosts, all_matching=all_matching, approve=True, labels=read_labels(labels)
    )
    _decide(ctx, request, controller)


@command.command("deny")
@click.argument("hosts", nargs=-1)
@click.option("--all-matching", default="", metavar="PATTERN", help="All that wait with a name that matches.")
@click.option("--reason", default="", help="What the hosts are told.")
@controller_option
@click.pass_context
def deny(ctx: click.Context, hosts: tuple[str, ...], all_matching: str, reason: str, controller: str) -> None:
    """Turn HOSTS away: names, or beginnings of fingerprints."""
    request = fleet_pb2.DecideEnrollmentsRequest(hosts=hosts, all_matching=all_matching, reason=reason)
    _decide(ctx, request, controller)


def _decide(ctx: click.Context, request: fleet_pb2.DecideEnrollmentsRequest, controller: str) -> None:
    if not request.hosts and not request.all_matching:
        raise UsageError("name the hosts, or give --all-matching PATTERN")
    with connected(ctx, controller or ctx.obj["controller"]) as channel:
        answer = fleet_pb2_grpc.FleetServiceStub(channel).DecideEnrollments(request, timeout=CALL_SECONDS)
    for each in answer.enrollments:
        click.echo(f"{each.name} {each.state} ({each.fingerprint[:_SHOWN_DIGITS]})")
    if not answer.enrollments:
        click.echo("no host that waits has a name that matches")


def _fields(each: fleet_pb2.Enrollment) -> dict[str, object]:
    return {
        "fingerprint": each.fingerprint,
        "name": each.name,
        "hostname": each.hostname,
        "address": each.address,
        "since": moment(each.since),
        "state": each.state,
        "version": each.version,
        "facts": dict(each.facts),
    }
