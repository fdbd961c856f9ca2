"""look: how the screen shows a run, as ansible.cfg can ask for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pybible.server.report.differences import CONTEXT_LINES

MAX_DIFF_SIZE: Final = 104448


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is shown, and how. The fields are settings of Ansible's default callback."""

    show_custom_stats: bool = False
    display_ok_hosts: bool = True
    display_skipped_hosts: bool = True
    display_failed_stderr: bool = False
    show_task_path_on_failure: bool = False
    # The run is in check mode, and headings are to say so.
    check_mode_markers: bool = False
    # "json", "yaml", or "debug" for the callback of that name. `pretty` None: one line for JSON, what is easy to read
    # for YAML.
    result_format: str = "json"
    pretty: bool | None = None
    diff_context: int = CONTEXT_LINES
    max_diff_size: int = MAX_DIFF_SIZE
    deprecation_warnings: bool = True
    action_warnings: bool = True

    @property
    def shows_all(self) -> bool:
        """Whether every task has a result that is shown, so that its heading can come before the first of them."""
        return self.display_ok_hosts and self.display_skipped_hosts
