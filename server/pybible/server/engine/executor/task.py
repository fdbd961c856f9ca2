"""task: one task on one host: its loop, its items, and the one outcome of them all."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Mapping

from pybible.server.engine.executor import hygiene, loops, replayed
from pybible.server.engine.executor.compiled import CompiledTask
from pybible.server.engine.executor.context import BatchContext
from pybible.server.engine.executor.item import ItemRun
from pybible.server.engine.executor.outcome import HostOutcome, ItemOutcome
from pybible.server.engine.executor.replay import Recorded, is_hidden
from pybible.server.engine.executor.targets import flag, number
from pybible.server.engine.model.text import origin_of
from pybible.server.engine.templating.errors import UndefinedVariable, message_of, report_of
from pybible.server.engine.templating.templar import Templar
from pybible.server.results.events import HostResult, ItemResult, Status
from pybible.wire.errors import ConnectionFailed, SourceError
from pybible.wire.outcomes import Reason
from pybible.wire.values import JsonObject, JsonValue, dumps

logger = logging.getLogger(__name__)


class HostTask:
    """Runs a task on a host. `run` always returns an outcome, whatever happens."""

    def __init__(
        self,
        context: BatchContext,
        compiled: CompiledTask,
        host: str,
        *,
        throttle: int = 0,
        variables: Mapping[str, object] | None = None,
        recorded: Recorded | None = None,
    ) -> None:
        """`variables` are seen before all others: what the debugger changed.

        `recorded` is what the host did at this task in the run that is resumed.
        """
        self._recorded = recorded
        self._variables = variables
        self._context = context
        self._compiled = compiled
        self._host = host
        self._throttle = throttle

    async def run(self) -> HostOutcome:
        """Run it."""
        compiled = self._compiled
        task = compiled.task
        try:
            templar = self._context.templar(self._host, task)
            if self._variables:
                templar = templar.with_variables(self._variables)
            if compiled.module_is_template:
                self._compiled = self._context.play_context.named(task, templar)
            outcome = await self._loop(templar) if task.has_loop else await self._single(templar)
            final = outcome.final.status
            if compiled.module_is_template and final is not Status.SKIPPED:
                outcome.action = self._compiled.action
            if final is Status.FAILED or final is Status.UNREACHABLE:
                outcome.ignore_errors = self._ignores("ignore_errors", templar)
                outcome.ignore_unreachable = self._ignores("ignore_unreachable", templar)
            return outcome
        except (asyncio.CancelledError, ConnectionFailed):
            # Without its controller there is no run, and no host is to blame.
            raise
        except SourceError as error:
            return self._broken({"msg": message_of(error)}, report_of(error), error)
        except Exception as error:
            logger.exception("host-task failed in the engine", extra={"host": self._host, "task": task.name})
            text = f"this is a bug in pybible: {type(error).__name__}: {error}"
            trace = "".join(traceback.format_exception(error))
            result: JsonObject = {"msg": text, "exception": trace, "reason": Reason.INTERNAL_ERROR.value}
            return self._broken(result, hygiene.failure(task, text))

    def _broken(self, result: JsonObject, report: str, error: SourceError | None = None) -> HostOutcome:
        result["failed"] = True
        hidden = self._hidden()
        if hidden and (error is None or hygiene.may_repeat(error)):
            report = hygiene.failure(self._compiled.task, hygiene.CENSORED)
        item = ItemOutcome(result=result, error=report, label=self._host, facts_host=self._host, no_log=hidden)
        return HostOutcome(host=self._host, final=item, items=[item])

    async def _single(self, templar: Templar) -> HostOutcome:
        run = ItemRun(self._context, self._compiled, self._host, templar, throttle=self._throttle)
        item = await self._outcome(run, templar, None if self._recorded is None else self._recorded.result)
        self._context.keep_facts(self._host, item)
        if self._compiled.action == "gather_facts" and item.status is Status.OK:
            self._context.run.variables.note_gathered(item.facts_host or self._host)
        self._context.register(self._host, self._compiled, item.result)
        return HostOutcome(host=self._host, final=item, items=[item])

    async def _outcome(self, run: ItemRun, templar: Templar, told: HostResult | ItemResult | None) -> ItemOutcome:
        """Run it, unless an earlier run told what came of it."""
        if told is None or self._recorded is None:
            return await run.run()
        run_id = self._recorded.run_id
        return await replayed.outcome(self._context, self._compiled, run, templar, told, run_id=run_id)

    def _told_item(self, number: int, variables: Mapping[str, object]) -> ItemResult | None:
        """Return what an earlier run told of an item of the loop; nothing of one that is another now."""
        if self._recorded is None or number >= len(self._recorded.items):
            return None
        told = self._recorded.items[number]
        names = {} if is_hidden(told.result) else loops.result_names(variables)
        if any(dumps(value) != dumps(told.result.get(name)) for name, value in names.items()):
            self._recorded = None
            if self._context.run.replay is not None:
                text = f"the loop of [{self._compiled.written_name}] has other items"
                self._context.run.replay.stop(self._host, text)
            return None
        return told

    def _hidden(self) -> bool:
        """Whether a failure before the task is hidden; what can't be known is."""
        written = self._compiled.keyword("no_log")
        try:
            templar = self._context.templar(self._host, self._compiled.task)
            return flag(written, templar, "no_log", default=self._context.run.options.no_log)
        except SourceError:
            return True

    # -- loops ----------------------------------------------------------------------------------------------------

    async def _loop(self, templar: Templar) -> HostOutcome:
        try:
            return await self._looped(templar)
        except SourceError as error:
            # What the loop itself needs can't be had; the items' own failures never come here.
            return self._with_ignore(self._broken({"msg": message_of(error)}, report_of(error), error), templar)

    async def _looped(self, templar: Templar) -> HostOutcome:
        task = self._compiled.task
        try:
            values = loops.loop_values(task, templar)
        except SourceError as error:
            if not loops.is_undefined(error):
                raise
            message, report = hygiene.failure_of(task, error)
            return self._with_ignore(self._broken({"msg": message, "changed": False}, report, error), templar)
        if values is None:
            # The items can't be known, and nobody asks for them.
            return await self._single(templar)
        items = await self._items(values, templar)
        final = self._sum_up(items)
        self._context.register(self._host, self._compiled, final.result)
        return HostOutcome(host=self._host, final=final, items=items, loop=True)

    def _with_ignore(self, outcome: HostOutcome, templar: Templar) -> HostOutcome:
        self._context.register(self._host, self._compiled, outcome.final.result)
        outcome.ignore_errors = self._ignores("ignore_errors", templar)
        return outcome

    def _ignores(self, name: str, templar: Templar) -> bool:
        """Return a keyword that is asked for after a failure: what can't be understood counts as it is written."""
        written = self._compiled.keyword(name)
        try:
            return flag(written, templar, name)
        except SourceError:
            return bool(written)

    async def _items(self, values: list[object], templar: Templar) -> list[ItemOutcome]:
        task = self._compiled.task
        control = task.loop_control
        pause = number(control.pause, templar, "pause")
        outcomes: list[ItemOutcome] = []
        if values:
            self._warn_of_name(templar)
        for item in loops.loop_items(control, values, templar):
            if outcomes and pause > 0 and not outcomes[-1].from_run:
                await asyncio.sleep(pause)
            seen = templar.with_variables(item.variables)
            run = ItemRun(
                self._context, self._compiled, self._host, seen, item_vars=item.variables, throttle=self._throttle
            )
            outcome = await self._outcome(run, seen, self._told_item(len(outcomes), item.variables))
            outcome.result = {**outcome.result, **loops.result_names(item.variables)}
            if task.register:
                seen = seen.with_variables({task.register: outcome.result})
            label = self._label(item.value, seen, outcome)
            if outcome.include is not None:
                self._note_include(outcome, label)
            outcomes.append(outcome)
            self._context.keep_facts(self._host, outcome)
            self._tell(outcome, label)
            if control.break_when and self._breaks(seen):
                break
        return outcomes

    def _warn_of_name(self, templar: Templar) -> None:
        """Warn when the loop's variable hides another: that of a loop around it, most likely."""
        control = self._compiled.task.loop_control
        name = loops.loop_name(control, templar)
        if name in templar.variables:
            text = loops.name_in_use(name, origin_of(control.loop_var))
            self._context.run.warn(text)

    def _note_include(self, outcome: ItemOutcome, label: JsonValue) -> None:
        if outcome.include is None:
            return
        outcome.include = type(outcome.include)(
            args=outcome.include.args, item_vars=outcome.include.item_vars, label=label
        )
        outcome.result.pop("changed", None)

    def _breaks(self, seen: Templar) -> bool:
        return seen.condition(self._compiled.task.loop_control.break_when)[0]

    def _label(self, value: object, seen: Templar, outcome: ItemOutcome) -> JsonValue:
        label = self._compiled.task.loop_control.label
        shown: object = value
        if label:
            try:
                shown = seen.render(label)
            except UndefinedVariable as error:
                outcome.unlabelled, shown = outcome.status is not Status.FAILED, None
                outcome.result.update(failed=True, msg=f"Failed to template loop_control.label: {message_of(error)}")
        return hygiene.CENSORED_ITEM if outcome.no_log else shown

    def _tell(self, outcome: ItemOutcome, label: JsonValue) -> None:
        status = outcome.status
        if self._compiled.include and status is Status.OK:
            return
        self._context.tell(
            self._compiled,
            ItemResult(
                task_id=self._compiled.task.id,
                host=self._host,
                status=status,
                item=label,
                result=hygiene.shown(outcome.result, no_log=outcome.no_log),
                action=self._compiled.action,
                label=outcome.label,
                verbose_always=outcome.verbose_always and not outcome.no_log,
                diff=outcome.diff,
                error=outcome.error,
                from_run=outcome.from_run,
            ),
        )

    def _sum_up(self, items: list[ItemOutcome]) -> ItemOutcome:
        """Return the result of the loop as a whole."""
        if not items:
            result: JsonObject = {
                "changed": False,
                "skipped": True,
                "skipped_reason": "No items in the list",
                "results": [],
            }
            return ItemOutcome(result=result, label=self._host, facts_host=self._host)
        statuses = [item.status for item in items]
        skipped = all(status is Status.SKIPPED for status in statuses)
        result = {
            "results": [dict(item.result) if item.unlabelled else hygiene.registered(item.result) for item in items],
            "changed": any(bool(item.result.get("changed")) for item in items),
            "skipped": skipped,
            "msg": "All items skipped" if skipped else "All items completed",
        }
        if any(status is Status.FAILED for status in statuses):
            result.update(failed=True, msg="One or more items failed")
        if any(status is Status.UNREACHABLE for status in statuses):
            result["unreachable"] = True
        last = items[-1]
        return ItemOutcome(
            result=result,
            label=last.label,
            no_log=any(item.no_log for item in items),
            diff=last.diff,
            facts_host=self._host,
            notify=tuple(dict.fromkeys(name for item in items for name in item.notify)),
            from_run=last.from_run,
        )
