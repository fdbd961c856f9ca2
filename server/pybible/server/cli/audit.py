"""audit: `pybible-ctl audit`: who did what, and whether the log of it is whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import click
import grpc

from pybible.server.cli.calls import CALL_SECONDS, connected, controller_option, json_option
from pybible.server.cli.listing import clock, print_json, print_table
from pybible.server.results.audit import Actor, AuditEntry, AuditRecord, first_flaw
from pybible.v1 import fleet_pb2, fleet_pb2_grpc
from pybible.wire.errors import ProtocolError, PybibleError, UsageError
from pybible.wire.values import JsonObject, loads_object

_LISTED = 50
_AT_ONCE = 200


@click.group("audit", invoke_without_command=True)
@click.option("--last", default=_LISTED, type=click.IntRange(1), help="How many records, the newest.")
@controller_option
@json_option
@click.pass_context
def command(ctx: click.Context, last: int, controller: str, as_json: bool) -> None:
    """List the newest records of the audit log; verify or export it."""
    ctx.obj = {"controller": controller}
    if ctx.invoked_subcommand is not None:
        return
    with connected(ctx, controller) as channel:
        found = list(_records(channel))[-last:]
    if as_json:
        print_json(found)
        return
    with _readable():
        rows = [_row(each) for each in found]
    print_table(("SEQ", "TIME", "WHO", "FROM", "WHAT", "TO", "RUN", "RESULT"), rows)


@command.command("export")
@controller_option
@click.pass_context
def export(ctx: click.Context, controller: str) -> None:
    """Print every record, a JSON object a line, the oldest first."""
    with connected(ctx, controller or ctx.obj["controller"]) as channel:
        for record in _records(channel):
            click.echo(json.dumps(record, sort_keys=True))


@command.command("verify")
@click.option("--file", "file", type=click.File("r"), help="What `export` printed, instead of the controller's log.")
@click.option("--digest", default="", help="That of a record of earlier days: it must still be there.")
@controller_option
@click.pass_context
def verify(ctx: click.Context, file: TextIO | None, digest: str, controller: str) -> None:
    """Look for changed, removed and reordered records. Prints the last digest: keep it elsewhere for the next time."""
    if file is not None:
        try:
            found = [loads_object(line) for line in file if line.strip()]
        except ValueError as error:
            raise UsageError(f"that is no audit log: {error}") from error
    else:
        with connected(ctx, controller or ctx.obj["controller"]) as channel:
            found = list(_records(channel))
    try:
        records = [_record(each) for each in found]
        flaw = first_flaw(records)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"that is no audit log: {error!r}") from error
    if not flaw and digest and all(record.digest != digest for record in records):
        flaw = f"no record has the digest {digest}: the log was cut, or written anew"
    if flaw:
        raise PybibleError(f"the audit log is not whole: {flaw}")
    click.echo(f"{len(records)} records, whole; the last digest is {records[-1].digest if records else 'none'}")


def _records(channel: grpc.Channel) -> Iterator[JsonObject]:
    stub = fleet_pb2_grpc.FleetServiceStub(channel)
    after = 0
    while True:
        request = fleet_pb2.ListAuditRequest(after=after, limit=_AT_ONCE)
        answer = stub.ListAudit(request, timeout=CALL_SECONDS)
        with _readable():
            found = [loads_object(record) for record in answer.records]
            numbers = [int(record["seq"]) for record in found]
        yield from found
        if len(found) < _AT_ONCE:
            return
        if numbers[-1] <= after:
            raise ProtocolError("the controller's audit log does not come to an end")
        after = numbers[-1]


@contextmanager
def _readable() -> Iterator[None]:
    """Make a ProtocolError of what a controller's records can't be."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ProtocolError(f"the controller's audit log can't be read: {error!r}") from error


def _record(found: JsonObject) -> AuditRecord:
    entry = found["entry"]
    actor = Actor(**entry["actor"])
    return AuditRecord(seq=found["seq"], digest=found["digest"], entry=AuditEntry(**{**entry, "actor": actor}))


def _row(found: JsonObject) -> tuple[object, ...]:
    entry = found["entry"]
    hosts = [host for host, _attempt in entry["details"].get("attempts", ())]
    target = (
        f"{entry['target']} on {', '.join(hosts[:3])}{', ...' if len(hosts) > 3 else ''}" if hosts else entry["target"]
    )
    return (
        found["seq"],
        clock(entry["moment"]),
        entry["actor"]["identity"].removeprefix("pybible://"),
        entry["actor"]["address"],
        entry["action"],
        target,
        entry["run_id"][:8],
        "ok" if entry["allowed"] else entry["reason"],
    )
