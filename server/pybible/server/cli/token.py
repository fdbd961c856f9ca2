"""token: `pybible-ctl token`: join tokens, with which hosts and operators get their first certificate."""

from __future__ import annotations

import re
from datetime import timedelta

import click

from pybible.server.cli.calls import CALL_SECONDS, connected, controller_option, json_option
from pybible.server.cli.listing import ago, labels_text, moment, print_json, print_table
from pybible.v1 import fleet_pb2, fleet_pb2_grpc
from pybible.wire.errors import UsageError
from pybible.wire.identity import OperatorRole

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@click.group("token")
def command() -> None:
    """Create, list and revoke join tokens."""


@command.command("create")
@click.option("--ttl", default="", metavar="TIME", help="How long it is good for: 90s, 30m, 12h, 7d.")
@click.option("--uses", default=1, type=click.IntRange(1), help="How many enrolments it is good for.")
@click.option("--name", "name_pattern", default="", help="The only name, or glob of names, that it may bind.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Put on each agent that enrols with it.")
@click.option(
    *("--role",),
    default="agent",
    type=click.Choice(["agent", *(role.value for role in OperatorRole)]),
    help="Whom it is for: an agent, or an operator who may do so much.",
)
@controller_option
@json_option
@click.pass_context
def create(
    ctx: click.Context,
    ttl: str,
    uses: int,
    name_pattern: str,
    labels: tuple[str, ...],
    role: str,
    controller: str,
    as_json: bool,
) -> None:
    """Make a join token and print it. It can't be shown again."""
    request = fleet_pb2.CreateTokenRequest(uses=uses, name_pattern=name_pattern, labels=read_labels(labels), role=role)
    if ttl:
        request.ttl.FromTimedelta(timedelta(seconds=_seconds(ttl)))
    with connected(ctx, controller) as channel:
        answer = fleet_pb2_grpc.FleetServiceStub(channel).CreateToken(request, timeout=CALL_SECONDS)
    if as_json:
        print_json({"token": answer.token, **_fields(answer.description)})
    else:
        click.echo(answer.token)


@command.command("list")
@controller_option
@json_option
@click.pass_context
def list_(ctx: click.Context, controller: str, as_json: bool) -> None:
    """List the tokens, without their secrets."""
    with connected(ctx, controller) as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        tokens = stub.ListTokens(fleet_pb2.ListTokensRequest(), timeout=CALL_SECONDS).tokens
    if as_json:
        print_json([_fields(token) for token in tokens])
        return
    print_table(
        ("ID", "ROLE", "EXPIRES", "USES LEFT", "NAME", "LABELS"),
        [
            (
                token.token_id,
                token.role or "agent",
                "revoked" if token.revoked else ago(token.expires),
                token.uses_left,
                token.name_pattern or "any",
                labels_text(dict(token.labels)),
            )
            for token in tokens
        ],
    )


@command.command("revoke")
@click.argument("token_id")
@controller_option
@click.pass_context
def revoke(ctx: click.Context, token_id: str, controller: str) -> None:
    """Make a token worthless, by its id."""
    with connected(ctx, controller) as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        stub.RevokeToken(fleet_pb2.RevokeTokenRequest(token_id=token_id), timeout=CALL_SECONDS)
    click.echo(f"{token_id} revoked")


def _seconds(text: str) -> int:
    match = re.fullmatch(r"(\d+)([smhd]?)", text.strip())
    if match is None or not int(match[1]):
        raise UsageError(f"{text!r} is not a time", hint="Write 90s, 30m, 12h or 7d.")
    return int(match[1]) * _UNITS[match[2]]


def read_labels(texts: tuple[str, ...]) -> dict[str, str]:
    """Take labels apart. UsageError for what is no NAME=VALUE."""
    labels = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError(f"{text!r} is not a label", hint="Write NAME=VALUE.")
        labels[name] = value
    return labels


def _fields(token: fleet_pb2.Token) -> dict[str, object]:
    return {
        "token_id": token.token_id,
        "role": token.role or "agent",
        "created": moment(token.created),
        "expires": moment(token.expires),
        "uses_left": token.uses_left,
        "name_pattern": token.name_pattern,
        "labels": dict(token.labels),
        "revoked": token.revoked,
    }
