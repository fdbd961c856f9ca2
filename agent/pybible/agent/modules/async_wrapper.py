"""async_wrapper: starts a module as a job of the host, which goes on when the task, its worker and the run are over.

The job is a process of its own session, started by exec. What it gives lies in a file, where async_status finds it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pybible.agent.modules.api import Context, Module, ModuleError, PathText, Unchanged, arg
from pybible.agent.modules.files import beside
from pybible.wire.values import JsonObject, dumps

DIRECTORY = "~/.ansible_async"
_START_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of async_wrapper: the engine's own."""

    module: str = arg(internal=True)
    arguments: JsonObject = arg(default_factory=dict, raw=True, internal=True)
    limit: int = arg(internal=True)
    contents: list[str] = arg(default_factory=list, raw=True, internal=True)
    directory: PathText = arg(default=DIRECTORY, internal=True)


def plan(args: Args, context: Context) -> Unchanged:
    """Start the job, in check mode too: the module in it knows."""
    if args.module == "async_wrapper":
        # A host's policy looks at what a job runs, and for how long it may.
        raise ModuleError("a job starts no job")
    folder = Path(args.directory).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModuleError(f"could not create directory: {folder} - {error}") from error
    job_id = f"j{secrets.randbelow(999999999999)}.{os.getpid()}"
    path = folder / job_id
    state: JsonObject = {"started": True, "finished": False, "ansible_job_id": job_id}
    try:
        write_state(path, dumps(state))
        _start(path, _payload(args, context, path))
    except (OSError, subprocess.SubprocessError) as error:
        path.unlink(missing_ok=True)
        shutil.rmtree(contents_of(path), ignore_errors=True)
        raise ModuleError(f"the job can't be started: {_text(error)}") from error
    return Unchanged(values={**state, "failed": False, "results_file": str(path), "changed": True})


def write_state(path: Path, state: bytes) -> None:
    """Put what is known of a job into its file, at once. For its owner alone: a result may hold secrets."""
    with beside(str(path)) as temporary:
        Path(temporary).write_bytes(state)
        Path(temporary).replace(path)


def contents_of(path: Path) -> Path:
    """Return the folder of what came with a job."""
    return path.with_name(f"{path.name}.content")


def _payload(args: Args, context: Context, path: Path) -> bytes:
    contents: JsonObject = {}
    if args.contents:
        kept = contents_of(path)
        kept.mkdir(mode=0o700)
        for sha256 in args.contents:
            # The worker's own copy is gone with the task.
            shutil.copyfile(context.content(sha256), kept / sha256)
            contents[sha256] = str(kept / sha256)
    return dumps(
        {
            "module": args.module,
            "arguments": args.arguments,
            "limit": args.limit,
            "contents": contents,
            "environment": dict(context.environment),
            "check": context.check,
            "diff": context.diff,
            "verbosity": context.verbosity,
            "no_log": context.no_log,
        }
    )


def _start(path: Path, payload: bytes) -> None:
    """Start the job's program, which returns when the job is a process of its own."""
    command = [sys.executable, "-P", "-m", "pybible.agent.job", str(path)]
    done = subprocess.run(
        command, input=payload, capture_output=True, timeout=_START_SECONDS, check=False, start_new_session=True
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise OSError(said[-1] if said else f"exit status {done.returncode}")


def _text(error: Exception) -> str:
    return "it took too long to start" if isinstance(error, subprocess.TimeoutExpired) else str(error)


MODULE = Module(name="async_wrapper", args=Args, plan=plan, whole=True)
