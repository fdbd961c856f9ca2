"""runs: `pybible-ctl runs`: what ran, what runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from pybible.server.cli.calls import CALL_SECONDS, connected, controller_option, json_option
from pybible.server.cli.listing import ago, moment, print_fields, print_json, print_table, word
from pybible.server.results.recap import COUNTS, HostRecap, Recap
from pybible.v1 import run_pb2, run_pb2_grpc
from pybible.wire.errors import ProtocolError, PybibleError

if TYPE_CHECKING:
    from pybible.server.cli.resuming import Again

_STATE = "RUN_STATE_"
# So many letters of an id are shown in the list.
_SHORT = 8


@click.group("runs", invoke_without_command=True)
@click.option("--limit", default=20, type=click.IntRange(1, 10_000), help="How many, the newest first.")
@controller_option
@json_option
@click.pass_context
def command(ctx: click.Context, limit: int, controller: str, as_json: bool) -> None:
    """List runs, the newest first."""
    ctx.obj = {**(ctx.obj or {}), "controller": controller}
    if ctx.invoked_subcommand is not None:
        return
    with connected(ctx, controller) as channel:
        stub = run_pb2_grpc.RunServiceStub(channel)
        runs = stub.ListRuns(run_pb2.ListRunsRequest(limit=limit), timeout=CALL_SECONDS).runs
    if as_json:
        listed = [_summary(run) for run in runs]
        for each in listed:
            del each["recap"]
        print_json(listed)
        return
    short = _short_ids([run.run_id for run in runs])
    print_table(
        ("ID", "STATE", "EXIT", "STARTED", "HOSTS", "OPERATOR", "NAME"),
        [
            (
                short[run.run_id],
                _state(run),
                str(_cell(_exit_status(run))),
                ago(run.started),
                run.hosts,
                run.operator,
                run.name,
            )
            for run in runs
        ],
    )


@command.command("show")
@click.argument("run_id")
@controller_option
@json_option
@click.pass_context
def show(ctx: click.Context, run_id: str, controller: str, as_json: bool) -> None:
    """Show a run, its recap and its attempts.

    RUN_ID is the id, a beginning or an end of it that no other run has, or `latest`.
    """
    with connected(ctx, controller or ctx.obj["controller"]) as channel:
        stub = run_pb2_grpc.RunServiceStub(channel)
        answer = stub.GetRun(run_pb2.GetRunRequest(run_id=run_id), timeout=CALL_SECONDS)
    attempts = [_attempt(attempt) for attempt in answer.attempts]
    if as_json:
        print_json({**_summary(answer.run), "attempts": attempts})
        return
    found = _summary(answer.run)
    found.pop("recap")
    print_fields(found)
    _print_recap(answer.run)
    if attempts:
        click.echo()
        columns = ("host", "agent", "module", "state", "reason", "failed", "dispatched", "ended")
        print_table([name.upper() for name in columns], [[_cell(each[name]) for name in columns] for each in attempts])


@command.command("watch")
@click.argument("run_id")
@click.option("--from", "from_seq", default=0, type=click.IntRange(0), help="The first event wanted, by its number.")
@click.option("-v", "--verbose", count=True, help="As of `run`.")
@controller_option
@json_option
@click.pass_context
def watch(ctx: click.Context, run_id: str, from_seq: int, verbose: int, controller: str, as_json: bool) -> None:
    """Show a run as its operator sees it, from its beginning on, and follow it to its end.

    RUN_ID as of `show`.
    """
    from pybible.server.report.json_lines import JsonLines
    from pybible.server.report.live_lines import LiveLines
    from pybible.server.report.screen import Screen
    from pybible.server.report.terminal import standard_terminal
    from pybible.server.results.events import decode_event

    terminal = standard_terminal()
    screen = JsonLines(terminal) if as_json else Screen(terminal, verbosity=verbose)
    live = LiveLines(terminal) if not as_json else lambda event: None
    with connected(ctx, controller or ctx.obj["controller"]) as channel:
        stub = run_pb2_grpc.RunServiceStub(channel)
        for answer in stub.WatchRun(run_pb2.WatchRunRequest(run_id=run_id, from_seq=from_seq)):
            if answer.HasField("event"):
                try:
                    event = decode_event(answer.event.event)
                except ValueError as error:
                    raise ProtocolError(f"the controller sends an event that can't be read: {error}") from error
                live(event)
                screen(event)
            elif answer.HasField("finished"):
                screen.recap(_recap(answer.finished))


@command.command("cancel")
@click.argument("run_id")
@controller_option
@click.pass_context
def cancel(ctx: click.Context, run_id: str, controller: str) -> None:
    """End a run: nothing more is sent out, what runs is stopped.

    RUN_ID as of `show`. A run that is over is an error.
    """
    request = run_pb2.CancelRunRequest(run_id=run_id)
    with connected(ctx, controller or ctx.obj["controller"]) as channel:
        answer = run_pb2_grpc.RunServiceStub(channel).CancelRun(request, timeout=CALL_SECONDS)
    run = answer.run
    if answer.was_over:
        raise PybibleError(f"run {run.run_id} is over already: {_state(run)}")
    # What is out has its end before the run has.
    click.echo(f"{run.run_id} {'is being cancelled' if run.state == run_pb2.RUN_STATE_RUNNING else _state(run)}")


_again_options = (
    click.option("-e", "--extra-vars", "extra_vars", multiple=True, help="What stood on the command line, again."),
    click.option("-v", "--verbose", count=True, help="As of `run`."),
    controller_option,
)


def _takes_again(function: Callable[..., int]) -> Callable[..., int]:
    for option in reversed(_again_options):
        function = option(function)
    return function


@command.command("resume")
@click.argument("run_id")
@click.option("--failed", is_flag=True, help="Hosts that failed too, from the task on at which they did.")
@click.option("--force", is_flag=True, help="Though files have changed, or the run was resumed already.")
@_takes_again
@click.pass_context
def resume(ctx: click.Context, /, run_id: str, failed: bool, force: bool, **given: object) -> int:
    """Go on with a run that did not come to its end, with the hosts and tasks that are left.

    RUN_ID as of `show`, of a run of `pybible-ctl run` that was called on this machine; `latest` is the newest of them.
    Results of tasks that were done are taken from it. A task that was out is run again, and that is said.
    """
    from pybible.server.cli.resuming import resume as go_on

    return go_on(ctx, _again(ctx, run_id, failed=failed, force=force, **given))


@command.command("retry")
@click.argument("run_id")
@click.option("--failed", is_flag=True, help="Only hosts that failed or were unreachable.")
@_takes_again
@click.pass_context
def retry(ctx: click.Context, /, run_id: str, failed: bool, **given: object) -> int:
    """Run the command of a run once more, from its beginning.

    RUN_ID as of `resume`.
    """
    from pybible.server.cli.resuming import retry as once_more

    return once_more(ctx, _again(ctx, run_id, failed=failed, **given))


def _again(ctx: click.Context, run_id: str, **given: object) -> Again:
    from pybible.server.cli.resuming import Again

    given["controller"] = given["controller"] or ctx.obj["controller"]
    return Again(name=run_id, **given)  # type: ignore[arg-type]


def _short_ids(run_ids: list[str]) -> dict[str, str]:
    """Return the end of each id, as long as all of them are different: ids begin with the time, and so alike."""
    length = _SHORT
    while len({run_id[-length:] for run_id in run_ids}) < len(set(run_ids)):
        length += 1
    return {run_id: run_id[-length:] for run_id in run_ids}


def _print_recap(run: run_pb2.RunSummary) -> None:
    from pybible.server.report.screen import Screen
    from pybible.server.report.terminal import standard_terminal

    if run.recap:
        Screen(standard_terminal()).recap(_recap(run))


def _recap(run: run_pb2.RunSummary) -> Recap:
    return Recap(hosts={line.host: HostRecap(**{name: getattr(line, name) for name in COUNTS}) for line in run.recap})


def _state(run: run_pb2.RunSummary) -> str:
    return word(run_pb2.RunState.DESCRIPTOR, run.state, _STATE)


def _exit_status(run: run_pb2.RunSummary) -> int | None:
    """Return how the run ended; None while it runs, and of one that nobody brought to its end."""
    ended = run.state in {run_pb2.RUN_STATE_FINISHED, run_pb2.RUN_STATE_FAILED}
    return run.exit_status if ended or run.exit_status else None


def _cell(value: object) -> object:
    if value is None or value == "":
        return "-"
    return {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value


def _summary(run: run_pb2.RunSummary) -> dict[str, object]:
    ended = run.HasField("ended")
    return {
        "run_id": run.run_id,
        "name": run.name,
        "operator": run.operator,
        "state": _state(run),
        "exit_status": _exit_status(run),
        "error": run.error,
        "forks": run.forks,
        "check": run.check,
        "started": moment(run.started),
        "ended": moment(run.ended) if ended else None,
        "hosts": run.hosts,
        "recap": {line.host: {name: getattr(line, name) for name in COUNTS} for line in run.recap},
    }


def _attempt(attempt: run_pb2.AttemptRecord) -> dict[str, object]:
    return {
        "attempt_id": attempt.attempt_id,
        "task_id": attempt.task_id,
        "host": attempt.host,
        "agent": attempt.agent,
        "module": attempt.module,
        "state": attempt.state,
        "reason": attempt.reason,
        "failed": attempt.failed,
        "late": attempt.late,
        "dispatched": moment(attempt.dispatched) if attempt.HasField("dispatched") else None,
        "ended": moment(attempt.ended) if attempt.HasField("ended") else None,
    }
