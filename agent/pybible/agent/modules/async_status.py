"""async_status: what has become of a job, or its file removed."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from pybible.agent.modules.api import Context, Module, ModuleError, PathText, Unchanged, arg
from pybible.agent.modules.async_wrapper import DIRECTORY, contents_of
from pybible.wire.values import JsonObject, loads_object

# As async_wrapper makes them: no other file is a job's.
_JOB_ID = re.compile(r"j[0-9]+\.[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of async_status."""

    jid: str = arg(doc="the job, as `ansible_job_id` of the task that started it")
    mode: str = arg(
        default="status", choices=("cleanup", "status"), doc="`status`: how it stands; `cleanup`: forget it"
    )
    _async_dir: PathText = arg(default=DIRECTORY, internal=True)


def plan(args: Args, context: Context) -> Unchanged:
    """Look at the job's file. It is small, and removing it changes nothing of the host: in check mode too."""
    folder = Path(args._async_dir).expanduser()
    path = folder / args.jid
    if not _JOB_ID.fullmatch(args.jid) or not path.exists():
        values: JsonObject = {"results_file": str(path)} if args.mode == "status" else {}
        raise ModuleError("could not find job", ansible_job_id=args.jid, started=True, finished=True, **values)
    if args.mode == "cleanup":
        path.unlink()
        shutil.rmtree(contents_of(path), ignore_errors=True)
        return Unchanged(values={"ansible_job_id": args.jid, "erased": str(path)})
    return Unchanged(values=_state(path, args.jid), described=False)


def _state(path: Path, job_id: str) -> JsonObject:
    try:
        state = loads_object(path.read_bytes())
    except ValueError:
        raise ModuleError(
            "Could not parse job output", ansible_job_id=job_id, results_file=str(path), started=True, finished=True
        ) from None
    state["results_file"] = str(path)
    if "started" not in state:
        return {**state, "finished": True, "ansible_job_id": job_id}
    return {**state, "finished": bool(state.get("finished"))}


MODULE = Module(name="async_status", args=Args, plan=plan, whole=True)
