"""tree: each host's last result as a file of JSON in a folder, as Ansible's `tree` callback leaves them."""

from __future__ import annotations

from pybible.server.engine.model.paths import expanded
from pybible.server.report.callbacks import CallbackSetting
from pybible.server.report.dump import dump_result
from pybible.server.report.messages import Messages
from pybible.server.results.events import HostResult, Message, MessageLevel, RunEvent, Status
from pybible.server.results.recap import Recap


class Tree:
    """Writes to ANSIBLE_CALLBACK_TREE_DIR, else to ~/.ansible/tree."""

    def __init__(self, setting: CallbackSetting) -> None:
        self._folder = expanded(setting.option("ANSIBLE_CALLBACK_TREE_DIR", "~/.ansible/tree"))
        self._messages = Messages(setting.terminal)

    def __call__(self, event: RunEvent) -> None:
        """Write one host's result."""
        if not isinstance(event, HostResult) or event.status is Status.SKIPPED:
            return
        # A host's name is text from an inventory: it must stay inside the folder.
        name = event.host.replace("/", "_")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / (f"_{name}" if name in {".", ".."} else name)).write_text(dump_result(event.result))
        except OSError as error:
            text = f"Unable to write to {self._folder}/{name}: {error.strerror}"
            self._messages.show(Message(level=MessageLevel.WARNING, text=text))

    def recap(self, recap: Recap) -> None:
        """Write nothing more."""
