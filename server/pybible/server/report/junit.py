"""junit: a playbook as a JUnit file, as Ansible's `junit` callback writes it: each host's task is a test case.

Options: JUNIT_OUTPUT_DIR, JUNIT_TASK_CLASS, JUNIT_TASK_RELATIVE_PATH, JUNIT_FAIL_ON_CHANGE, JUNIT_FAIL_ON_IGNORE,
JUNIT_INCLUDE_SETUP_TASKS_IN_REPORT, JUNIT_TEST_CASE_PREFIX. A task's arguments are not in its name: they may be secret.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePath
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from pybible.server.engine.model.paths import expanded
from pybible.server.report.callbacks import CallbackSetting
from pybible.server.report.dump import dump_result
from pybible.server.report.messages import Messages
from pybible.server.report.visible import visible
from pybible.server.results.events import (
    HostResult,
    Included,
    Message,
    MessageLevel,
    PlaybookStarted,
    PlayStarted,
    RunEvent,
    Status,
    TaskStarted,
)
from pybible.server.results.recap import Recap

_EXPECTED_FAILURE = "EXPECTED FAILURE"
_TOGGLE = "TOGGLE RESULT"
_SETUP = frozenset({"setup", "gather_facts"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One test case. `kind` is empty (passed), skipped, failure or error."""

    class_name: str
    name: str
    seconds: float
    kind: str
    text: str
    message: str = ""


class JUnit:
    """Collects results, and writes a file at the end of each playbook."""

    def __init__(self, setting: CallbackSetting) -> None:
        self._setting = setting
        self._clock = setting.clock
        self._messages = Messages(setting.terminal)
        self._folder = expanded(setting.option("JUNIT_OUTPUT_DIR", "~/.ansible.log"))
        self._relative_to = setting.option("JUNIT_TASK_RELATIVE_PATH")
        self._prefix = setting.option("JUNIT_TEST_CASE_PREFIX")
        self._playbook = "playbook"
        self._play = ""
        self._tasks: dict[str, tuple[TaskStarted, float]] = {}
        self._cases: list[_Case] = []

    def __call__(self, event: RunEvent) -> None:
        """Take one event."""
        match event:
            case PlaybookStarted():
                self._playbook = PurePath(event.path).stem
            case PlayStarted():
                self._play = event.name
            case TaskStarted():
                self._tasks.setdefault(event.task_id, (event, self._clock()))
            case HostResult() if event.task_id in self._tasks:
                self._result(event, *self._tasks[event.task_id])
            case Included() if event.task_id in self._tasks:
                task, started = self._tasks[event.task_id]
                if not self._prefix:
                    text = f"{event.name}: [{', '.join(event.hosts)}]"
                    self._add(task, "include", started, kind="", text=text)
            case _:
                pass

    def recap(self, recap: Recap) -> None:
        """Write the file, and begin anew."""
        path = self._folder / f"{self._playbook}-{self._clock()}.xml"
        document = ElementTree(self._document())
        indent(document, "\t")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            document.write(path, encoding="utf-8", xml_declaration=True)
        except OSError as error:
            text = f"could not write {path}: {error.strerror}"
            self._messages.show(Message(level=MessageLevel.WARNING, text=text))
        self._cases, self._tasks = [], {}

    def _result(self, event: HostResult, task: TaskStarted, started: float) -> None:
        if event.action in _SETUP and not self._setting.flag("JUNIT_INCLUDE_SETUP_TASKS_IN_REPORT", default=True):
            return
        kind = self._kind(event, task)
        if self._prefix and not task.name.startswith(self._prefix) and kind not in {"failure", "error"}:
            return
        if kind == "skipped":
            self._add(task, event.host, started, kind=kind, text=str(event.result.get("skip_reason", "skipped")))
            return
        pretty = event.verbose_always and not event.loop
        text = dump_result(event.result, pretty=True, indent=4 if pretty else 0)
        message = event.error.partition("\n")[0] or str(
            event.result.get("msg", "rc=" + str(event.result.get("rc", "")))
        )
        text = event.error or text if kind == "error" else text
        self._add(task, event.host, started, kind=kind, text=text, message=message)

    def _kind(self, event: HostResult, task: TaskStarted) -> str:
        toggled = _TOGGLE in task.name
        match event.status:
            case Status.SKIPPED:
                return "skipped"
            case Status.OK:
                unwanted = event.changed and self._setting.flag("JUNIT_FAIL_ON_CHANGE")
                return "failure" if toggled or unwanted else ""
            case _:
                if event.ignored and not self._setting.flag("JUNIT_FAIL_ON_IGNORE"):
                    return ""
                return "" if toggled or _EXPECTED_FAILURE in task.name else "error" if event.error else "failure"

    def _add(self, task: TaskStarted, host: str, started: float, *, kind: str, text: str, message: str = "") -> None:
        place = task.path
        if self._relative_to and place:
            place = os.path.relpath(place, self._relative_to)
        if self._setting.flag("JUNIT_TASK_CLASS"):
            place = place.rpartition(":")[0].removesuffix(".yml")
        name = f"[{host}] {self._play}: {task.name}"
        seconds = self._clock() - started
        case = _Case(class_name=place, name=name, seconds=seconds, kind=kind, text=text, message=message)
        self._cases.append(case)

    def _document(self) -> Element:
        counts = {
            "disabled": 0,
            "errors": sum(case.kind == "error" for case in self._cases),
            "failures": sum(case.kind == "failure" for case in self._cases),
        }
        more = {"tests": len(self._cases), "time": sum(case.seconds for case in self._cases)}
        root = Element("testsuites", {key: str(value) for key, value in {**counts, **more}.items()})
        skipped = sum(case.kind == "skipped" for case in self._cases)
        suite = {**counts, "name": self._playbook, "skipped": skipped, **more}
        element = SubElement(root, "testsuite", {key: str(value) for key, value in suite.items()})
        for case in self._cases:
            found = {"classname": case.class_name, "name": case.name, "time": str(case.seconds)}
            self._outcome(SubElement(element, "testcase", {key: visible(text) for key, text in found.items()}), case)
        return root

    def _outcome(self, element: Element, case: _Case) -> None:
        if case.kind in {"failure", "error"}:
            inside = SubElement(element, case.kind, {"message": visible(case.message), "type": case.kind})
        else:
            inside = SubElement(element, case.kind or "system-out")
        inside.text = visible(case.text)
