"""programs: the host's own programs: where they are, and one call with its outputs as text."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pybible.agent.modules.api import Context, ModuleError
from pybible.agent.modules.process import environment_for, run_process

# Where administrators' programs are, whatever PATH the agent was started with.
_ALSO = ("/sbin", "/usr/sbin", "/usr/local/sbin")


@dataclass(frozen=True, slots=True)
class Answer:
    """How a program ended, and what it said."""

    rc: int
    stdout: str
    stderr: str


def search_path(environment: Mapping[str, str]) -> str:
    """Return PATH with the administrators' folders."""
    folders = (environment.get("PATH") or os.defpath).split(":")
    return ":".join([*folders, *(folder for folder in _ALSO if folder not in folders)])


def locate(name: str, context: Context) -> str | None:
    """Return the path of a program, None when this host has none of that name."""
    if "/" in name:
        return name if os.access(name, os.X_OK) else None
    return shutil.which(name, path=search_path(environment_for(context.environment)))


def need(name: str, context: Context) -> str:
    """Return the path of a program. ModuleError when this host has none of that name."""
    found = locate(name, context)
    if found is None:
        paths = search_path(environment_for(context.environment))
        raise ModuleError(f'Failed to find required executable "{name}" in paths: {paths}')
    return found


def call(
    words: Sequence[str],
    context: Context,
    *,
    directory: str | None = None,
    stdin: str | None = None,
    also: Mapping[str, str] | None = None,
    live: bool = False,
) -> Answer:
    """Run a program to its end. `also`: more environment; `live`: its output is shown while it runs."""
    environment = {**environment_for(context.environment, directory), **(also or {})}
    try:
        done = run_process(
            words,
            environment=environment,
            directory=directory,
            stdin=None if stdin is None else stdin.encode("utf-8", "surrogateescape"),
            emit=context.emit if live else None,
        )
    except OSError as error:
        raise ModuleError("Error executing command.", cause=str(error), rc=error.errno, cmd=" ".join(words)) from error
    return Answer(done.rc, _text(done.stdout), _text(done.stderr))


def must(
    words: Sequence[str],
    context: Context,
    *,
    directory: str | None = None,
    stdin: str | None = None,
    also: Mapping[str, str] | None = None,
    live: bool = False,
) -> Answer:
    """Run a program that has to succeed. ModuleError with what it said, in the stock modules' shape, when it fails."""
    done = call(words, context, directory=directory, stdin=stdin, also=also, live=live)
    if done.rc:
        shown = shlex.join(words)
        raise ModuleError(done.stderr.rstrip(), cmd=shown, rc=done.rc, stdout=done.stdout, stderr=done.stderr)
    return done


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
