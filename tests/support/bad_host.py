"""bad_host: a host that answers with a template in every field, and playbooks that pass its answers on."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent

from pybible.server.engine.dispatcher import Outcome, Target
from pybible.server.engine.executor.options import RunOptions
from pybible.server.report.screen import Screen
from pybible.server.report.terminal import Terminal
from pybible.server.results.events import TaskStarted
from pybible.wire.tasks import TaskSpec
from tests.support.plays import Played, play


@dataclass(frozen=True, slots=True)
class BadHost:
    """A host whose every answer holds `text`; rendered, it would make the file `marker`."""

    marker: Path

    @property
    def text(self) -> str:
        """The template."""
        return f"{{{{ lookup('pipe', 'touch {self.marker}') }}}}"

    def __call__(self, _target: Target, spec: TaskSpec) -> Outcome:
        """Answer any module."""
        text = self.text
        result: dict[str, object] = {
            "changed": True,
            "msg": text,
            "stdout": text,
            "stderr": text,
            "nested": {"deep": [text, {text: text}]},
            "pairs": [{"key": text, "value": text}],
            "by_name": {text: text},
            "encoded": base64.b64encode(text.encode()).decode(),
            "json": json.dumps({"inside": text}),
            "yaml": f'inside: "{text}"\nmarked: !unsafe "{text}"\n'
            if spec.module == "command"
            else f'inside: "{text}"',
            "content": base64.b64encode(f'fetched: "{text}"\n'.encode()).decode(),
            "encoding": "base64",
            "warnings": [text],
            "diff": {"before": text, "after": text},
            "invocation": {"module_args": {"data": text}},
            "ansible_facts": {
                "ansible_evil": text,
                "plain_evil": text,
                "evil_list": [text],
                "evil_map": {"key": text},
                "ansible_local": {"own": {"evil": text}},
            },
        }
        if spec.module == "stat":
            return Outcome(result={"changed": False, "failed": True, "msg": text, "exception": text, "rc": text})
        if spec.module == "slurp":
            result["content"] = result["encoded"]
        if spec.module in ("copy", "file"):
            result = {"changed": True, "dest": text, "path": text}
        return Outcome(result=result)


def holds(value: object, text: str) -> bool:
    """Whether `text` stands anywhere in a value."""
    if isinstance(value, Mapping):
        return any(holds(key, text) or holds(item, text) for key, item in value.items())
    if isinstance(value, list):
        return any(holds(item, text) for item in value)
    return isinstance(value, str) and text in value


def screen_of(played: Played) -> str:
    """Return all that an operator sees of a run, with -vvv."""
    shown: list[str] = []
    screen = Screen(Terminal(out=shown.append, err=shown.append, colour=False), verbosity=3)
    for event in played.events:
        screen(event)
    return "".join(shown)


async def run(
    folder: Path,
    bad: BadHost,
    tasks: str,
    *,
    handlers: str = "",
    after: str = "",
    files: Mapping[str, str] | None = None,
    options: RunOptions | None = None,
) -> Played:
    """Ask h1 and h2, then run these tasks on h1, with these handlers; `after` are more plays."""
    book = (
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - {name: ask, ping: , register: answer}\n"
        "- hosts: h1\n  gather_facts: false\n  tasks:\n"
        + indent(dedent(tasks), "    ")
        + f"\n  handlers: [{handlers}]\n"
        + dedent(after)
    )
    played = await play(folder, book, hosts=("h1", "h2"), answer=bad, files=files, options=options)
    assert not bad.marker.exists(), "what a host answered was run"
    return played


def looks(played: Played) -> list[dict[str, object]]:
    """Return the results of the tasks called `look`, those of roles too."""
    names = {event.task_id: event.name for event in played.events if isinstance(event, TaskStarted)}
    return [dict(result.result) for result in played.results() if names[result.task_id].endswith("look")]
