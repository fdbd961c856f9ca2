"""options: what the operator asked for on the command line, as far as the executor is concerned."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """One for a run. Empty tags mean all; `gathering` is implicit, explicit or smart."""

    forks: int = 5
    check: bool = False
    diff: bool = False
    verbosity: int = 0
    tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()
    force_handlers: bool = False
    # A task's name or a glob: nothing before it is run.
    start_at_task: str = ""
    # Ask before each task.
    step: bool = False
    any_errors_fatal: bool = False
    gathering: str = "implicit"
    strategy: str = "linear"
    # Connection and become of everything that does not say otherwise.
    connection: str | None = None
    become: bool = False
    become_user: str = "root"
    become_method: str = ""
    become_flags: str = ""
    become_exe: str = ""
    # no_log of everything that does not say otherwise.
    no_log: bool = False
    # A limit for every task, in seconds; 0 for none.
    task_timeout: int = 0
    poll_interval: int = 15
    # How much of a running task's output is shown live, in bytes; 0 for nothing.
    output_limit: int = 0
    # Facts that agents told by themselves answer a play's gathering while they are no older, in seconds; 0: never.
    facts_within: float = 0.0
    # What the notification of a handler that does not exist is.
    error_on_missing_handler: bool = True
