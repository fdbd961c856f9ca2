"""calls: one call to the controller and its answer, for the commands that need no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
import grpc

from pybible.server.cli.settings import Settings, load_settings
from pybible.server.client.connection import Endpoint, parse_endpoint
from pybible.server.client.failures import call_failure
from pybible.wire.errors import UsageError

CALL_SECONDS = 30.0

controller_option = click.option(
    "--controller", default="", metavar="ADDRESS", help="unix:PATH or HOST:PORT; default: PYBIBLE_CONTROLLER."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def endpoint(controller: str, settings: Settings | None = None) -> Endpoint:
    """Return the controller that an option, the environment or the config file names. UsageError when none does."""
    settings = settings or load_settings()
    named = controller or settings.controller
    if not named:
        raise UsageError(
            "no controller is named",
            hint="Give --controller unix:PATH or HOST:PORT, or set PYBIBLE_CONTROLLER.",
        )
    return parse_endpoint(named, identity_folder=settings.identity_folder)


@contextmanager
def connected(ctx: click.Context, controller: str) -> Iterator[grpc.Channel]:
    """Give a channel to the controller; failed calls become errors for the operator.

    A test puts `channel` into the context's object and is asked nothing else.
    """
    given: Callable[[], grpc.Channel] | None = (ctx.obj or {}).get("channel")
    if given is not None:
        with _explained("test"):
            yield given()
        return
    where = endpoint(controller)
    with where.blocking_entered() as entrance, entrance.blocking_channel() as channel, _explained(where.target):
        yield channel


@contextmanager
def _explained(target: str) -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise call_failure(error, target) from error
