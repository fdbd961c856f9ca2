"""resuming: `pybible-ctl runs resume` and `runs retry`: the command of an earlier run, called once more."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import click

from pybible.server.cli.calls import CALL_SECONDS, connected
from pybible.server.cli.keeping import inline_values
from pybible.server.cli.kept import KeptCommand, KeptCommands, events_before, locked, told_events
from pybible.server.cli.options import Asked
from pybible.server.cli.playing import Earlier, PlaybookRun, run
from pybible.server.cli.settings import Settings, load_settings
from pybible.server.engine.executor.replay import Recorded, done, merged, recorded, unfinished
from pybible.server.results.recap import Recap
from pybible.v1 import run_pb2, run_pb2_grpc
from pybible.wire.errors import AccessDenied, ConnectionFailed, ExitStatus, PybibleError, UsageError

# How long a run whose ctl has gone may take to end what it had out, in seconds.
_END_SECONDS = 120.0
# So many hosts and files are named.
_NAMED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """What `resume` and `retry` were given."""

    name: str
    extra_vars: tuple[str, ...] = ()
    verbose: int = 0
    controller: str = ""
    force: bool = False
    # Of retry: only hosts that failed or were not reached. Of resume: these too, from where they failed.
    failed: bool = False


def resume(ctx: click.Context, again: Again) -> int:
    """Go on with a run that did not come to its end. Return the exit status. Raises PybibleError."""
    settings = load_settings()
    kept, folder, command = _find(ctx, settings, again)
    with locked(folder):
        run_id = command.runs[-1]
        _check_resumable(kept, command, again)
        attempts = _end_at_controller(ctx, command, again)
        hosts = _told(folder, failed_again=again.failed)
        notes = (*_changes(command, again, refuse=True), *_begun(hosts, attempts))
        taken = f"run {run_id} is resumed: {done(hosts)} results of {len(hosts)} hosts are taken from it"
        earlier = Earlier(run_id=run_id, hosts=hosts, lines_count=not again.force, taken=taken, notes=notes)
        return _run(command, again, earlier)


def retry(ctx: click.Context, again: Again) -> int:
    """Run a command once more, on all its hosts or on those that failed. As `resume`."""
    settings = load_settings()
    _kept, folder, command = _find(ctx, settings, again)
    with locked(folder):
        run_id = command.runs[-1]
        _end_at_controller(ctx, command, again)
        limit = None
        if again.failed:
            names = _failed_hosts(folder) if command.exit_status != ExitStatus.OK else []
            if not names:
                raise PybibleError(
                    f"in run {run_id} no host failed, and none was unreachable",
                    hint=f"`pybible-ctl runs retry {run_id}` runs it once more on all its hosts.",
                )
            limit = ",".join(names)
        notes = _changes(command, again, refuse=False)
    return _run(command, again, Earlier(run_id=run_id, notes=notes), limit=limit)


def _find(ctx: click.Context, settings: Settings, again: Again) -> tuple[KeptCommands, Path, KeptCommand]:
    kept = KeptCommands(settings.state_folder / "runs")
    found = kept.find(again.name)
    if found is not None:
        return kept, *found
    if again.name == "latest":
        raise PybibleError("no run of this operator's is kept on this machine")
    named = again.controller or settings.controller
    if named:
        with connected(ctx, named) as channel:
            request = run_pb2.GetRunRequest(run_id=again.name)
            there = run_pb2_grpc.RunServiceStub(channel).GetRun(request, timeout=CALL_SECONDS).run
        raise PybibleError(
            f"the command of run {there.run_id} ({there.name}) is not kept here",
            hint=f"Commands of `pybible-ctl run` are kept where they were called, {there.operator} called this one, "
            "and only the newest are.",
        )
    raise PybibleError(f"there is no run {again.name!r} whose command is kept here")


def _check_resumable(kept: KeptCommands, command: KeptCommand, again: Again) -> None:
    run_id = command.runs[-1]
    if command.exit_status == ExitStatus.OK:
        raise PybibleError(
            f"run {run_id} came to its end: nothing is left of it",
            hint=f"`pybible-ctl runs retry {run_id}` runs it once more.",
        )
    ended = command.exit_status in (ExitStatus.HOSTS_FAILED, ExitStatus.HOSTS_UNREACHABLE)
    if ended and not again.failed:
        raise PybibleError(
            f"run {run_id} came to its end, but for the hosts that failed",
            hint=f"`pybible-ctl runs resume {run_id} --failed` goes on with them where they failed, "
            f"`pybible-ctl runs retry {run_id} --failed` runs all on them once more.",
        )
    by = kept.resumed_by(command)
    if by and not again.force:
        raise PybibleError(
            f"run {run_id} was resumed already, by run {by}",
            hint="Resume that one: what it did is not known here. --force does it all the same.",
        )
    if not command.whole:
        raise PybibleError(
            f"run {run_id} can't be resumed: what its hosts did could not be written down",
            hint=f"`pybible-ctl runs retry {run_id}` runs it once more.",
        )


def _end_at_controller(
    ctx: click.Context, command: KeptCommand, again: Again
) -> Sequence[run_pb2.AttemptRecord] | None:
    """See to it that the controller has ended the run, and return its attempts; None where that can't be asked.

    Its ctl is gone (its lock is free): what is out at the controller is cancelled, or the run would go on beside
    the new one.
    """
    controller = again.controller or command.controller
    if not controller:
        # It was in the process of the command.
        return None
    with connected(ctx, controller) as channel:
        stub = run_pb2_grpc.RunServiceStub(channel)
        request = run_pb2.GetRunRequest(run_id=command.runs[-1])
        try:
            answer = stub.GetRun(request, timeout=CALL_SECONDS)
            if answer.run.state == run_pb2.RUN_STATE_RUNNING:
                stub.CancelRun(run_pb2.CancelRunRequest(run_id=answer.run.run_id), timeout=CALL_SECONDS)
                watched = run_pb2.WatchRunRequest(run_id=answer.run.run_id, from_seq=2**62)
                for _event in stub.WatchRun(watched, timeout=_END_SECONDS):
                    pass
                answer = stub.GetRun(request, timeout=CALL_SECONDS)
        except (ConnectionFailed, AccessDenied):
            raise
        except PybibleError:
            # It does not know the run: its history was lost, or it is another controller now.
            return None
        return answer.attempts


def _told(folder: Path, *, failed_again: bool) -> dict[str, list[Recorded]]:
    try:
        before = recorded(events_before(folder), failed_again=failed_again)
        return merged(before, recorded(told_events(folder), failed_again=failed_again))
    except OSError as error:
        raise _unreadable(folder, error) from error


def _unreadable(folder: Path, error: OSError) -> PybibleError:
    return PybibleError(f"what the hosts of run {folder.name} did can't be read: {error.strerror}")


def _failed_hosts(folder: Path) -> list[str]:
    recap = Recap()
    try:
        recap.count(chain(events_before(folder), told_events(folder)))
    except OSError as error:
        raise _unreadable(folder, error) from error
    return [host for host, counts in recap.hosts.items() if counts.failed or counts.unreachable]


def _changes(command: KeptCommand, again: Again, *, refuse: bool) -> tuple[str, ...]:
    """Return the warning about files that are not what they were. PybibleError when that ends it."""
    changed = command.changed_files()
    if not changed:
        return ()
    text = f"changed since run {command.runs[-1]}: {_some(changed)}"
    if refuse and not again.force:
        raise PybibleError(
            text,
            hint="Tasks that were done are recognised by their files and their order, whatever their lines: "
            "--force goes on all the same, `runs retry` begins anew.",
        )
    return (text,)


def _begun(hosts: dict[str, list[Recorded]], attempts: Sequence[run_pb2.AttemptRecord] | None) -> tuple[str, ...]:
    """Return warnings about tasks that were out when the run ended: they are run again, whatever came of them."""
    out = None
    if attempts is not None:
        out = {(attempt.task_id, attempt.host) for attempt in attempts if attempt.HasField("dispatched")}
    notes = []
    for record, names in unfinished(hosts):
        # Of a run before that one its controller is not asked.
        is_known = out is not None and not record.earlier
        sent = [host for host in names if not is_known or (record.task_id, host) in (out or ())]
        if sent:
            task = f"[{record.name}] ({record.path})" if record.path else "a task"
            may = "had begun" if is_known else "may have begun"
            notes.append(f"{task} {may} on {_some(sent)} and its end is not known: it is run again there")
    return tuple(notes)


def _run(command: KeptCommand, again: Again, earlier: Earlier, *, limit: str | None = None) -> int:
    try:
        os.chdir(command.directory)
    except OSError as error:
        raise PybibleError(
            f"the folder in which run {command.runs[-1]} was called can't be entered: {error.strerror}: "
            f"{command.directory}"
        ) from error
    options = dict(command.options)
    asked = _asked(options.pop("asked"), command, again)
    if limit is not None:
        asked = replace(asked, limit=limit)
    playbooks = tuple(map(Path, _texts(options.pop("playbooks"))))
    rest = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    return run(PlaybookRun(asked=asked, playbooks=playbooks, earlier=earlier, **rest))  # type: ignore[arg-type]


def _asked(kept: object, command: KeptCommand, again: Again) -> Asked:
    if not isinstance(kept, dict):
        raise PybibleError(f"what is kept of run {command.runs[-1]} can't be used")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()}
    asked = Asked(**values, extra_vars=extra_vars_of(command, again.extra_vars))  # type: ignore[arg-type]
    controller = again.controller or command.controller
    return replace(asked, verbose=max(again.verbose, asked.verbose), controller=controller)


def extra_vars_of(command: KeptCommand, texts: Sequence[str]) -> tuple[str, ...]:
    """Return the -e options: files as they were named, the others as they are given again. UsageError for others."""
    given = [text for text in texts if text.strip()]
    run_id, names = command.runs[-1], ", ".join(command.inline)
    if any(text.strip().startswith("@") for text in given):
        raise UsageError("files of -e are read again by themselves: give only what stood on the command line")
    if not command.inline and not given:
        return command.extra_vars
    if not command.inline:
        raise UsageError(f"run {run_id} had no -e on its command line")
    if not given:
        raise UsageError(
            f"run {run_id} was given variables on its command line, whose values are not kept: {names}",
            hint="Give them again: " + " ".join(f"-e {name}=..." for name in command.inline),
        )
    values = inline_values(given)
    if sorted(values) != sorted(command.inline):
        raise UsageError(f"run {run_id} had other variables on its command line: {names}")
    if not command.check_inline(values):
        raise UsageError(f"the values given with -e are not those of run {run_id}: {names}")
    return _placed(command.extra_vars, given)


def _placed(kept: Sequence[str], given: list[str]) -> tuple[str, ...]:
    """Put what was given again where it stood among the files: later options win."""
    places = [index for index, text in enumerate(kept) if not text]
    if len(places) != len(given):
        # Said in another number of options: all of them at the last place.
        texts: list[str] = [text for text in kept[: places[-1]] if text]
        return (*texts, *given, *(text for text in kept[places[-1] + 1 :] if text))
    again = iter(given)
    return tuple(text or next(again) for text in kept)


def _texts(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:_NAMED]) + (f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else "")
