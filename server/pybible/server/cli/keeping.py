"""keeping: a run of ctl's as it is kept, from its first event to its exit status."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pybible.server.cli.extra_vars import extra_vars
from pybible.server.cli.kept import KeptCommand, KeptCommands, Told, digest_of_values, digests_of, update_command
from pybible.server.cli.options import Asked
from pybible.server.client.opener import ControllerOpener
from pybible.server.engine.executor.replay import Recorded, events_of
from pybible.server.engine.model.paths import expanded
from pybible.server.engine.model.play import Node, Playbook, Task
from pybible.server.results.events import PlaybookStarted, RunEvent
from pybible.wire.errors import ExitStatus

if TYPE_CHECKING:
    from pybible.server.cli.playing import PlaybookRun

# What of a command is kept in a way of its own, or belongs to how it is called this time.
_APART = ("asked", "earlier", "playbooks")


class Keeping:
    """Sees the events of a run, and keeps what resuming it takes. Nothing that goes wrong here ends the run."""

    def __init__(self, folder: Path) -> None:
        self._commands = KeptCommands(folder)
        self._command: KeptCommand | None = None
        self._opener: ControllerOpener | None = None
        self._folder: Path | None = None
        self._told: Told | None = None
        self._exit_status: int | None = None
        self._before: Mapping[str, Sequence[Recorded]] = {}

    def begin(
        self, command: KeptCommand, opener: ControllerOpener, *, before: Mapping[str, Sequence[Recorded]]
    ) -> None:
        """Keep the runs that are opened from now on as those of this command, which takes over `before`."""
        self._command, self._opener, self._before = command, opener, before

    def __call__(self, event: RunEvent) -> None:
        """Take an event."""
        if isinstance(event, PlaybookStarted):
            # Only what can't be kept is lost: the run goes on.
            with contextlib.suppress(OSError, ValueError, TypeError):
                self._opened()
        if self._told is not None:
            self._told(event)

    def ended(self, exit_status: int) -> None:
        """Note how it ended."""
        self._exit_status = exit_status

    def close(self) -> None:
        """Write down how it ended, if it did. Of a run that came to a good end nothing is left to resume."""
        if self._folder is None or self._told is None:
            return
        self._told.flush()
        with contextlib.suppress(OSError, ValueError, TypeError):
            update_command(self._folder, exit_status=self._exit_status, whole=self._told.whole)
        self._told.close(forget=self._exit_status == ExitStatus.OK)
        self._told = None

    def _opened(self) -> None:
        current = self._opener.current if self._opener is not None else None
        if current is None or self._command is None:
            return
        self._command = replace(self._command, runs=(*self._command.runs, current.run_id))
        if self._folder is None:
            folder = self._commands.keep(self._command, before=events_of(self._before))
            self._told = Told(folder)
            self._folder = folder
        else:
            update_command(self._folder, runs=self._command.runs)


def kept_command(
    wanted: PlaybookRun, asked: Asked, *, controller: str, sources: Sequence[str], playbooks: Iterable[Playbook]
) -> KeptCommand:
    """Return what is kept of a command: `wanted` as it was given, `asked` with which it runs."""
    inline = inline_values(asked.extra_vars)
    salt = secrets.token_hex(16)
    loaded = list(playbooks)
    files = [
        *(playbook.path for playbook in loaded),
        *sorted({Path(file) for playbook in loaded for file in _task_files(playbook)}),
        *(expanded(source) for source in sources if "," not in source),
        *_beside(loaded, sources),
        *(expanded(text.strip()[1:]) for text in asked.extra_vars if _is_file(text)),
    ]
    given = {name: value for name, value in asdict(wanted.asked).items() if name != "extra_vars"}
    rest = {name: getattr(wanted, name) for name in wanted.__slots__ if name not in _APART}
    earlier = wanted.earlier
    return KeptCommand(
        started=time.time(),
        directory=str(Path.cwd()),
        controller=controller,
        options={"asked": given, "playbooks": [str(path) for path in wanted.playbooks], **rest},
        extra_vars=tuple(text.strip() if _is_file(text) else "" for text in asked.extra_vars if text.strip()),
        inline=tuple(sorted(map(str, inline))),
        salt=salt,
        inline_digest=digest_of_values(inline, salt=salt) if inline else "",
        files=digests_of(files),
        resumes=earlier.run_id if earlier is not None and earlier.hosts is not None else "",
        retries=earlier.run_id if earlier is not None and earlier.hosts is None else "",
    )


def inline_values(texts: Iterable[str]) -> Mapping[str, object]:
    """Return the variables of -e options that stand on the command line themselves. PybibleError for what is none."""
    return extra_vars([text for text in texts if not _is_file(text)])


def _is_file(text: str) -> bool:
    return text.strip().startswith("@")


def _beside(playbooks: Sequence[Playbook], sources: Sequence[str]) -> list[Path]:
    """Return the folders of variables that belong to playbooks and inventories."""
    folders = [playbook.path.parent for playbook in playbooks]
    folders += [expanded(source).parent for source in sources if "," not in source and not expanded(source).is_dir()]
    return [folder / name for folder in dict.fromkeys(folders) for name in ("group_vars", "host_vars")]


def _task_files(playbook: Playbook) -> Iterable[str]:
    """Return the files in which the tasks of a playbook stand, as far as they are known before it runs."""
    for play in playbook.plays:
        yield play.origin.file
        waiting: list[Node] = [*play.blocks, *play.handlers]
        while waiting:
            node = waiting.pop()
            yield node.origin.file
            if not isinstance(node, Task):
                waiting += [*node.block, *node.rescue, *node.always]
