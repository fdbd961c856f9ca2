"""background: tasks with `async`: a job that the host runs for itself, and the wait for it that `poll` asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from pybible.server.engine.actions import async_status
from pybible.server.engine.actions.call import ActionFailed, ActionResult, Services
from pybible.server.engine.executor.compiled import CompiledTask
from pybible.server.engine.executor.targets import number
from pybible.server.engine.templating.templar import Templar
from pybible.wire.tasks import TaskSpec
from pybible.wire.values import JsonObject, dumps, loads_object

_WRAPPER: Final = "async_wrapper"
# Actions of the engine that hand the whole of their work to one module.
_ABLE: Final = frozenset({"dnf", "package", "service", "uri"})
# Called with what `ASYNC ...` says (poll, ok, failed), and with the job's state.
Tell = Callable[[str, JsonObject], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """How long a job may take, how often is asked for it (0: never), and where its file lies. In seconds."""

    limit: int
    poll: int
    directory: str


def background_for(compiled: CompiledTask, templar: Templar, *, every: int) -> Background | None:
    """Return how the task is to be run in the background, None for an ordinary one; `every` is poll's default.

    Raises TemplateError.
    """
    task = compiled.task
    if not task.async_:
        return None
    limit = int(number(task.async_, templar, "async_val"))
    if limit <= 0:
        return None
    poll = max(0, int(number(task.poll, templar, "poll", default=every)))
    return Background(limit=limit, poll=poll, directory=async_status.directory_for(templar))


def check_able(compiled: CompiledTask) -> None:
    """Fail when the task's action has no part that a host could run alone. Raises ActionFailed."""
    able = compiled.implementation is None or compiled.task.bridged is not None or compiled.action in _ABLE
    if not able or compiled.low_level:
        raise ActionFailed(f"This action ({compiled.task.action_written}) does not support async.")


def as_job(spec: TaskSpec, background: Background) -> TaskSpec:
    """Return what starts `spec` as a job."""
    arguments = {
        "module": spec.module,
        "arguments": loads_object(spec.args),
        "limit": background.limit,
        "contents": [attachment.sha256 for attachment in spec.attachments],
        "directory": background.directory,
    }
    return replace(spec, module=_WRAPPER, args=dumps(arguments), output_limit=0)


async def wait_for(services: Services, started: ActionResult, background: Background, tell: Tell) -> ActionResult:
    """Return the result of a job that was started, or that it has none in time.

    A host that can't be asked is no reason to give up: it may be back before the time is over.
    """
    job_id = str(started.result.get("ansible_job_id", ""))
    if not job_id:
        return _failed("No job id was returned by the async task")
    left = background.limit
    answer = started
    while left > 0:
        await asyncio.sleep(background.poll)
        answer = await async_status.ask(services, job_id, directory=background.directory)
        result = answer.result
        lost = bool(result.get("unreachable") or result.get("reason"))
        if not lost and (result.get("finished") or result.get("failed") or result.get("skipped")):
            break
        left -= background.poll
        if lost:
            if left <= 0:
                return answer
        else:
            tell("poll", result)
    if not answer.result.get("finished"):
        text = f"async task did not complete within the requested time - {background.limit}s"
        answer = _failed(text, async_result=answer.result)
    else:
        await async_status.ask(services, job_id, directory=background.directory, mode="cleanup")
    tell("failed" if answer.result.get("failed") else "ok", {"ansible_job_id": job_id, **answer.result})
    return answer


def _failed(msg: str, **values: JsonObject) -> ActionResult:
    return ActionResult(result={"failed": True, "changed": False, "msg": msg, **values})
