"""calls: one call to the controller and its answer, for the commands that need no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
import grpc

from pybible.server.cli.settings import Settings, load_settings
from pybible.server.client.connection import Endpoint, parse_endpoint
from pybible.server.client.failures import call_failure
from pybible.wire.errors import ProtocolError, UsageError

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
        yield grpc.intercept_channel(channel, _Readable(where.target))


class _Readable(grpc.UnaryUnaryClientInterceptor):
    """Raises ProtocolError for an answer that is no message: gRPC returns None for it."""

    def __init__(self, target: str) -> None:
        self._target = target

    def intercept_unary_unary(self, continuation, client_call_details, request):  # type: ignore[no-untyped-def]
        """Look at the answer."""
        call = continuation(client_call_details, request)
        if call.exception() is None and call.result() is None:
            raise ProtocolError(f"the controller at {self._target} sends what can't be read")
        return call


@contextmanager
def _explained(target: str) -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise call_failure(error, target) from error
