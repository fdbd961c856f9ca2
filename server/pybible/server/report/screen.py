"""screen: a run as Ansible's default callback shows it (ansible-core 2.19, by what it prints)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath

from pybible.server.report.colours import Colour, paint
from pybible.server.report.differences import render_diff
from pybible.server.report.dump import debug_result, dump_result, dump_value, shown_part
from pybible.server.report.look import Look
from pybible.server.report.messages import Messages
from pybible.server.report.terminal import Terminal
from pybible.server.report.visible import visible, visible_line
from pybible.server.results.events import (
    AsyncPoll,
    CustomStats,
    HostResult,
    Included,
    ItemResult,
    Message,
    NoHostsMatched,
    NoHostsRemaining,
    PlaybookStarted,
    PlayStarted,
    Retry,
    RunEvent,
    Status,
    TaskKind,
    TaskStarted,
)
from pybible.server.results.recap import HostRecap, Recap
from pybible.wire.values import JsonObject

_BANNERS = {TaskKind.TASK: "TASK", TaskKind.HANDLER: "RUNNING HANDLER", TaskKind.CLEANUP: "CLEANUP TASK"}
# They say what they did by `included: ...` and by the tasks that follow.
_SILENT_ACTIONS = frozenset({"include_tasks", "include_role", "import_tasks", "import_role"})
# They compare whole files; what other modules show of a file is theirs to bound.
_COMPARE_FILES = frozenset({"copy", "template", "assemble"})
_RECAP_COLOURS = {
    "ok": Colour.OK,
    "changed": Colour.CHANGED,
    "unreachable": Colour.UNREACHABLE,
    "failed": Colour.ERROR,
    "skipped": Colour.SKIPPED,
    "rescued": Colour.OK,
    "ignored": Colour.IGNORED,
}
# Nobody wants to read all facts, at any verbosity.
_FACTS = frozenset({"gather_facts", "setup"})


class Screen:
    """Takes the events of a run in their order and writes lines."""

    def __init__(
        self,
        terminal: Terminal,
        *,
        verbosity: int = 0,
        look: Look | None = None,
        messages: Messages | None = None,
    ) -> None:
        self._terminal = terminal
        self._verbosity = verbosity
        self._look = look or Look()
        self._messages = messages or Messages(
            terminal,
            verbosity=verbosity,
            deprecations=self._look.deprecation_warnings,
            of_actions=self._look.action_warnings,
        )
        self._marker = " [CHECK MODE]" if self._look.check_mode_markers else ""
        self._tasks: dict[str, TaskStarted] = {}
        self._banner_of = ""
        self._stats: dict[str, JsonObject] = {}
        self._shows: dict[type, Callable[..., None]] = {
            PlaybookStarted: self._playbook,
            PlayStarted: self._play,
            NoHostsMatched: self._no_hosts_matched,
            NoHostsRemaining: self._no_hosts_remaining,
            TaskStarted: self._task,
            HostResult: self._result,
            ItemResult: self._item,
            Retry: self._retry,
            AsyncPoll: self._async_poll,
            Included: self._included,
            Message: self._messages.show,
            CustomStats: self._custom_stats,
        }

    def __call__(self, event: RunEvent) -> None:
        """Show one event."""
        show = self._shows.get(type(event))
        if show is not None:
            show(event)

    def recap(self, recap: Recap) -> None:
        """Show the PLAY RECAP and an empty line."""
        self._terminal.banner("PLAY RECAP")
        for host in sorted(recap.hosts):
            self._terminal.line(self._recap_line(host, recap.hosts[host]))
        self._terminal.line("")
        if self._look.show_custom_stats and self._stats:
            self._print_custom_stats()
        if self._marker:
            self._terminal.banner("DRY RUN")

    def _playbook(self, event: PlaybookStarted) -> None:
        if self._verbosity > 1:
            self._terminal.banner(f"PLAYBOOK: {visible(PurePath(event.path).name)}")
            if event.plays:
                self._terminal.line(f"{event.plays} plays in {visible(event.path)}", Colour.VERBOSE)
        if self._marker:
            self._terminal.banner("DRY RUN")

    def _play(self, event: PlayStarted) -> None:
        name = visible(event.name).strip()
        self._terminal.banner(f"PLAY [{name}]{self._marker}" if name else f"PLAY{self._marker}")
        self._tasks.clear()
        self._banner_of = ""

    def _no_hosts_matched(self, _event: NoHostsMatched) -> None:
        self._terminal.line("skipping: no hosts matched", Colour.SKIPPED)

    def _no_hosts_remaining(self, _event: NoHostsRemaining) -> None:
        self._terminal.banner("NO MORE HOSTS LEFT")

    def _task(self, event: TaskStarted) -> None:
        self._tasks[event.task_id] = event
        if self._look.shows_all:
            self._print_banner(event)

    def _print_banner(self, event: TaskStarted) -> None:
        args = f" {visible(event.args)}" if event.args else ""
        self._terminal.banner(f"{_BANNERS[event.kind]} [{visible(event.name).strip()}{args}]{self._marker}")
        if self._verbosity > 1:
            self._print_path(event)
        self._banner_of = event.task_id

    def _print_path(self, event: TaskStarted) -> None:
        if event.path:
            self._terminal.line(f"task path: {visible(event.path)}", Colour.DETAIL)

    def _is_shown(self, event: HostResult | ItemResult) -> bool:
        if event.status is Status.SKIPPED:
            return self._look.display_skipped_hosts
        included = event.action in _SILENT_ACTIONS
        return event.status is not Status.OK or event.changed or included or self._look.display_ok_hosts

    def _failure(self, line: str, colour: Colour) -> None:
        self._terminal.line(line, colour, error=self._look.display_failed_stderr)

    def _under_banner(self, task_id: str) -> None:
        # With the free strategy the results of several tasks mix.
        if self._banner_of != task_id and task_id in self._tasks:
            self._print_banner(self._tasks[task_id])

    def _result(self, event: HostResult) -> None:
        if not self._is_shown(event):
            return
        self._under_banner(event.task_id)
        if event.status is Status.OK and event.action in _SILENT_ACTIONS:
            return
        if event.diff and event.changed and not event.loop:
            self._diff(event)
        self._messages.of_result(event.result, event.error, standard_error=self._look.display_failed_stderr)
        result = debug_result(event.result) if event.action == "debug" else event.result
        label = _label(event)
        match event.status:
            case Status.OK:
                if not event.loop:
                    self._good(label, event, result)
            case Status.SKIPPED:
                self._skipped(event, result)
            case Status.FAILED:
                # Without its message nothing is left of what `debug` says, and the items were not all.
                if not event.loop or event.action == "debug":
                    if self._look.show_task_path_on_failure and event.task_id in self._tasks:
                        self._print_path(self._tasks[event.task_id])
                    self._failure(f"fatal: [{label}]: FAILED! => {self._dump(event, result)}", Colour.FAILED)
            case Status.UNREACHABLE:
                # Where every item of a loop was unreachable this line stands for all of them.
                line = f"fatal: [{label}]: UNREACHABLE! => {self._dump(event, event.result)}"
                self._failure(line, Colour.UNREACHABLE)
        if event.ignored:
            self._terminal.line("...ignoring", Colour.SKIPPED)

    def _good(self, label: str, event: HostResult | ItemResult, result: JsonObject, item: str = "") -> None:
        word, colour = ("changed", Colour.CHANGED) if event.changed else ("ok", Colour.OK)
        self._terminal.line(f"{word}: [{label}]{item}{self._details(event, result)}", colour)

    def _skipped(self, event: HostResult, result: JsonObject) -> None:
        if event.loop:
            result = {key: value for key, value in result.items() if key != "results"}
        self._terminal.line(f"skipping: [{_label(event, event.host)}]{self._details(event, result)}", Colour.SKIPPED)

    def _item(self, event: ItemResult) -> None:
        if (event.status is Status.OK and event.action in _SILENT_ACTIONS) or not self._is_shown(event):
            return
        self._under_banner(event.task_id)
        if event.diff and event.changed:
            self._diff(event)
        self._messages.of_result(event.result, event.error, standard_error=self._look.display_failed_stderr)
        result = debug_result(event.result) if event.action == "debug" else event.result
        label, item = _label(event), f"(item={visible(str(event.item))})"
        match event.status:
            case Status.OK:
                self._good(label, event, result, f" => {item}")
            case Status.SKIPPED:
                line = f"skipping: [{_label(event, event.host)}] => {item} {self._details(event, result)}"
                self._terminal.line(line, Colour.SKIPPED)
            case Status.FAILED | Status.UNREACHABLE:
                self._failure(f"failed: [{label}] {item} => {self._dump(event, result)}", Colour.FAILED)

    def _details(self, event: HostResult | ItemResult, result: JsonObject) -> str:
        if event.result.get("_ansible_verbose_override") or not (self._verbosity or self._always_shown(event)):
            return ""
        if event.action in _FACTS and event.status is Status.OK:
            return ""
        return f" => {self._dump(event, result)}"

    def _always_shown(self, event: HostResult | ItemResult) -> bool:
        return event.verbose_always or event.result.get("_ansible_verbose_always") is True

    def _dump(self, event: HostResult | ItemResult, result: JsonObject) -> str:
        if self._look.result_format == "yaml":
            from pybible.server.report.yaml_dump import dump_yaml

            return dump_yaml(shown_part(result, verbosity=self._verbosity), pretty=self._look.pretty)
        if self._look.result_format == "debug":
            from pybible.server.report.debug_dump import dump_debug

            return dump_debug(shown_part(result, verbosity=self._verbosity))
        pretty = self._always_shown(event) or self._look.pretty is True
        return dump_result(result, verbosity=self._verbosity, pretty=pretty)

    def _diff(self, event: HostResult | ItemResult) -> None:
        if not event.result.get("diff"):
            return
        text = render_diff(
            event.result["diff"],
            colour=self._terminal.colour,
            context=self._look.diff_context,
            limit=self._look.max_diff_size if event.action in _COMPARE_FILES else 0,
        )
        if text:
            self._terminal.line(text)

    def _retry(self, event: Retry) -> None:
        label, name = visible_line(event.label or event.host), visible(event.name)
        text = f"FAILED - RETRYING: [{label}]: {name} ({event.retries_left} retries left)."
        if self._verbosity > 2:
            text += f"Result was: {dump_result(event.result, verbosity=self._verbosity)}"
        self._terminal.line(text, Colour.DETAIL)

    def _async_poll(self, event: AsyncPoll) -> None:
        word = event.state.upper()
        text = f"ASYNC {word} on {visible_line(event.host)}: jid={visible_line(event.job_id)}"
        if event.state == "poll":
            text += f" started={event.started} finished={event.finished}"
        self._terminal.line(text, Colour.DETAIL)

    def _included(self, event: Included) -> None:
        text = f"included: {visible(event.name)} for {', '.join(map(visible_line, event.hosts))}"
        if event.item:
            text += f" => (item={visible(str(event.item))})"
        self._terminal.line(text, Colour.INCLUDED)

    def _custom_stats(self, event: CustomStats) -> None:
        self._stats[event.host] = event.data

    def _print_custom_stats(self) -> None:
        self._terminal.banner("CUSTOM STATS: ")
        hosts = {host: data for host, data in self._stats.items() if host != "_run"}
        for host in sorted(hosts):
            self._terminal.line(f"\t{visible_line(host)}: {_flat(hosts[host])}")
        if "_run" in self._stats:
            self._terminal.line("")
            self._terminal.line(f"\tRUN: {_flat(self._stats['_run'])}")
        self._terminal.line("")

    def _recap_line(self, host: str, counts: HostRecap) -> str:
        colour = self._terminal.colour
        name = visible_line(host)
        if colour:
            if counts.failed or counts.unreachable:
                kind = Colour.ERROR
            else:
                kind = Colour.CHANGED if counts.changed else Colour.OK
            name = f"{paint(name, kind, enabled=True):<37}"
        else:
            name = f"{name:<26}"
        fields = [self._count(word, getattr(counts, word), kind) for word, kind in _RECAP_COLOURS.items()]
        return f"{name} : {' '.join(fields)}"

    def _count(self, word: str, number: int, colour: Colour) -> str:
        return paint(f"{word}={number:<4}", colour, enabled=self._terminal.colour and number != 0)


def _label(event: HostResult | ItemResult, host: str = "") -> str:
    """Return the host as it stands in brackets, with the run that the result was taken from."""
    label = visible_line(host or event.label or event.host)
    return f"{label}, from run {event.from_run[-8:]}" if event.from_run else label


def _flat(data: JsonObject) -> str:
    return dump_value(data, indent=1).replace("\n", "")
