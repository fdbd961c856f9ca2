"""item: one run of a task's action on a host: when, arguments, the action, retries, changed_when, failed_when."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult, Packed, from_outcome
from pybible.server.engine.dispatcher import Outcome, OutputSink, Target
from pybible.server.engine.executor import hygiene
from pybible.server.engine.executor.background import Background, as_job, background_for, check_able, wait_for
from pybible.server.engine.executor.compiled import CompiledTask
from pybible.server.engine.executor.context import BatchContext
from pybible.server.engine.executor.judgement import judge, names_of
from pybible.server.engine.executor.outcome import IncludeRequest, ItemOutcome
from pybible.server.engine.executor.targets import (
    become_for,
    check_keywords,
    delegated_label,
    environment_for,
    flag,
    number,
    reached,
    target_for,
)
from pybible.server.engine.model.bridged import BridgedModule
from pybible.server.engine.model.notices import located
from pybible.server.engine.model.text import origin_of
from pybible.server.engine.templating.templar import Templar
from pybible.server.engine.variables.hostvars import HostVarsVars
from pybible.server.results.events import AsyncPoll, Output, Retry
from pybible.wire.errors import ConnectionFailed, PybibleError, SourceError
from pybible.wire.outcomes import Reason
from pybible.wire.tasks import Attachment, Become, TaskSpec
from pybible.wire.values import JsonObject, dumps

_ARGS_FROM_TEMPLATE = (
    "Using a template for task args is unsafe in some situations "
    "(see https://docs.ansible.com/ansible/devel/reference_appendices/faq.html#argsplat-unsafe)."
)
logger = logging.getLogger(__name__)

# Actions that wait on the control node itself: the agent's limit does not reach them.
_WAITS_HERE = frozenset({"pause", "reboot", "wait_for_connection"})
# Modules whose output is shown while they run.


class ItemRun:
    """Runs a task once on a host. It is the Services of its action."""

    __slots__ = (
        "_background",
        "_become",
        "_check",
        "_compiled",
        "_context",
        "_delegate",
        "_diff",
        "_environment",
        "_host",
        "_item_vars",
        "_label",
        "_no_log",
        "_reach",
        "_target",
        "_templar",
        "_throttle",
        "_timeout",
    )

    def __init__(
        self,
        context: BatchContext,
        compiled: CompiledTask,
        host: str,
        templar: Templar,
        *,
        item_vars: Mapping[str, object] | None = None,
        throttle: int = 0,
    ) -> None:
        self._context = context
        self._compiled = compiled
        self._host = host
        self._templar = templar
        self._item_vars = item_vars or {}
        self._throttle = throttle
        self._no_log = False
        self._check = self._diff = False
        self._delegate = ""
        self._label = host
        self._reach: Templar | None = None
        self._target: Target | None = None
        self._become: Become | None = None
        self._environment: Mapping[str, str] = {}
        self._timeout: float | None = None
        self._background: Background | None = None

    async def run(self) -> ItemOutcome:
        """Run it. Nothing that goes wrong on the way is raised: it is the outcome."""
        compiled = self._compiled
        task = compiled.task
        try:
            # First, so that whatever fails later is hidden when it should be.
            self._hide()
            if compiled.delegate_to is not None:
                self._delegated(compiled.delegate_to)
            if task.keywords.when:
                holds, failing = self._templar.condition(task.keywords.when)
                if not holds:
                    return self._outcome(
                        ActionResult(
                            result={
                                "changed": False,
                                "skipped": True,
                                "skip_reason": "Conditional result was False",
                                "false_condition": failing,
                            }
                        )
                    )
            self._render_keywords()
            args = self._arguments()
            if compiled.include:
                return self._included(args)
            return await self._attempts(args)
        except (asyncio.CancelledError, ConnectionFailed):
            # Without its controller there is no run, and no host is to blame.
            raise
        except SourceError as error:
            return self._source_failure(error)
        except PybibleError as error:
            return self._failed({"msg": f"Task failed: {error}"}, hygiene.failure(task, str(error)))
        except Exception as error:
            # A bug of ours is that host's failure, never a missing line.
            logger.exception("host-task failed in the engine", extra={"host": self._host, "task": task.name})
            text = f"this is a bug in pybible: {type(error).__name__}: {error}"
            trace = "".join(traceback.format_exception(error))
            result: JsonObject = {"msg": text, "exception": trace, "reason": Reason.INTERNAL_ERROR.value}
            return self._failed(result, hygiene.failure(task, text))

    # -- before the action ----------------------------------------------------------------------------------------

    def _hide(self) -> None:
        """Learn whether results are to be hidden; what can't be known is hidden."""
        hidden = self._context.run.options.no_log
        try:
            self._no_log = flag(self._compiled.keyword("no_log"), self._templar, "no_log", default=hidden)
        except SourceError as error:
            self._no_log = True
            self.warn(hygiene.no_log_text(error))

    def _delegated(self, written: object) -> None:
        """Find the host on which the task runs, and let its templates see that host's variables."""
        self._label = f"{self._host} -> {written}"
        runs_on = self._templar.render_text(written)
        if not runs_on:
            self._label = self._host
            return
        self._delegate = runs_on
        self._reach = self._context.delegate_templar(runs_on, self._compiled.task)
        self._label = delegated_label(self._host, runs_on, self._reach)
        # As in ansible-core: they are the other host's but for the name.
        own = {name: self._templar.variables.get(name) for name in ("inventory_hostname", "inventory_hostname_short")}
        seen = {"ansible_delegated_vars": {runs_on: HostVarsVars(self._reach.with_variables(own))}}
        self._templar = self._templar.with_variables(reached(self._templar, self._reach, host=self._host) | seen)

    def _render_keywords(self) -> None:
        compiled, templar = self._compiled, self._templar
        run = self._context.run
        options = run.options
        check_keywords(compiled, templar)
        self._check = flag(compiled.keyword("check_mode"), templar, "check_mode", default=options.check)
        self._diff = flag(compiled.keyword("diff"), templar, "diff", default=options.diff)
        reach = self.reaching()
        runs_on = self._delegate or self._host
        self._target = target_for(compiled, templar, reach, options, host=self._host, runs_on=runs_on)
        self._become = become_for(compiled, templar, reach, options)
        if compiled.environment:
            self._environment = environment_for(compiled, templar, self.warn)
        timeout = number(compiled.timeout, templar, "timeout", default=options.task_timeout)
        self._timeout = timeout if timeout > 0 else None
        self._background = background_for(compiled, templar, every=options.poll_interval)

    def _arguments(self) -> dict[str, object]:
        compiled, templar = self._compiled, self._templar
        compiled.check_module()
        if compiled.static_args is not None:
            compiled.check_text()
            return dict(compiled.static_args)
        task = compiled.task
        written = compiled.default_args(templar)
        if task.args_template is not None:
            if self._context.run.variables.injects_facts:
                self.warn(located(_ARGS_FROM_TEMPLATE, origin_of(task.args_template)))
            written.update(compiled.template_args(templar))
        written.update(task.args)
        expressions = {name: written.pop(name) for name in compiled.expressions if name in written}
        args = templar.render_args(written, action=compiled.action, origin=origin_of(task.action_written))
        args.update(expressions)
        compiled.check_text()
        return args

    def _included(self, args: dict[str, object]) -> ItemOutcome:
        result: JsonObject = {"include_args": args, "changed": False}
        if "_raw_params" in args or "file" in args:
            result = {"include": args.get("_raw_params", args.get("file")), "include_args": {}, "changed": False}
        outcome = self._outcome(ActionResult(result=result))
        label = hygiene.CENSORED_ITEM if self._no_log else None
        outcome.include = IncludeRequest(args=args, item_vars=self._item_vars, label=label)
        return outcome

    # -- the action and its retries -------------------------------------------------------------------------------

    async def _attempts(self, args: dict[str, object]) -> ItemOutcome:
        compiled = self._compiled
        if not compiled.has_conditions:
            return self._finish(await self._act(args), self._templar)
        task, templar = compiled.task, self._templar
        retries = 1 + max(0, int(number(task.retries, templar, "retries", default=3 if task.has_until else 0)))
        repeats = retries > 1
        pause = number(task.delay, templar, "delay", default=5) if repeats else 0.0
        pause = 1.0 if pause < 0 else pause
        answer = ActionResult(result={})
        for attempt in range(1, retries + 1):
            answer = await self._act(args)
            if repeats:
                answer.result["attempts"] = attempt
            hygiene.settle(answer.result)
            seen = judge(task, templar, answer)
            if not repeats:
                break
            done = seen.condition(task.until)[0] if task.has_until else not answer.result.get("failed")
            if done:
                break
            if attempt < retries:
                self._tell_retry(answer.result, retries - attempt)
                await asyncio.sleep(pause)
        else:
            answer.result.update(attempts=retries - 1, failed=True)
        return self._finish(answer, self._templar)

    async def _act(self, args: dict[str, object]) -> ActionResult:
        background = self._background
        answer = await self._act_once(args)
        if background is None or not background.poll or answer.result.get("failed") or answer.result.get("skipped"):
            return answer
        if answer.result.get("unreachable"):
            return answer
        return await wait_for(self, answer, background, self._tell_async)

    async def _act_once(self, args: dict[str, object]) -> ActionResult:
        compiled = self._compiled
        if compiled.implementation is None and self._background is None:
            answer = from_outcome(await self._dispatch(compiled.action, compiled.args_json or dumps(args), ()))
            answer.module_failed = answer.module_failed and not compiled.low_level
            return answer
        try:
            if self._background is not None:
                check_able(compiled)
            if compiled.implementation is None:
                return from_outcome(await self.run_module(compiled.action, args))
            call = self._call(args)
            if self._timeout is not None and compiled.action in _WAITS_HERE:
                try:
                    async with asyncio.timeout(self._timeout):
                        return await compiled.implementation(call)
                except TimeoutError:
                    text = hygiene.timeout_text(self._timeout)
                    return ActionResult(result=hygiene.timed_out(self._timeout), error=text)
            return await compiled.implementation(call)
        except ActionFailed as error:
            result: JsonObject = {"failed": True, "changed": False, "msg": error.msg, **error.values}
            if error.nested:
                report = hygiene.nested_failure(compiled.task, str(error.msg))
                return ActionResult(result=result, error=report, reported=True)
            text = f"Action failed: {error.msg}" if error.returned else str(error.msg)
            return ActionResult(result=result, error=text)
        except SourceError as error:
            outcome = self._source_failure(error)
            return ActionResult(result={**outcome.result, "changed": False}, error=outcome.error, reported=True)

    def _call(self, args: dict[str, object]) -> ActionCall:
        run = self._context.run
        return ActionCall(
            name=self._compiled.action,
            task=self._compiled.task,
            play=self._context.play,
            host=self._host,
            args=args,
            templar=self._templar,
            services=self,
            inventory=run.inventory,
            check=self._check,
            diff=self._diff,
            verbosity=run.options.verbosity,
            runs_here=self._target is not None and not self._target.agent,
            delegate=self._delegate,
            search_path=self._compiled.task.search_path,
            answer=run.answer,
        )

    async def _dispatch(
        self,
        module: str,
        args: bytes,
        attachments: Sequence[Attachment],
        *,
        check: bool | None = None,
        background: Background | None = None,
        here: bool = False,
        known_facts: bool = False,
    ) -> Outcome:
        run, options = self._context.run, self._context.run.options
        limit = 0 if self._no_log else options.output_limit
        target = Target(host=self._host, agent="") if here else self._target
        if target is None:
            raise RuntimeError("the task has no target yet")
        spec = TaskSpec(
            module=module,
            args=args,
            environment=self._environment,
            become=None if here else self._become,
            timeout=self._timeout,
            check=self._check if check is None else check,
            diff=self._diff,
            no_log=self._no_log,
            output_limit=limit,
            attachments=tuple(attachments),
            verbosity=options.verbosity,
            directory="" if target.agent else str(self._context.play.directory),
            facts_within=options.facts_within if known_facts and not self._environment else 0.0,
        )
        if background is not None:
            spec = as_job(spec, background)
        outcome = await run.dispatcher.run(
            target,
            spec,
            task_id=self._compiled.task.id,
            throttle=self._throttle,
            output=self._output() if limit else None,
        )
        if outcome.reason == Reason.TIMED_OUT and self._timeout is not None:
            return Outcome(result=hygiene.timed_out(self._timeout), reason=outcome.reason)
        return outcome

    def _output(self) -> OutputSink:
        task_id, host, emit = self._compiled.task.id, self._host, self._context.run.emit

        def output(stream: str, text: str, dropped: int) -> None:
            emit(Output(task_id=task_id, host=host, stream=stream, text=text, dropped=dropped))

        return output

    # -- after the action -----------------------------------------------------------------------------------------

    def _finish(self, answer: ActionResult, templar: Templar) -> ItemOutcome:
        hygiene.settle(answer.result)
        outcome = self._outcome(answer)
        notify = self._compiled.notify
        if notify and answer.result["changed"] and not answer.result.get("failed"):
            outcome.notify = names_of(templar.render(list(notify)))
        return outcome

    def _outcome(self, answer: ActionResult) -> ItemOutcome:
        result = answer.result
        error = ""
        if self._no_log and (result.get("failed") or result.get("unreachable")):
            # Stock Ansible shows the message; here nothing that no_log hides leaves the engine.
            error = hygiene.failure(self._compiled.task, f"{hygiene.kind(answer)}.")
        elif answer.reported:
            error = answer.error
        elif result.get("failed") or result.get("unreachable"):
            error = hygiene.failure(self._compiled.task, answer.error or hygiene.reason(answer))
        return ItemOutcome(
            result=result,
            error=error,
            label=self._label,
            no_log=self._no_log,
            verbose_always=answer.verbose_always,
            diff=self._diff,
            facts_level=answer.facts_level,
            cacheable=answer.cacheable,
            facts_host=self._facts_host(),
        )

    def _facts_host(self) -> str:
        if self._delegate and flag(self._compiled.keyword("delegate_facts"), self._templar, "delegate_facts"):
            return self._delegate
        return self._host

    def _source_failure(self, error: SourceError) -> ItemOutcome:
        message, report = hygiene.failure_of(self._compiled.task, error)
        if self._no_log and hygiene.may_repeat(error):
            report = hygiene.failure(self._compiled.task, hygiene.CENSORED)
        return self._failed({"msg": message}, report)

    def _failed(self, result: JsonObject, report: str) -> ItemOutcome:
        result["failed"] = True
        result.setdefault("changed", False)
        return ItemOutcome(
            result=result,
            error=report,
            label=self._label,
            no_log=self._no_log,
            verbose_always=False,
            facts_host=self._host,
        )

    def _tell_retry(self, result: JsonObject, left: int) -> None:
        task = self._compiled.task
        self._context.run.emit(
            Retry(
                task_id=task.id,
                host=self._host,
                name=self._context.task_name(self._compiled, self._templar),
                retries_left=left,
                label=self._label,
                result=hygiene.shown(result, no_log=self._no_log),
            )
        )

    def _tell_async(self, state: str, result: JsonObject) -> None:
        self._context.run.emit(
            AsyncPoll(
                task_id=self._compiled.task.id,
                host=self._host,
                state=state,
                job_id=str(result.get("ansible_job_id", "")),
                started=bool(result.get("started")),
                finished=bool(result.get("finished")),
            )
        )

    # -- Services -------------------------------------------------------------------------------------------------

    async def run_module(
        self,
        name: str,
        args: Mapping[str, object],
        attachments: Sequence[Attachment] = (),
        *,
        check: bool | None = None,
        now: bool = False,
        here: bool = False,
        known_facts: bool = False,
    ) -> Outcome:
        """Run a module on the task's target."""
        background = None if now else self._background
        return await self._dispatch(
            name, dumps(args), attachments, check=check, background=background, here=here, known_facts=known_facts
        )

    async def package(self, module: BridgedModule) -> Packed:
        """Make a module ready to be sent."""
        return await self._context.run.packages.get(module)

    def reaching(self) -> Templar:
        """Return the variables of the host on which the task runs: of another one when it is delegated."""
        return self._templar if self._reach is None else self._reach

    async def attach(self, path: Path) -> Attachment:
        """Make a file available."""
        return await self._context.run.contents.file(path)

    async def attach_bytes(self, content: bytes) -> Attachment:
        """Make content available."""
        return await self._context.run.contents.text(content)

    async def save(self, attachment: Attachment, path: Path) -> None:
        """Write what the task handed over to `path`."""
        await self._context.run.dispatcher.save(attachment, path)

    async def write_down(self, content: bytes, name: str) -> Path:
        """Write content into a temporary file of that name."""
        return await self._context.run.contents.written(content, name)

    def read_file(self, path: Path) -> bytes:
        """Read a file of the operator's, decrypted."""
        return self._context.run.read_file(path)

    def load_vars(self, path: Path) -> object:
        """Read a file of variables."""
        return self._context.run.load_vars(path)

    def note_brought(self, path: Path) -> None:
        """Record that a host filled this file."""
        self._context.run.variables.brought.add(path.resolve())

    def notice(self, text: str) -> None:
        """Show a line."""
        self._context.run.notice(text)

    def warn(self, text: str) -> None:
        """Show a warning."""
        self._context.run.warn(text)
