"""applied: what ansible.cfg says, for the parts of a run that it is meant for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pybible.server.cli.options import Asked
from pybible.server.cli.settings import Settings
from pybible.server.engine.model.paths import expanded
from pybible.server.engine.parsing.yaml_source import DuplicateKey
from pybible.server.engine.variables.fact_cache import FactCache, JsonFileCache
from pybible.server.engine.variables.scope import VariableOptions
from pybible.server.report.callbacks import Callback, CallbackSetting
from pybible.server.report.log_file import logged
from pybible.server.report.look import Look
from pybible.server.report.registry import added_callbacks, stdout_callback
from pybible.server.report.terminal import Terminal, standard_terminal
from pybible.server.results.recap import Recap
from pybible.wire.errors import ConfigError, ParseError, PybibleError

_BUILTIN: Final = ("ansible.builtin.", "ansible.legacy.")


def completed(asked: Asked, settings: Settings) -> Asked:
    """Add to the command line what ansible.cfg says."""
    config = settings.ansible
    method = config.text("DEFAULT_BECOME_METHOD") if "DEFAULT_BECOME_METHOD" in config.given else ""
    return replace(
        asked,
        diff=asked.diff or config.flag("DIFF_ALWAYS"),
        become=asked.become or config.flag("DEFAULT_BECOME"),
        become_user=asked.become_user or config.text("DEFAULT_BECOME_USER"),
        become_method=asked.become_method or method,
        verbose=asked.verbose + config.number("DEFAULT_VERBOSITY"),
        ask_vault=asked.ask_vault or config.flag("DEFAULT_ASK_VAULT_PASS"),
    )


def tags_with(given: Sequence[str], settings: Settings, name: str) -> tuple[str, ...]:
    """Return tags of the command line and those of ansible.cfg."""
    return tuple(dict.fromkeys((*settings.ansible.words(name), *given)))


def terminal_for(settings: Settings) -> Terminal:
    """Return this process's terminal, coloured and logged as ansible.cfg says. Raises ConfigError."""
    config = settings.ansible
    terminal = standard_terminal(
        force_colour=config.flag("ANSIBLE_FORCE_COLOR"), no_colour=config.flag("ANSIBLE_NOCOLOR")
    )
    path = config.text("DEFAULT_LOG_PATH")
    return logged(terminal, Path(path)) if path else terminal


def look_of(asked: Asked, settings: Settings) -> Look:
    """Return how the screen is to look."""
    config = settings.ansible
    pretty = config.values["PRETTY_RESULTS"]
    return Look(
        show_custom_stats=settings.show_custom_stats,
        display_ok_hosts=config.flag("DISPLAY_OK_HOSTS"),
        display_skipped_hosts=config.flag("DISPLAY_SKIPPED_HOSTS"),
        display_failed_stderr=config.flag("DISPLAY_FAILED_STDERR"),
        show_task_path_on_failure=config.flag("SHOW_TASK_PATH_ON_FAILURE"),
        check_mode_markers=asked.check and config.flag("CHECK_MODE_MARKERS"),
        result_format=config.text("RESULT_FORMAT"),
        pretty=None if pretty is None else bool(pretty),
        diff_context=config.number("DIFF_CONTEXT"),
        max_diff_size=config.number("MAX_FILE_SIZE_FOR_DIFF"),
        deprecation_warnings=config.flag("DEPRECATION_WARNINGS"),
        action_warnings=config.flag("ACTION_WARNINGS"),
    )


def callbacks_of(asked: Asked, settings: Settings, terminal: Terminal) -> tuple[Callback, list[Callback], list[str]]:
    """Return what shows the run, what adds to it, and warnings. ConfigError for a callback that is not there."""
    config = settings.ansible
    setting = CallbackSetting(
        terminal=terminal, verbosity=asked.verbose, look=look_of(asked, settings), options=os.environ
    )
    origin = config.given.get("DEFAULT_STDOUT_CALLBACK")
    shows = stdout_callback(config.text("DEFAULT_STDOUT_CALLBACK"), setting, named_in=str(origin or ""))
    adds, warnings = added_callbacks(config.words("CALLBACKS_ENABLED"), setting)
    return shows, adds, warnings


def warner(settings: Settings, show: Callable[[str], None]) -> Callable[[str], None]:
    """Return what takes warnings: a key that stands twice is one, an error or nothing, as ansible.cfg says."""
    wanted = settings.ansible.text("DUPLICATE_YAML_DICT_KEY")
    if wanted == "warn":
        return show

    def warn(text: str) -> None:
        if not isinstance(text, DuplicateKey):
            show(text)
        elif wanted == "error":
            raise ParseError(text.problem, origin=text.origin)

    return warn


def variable_options(settings: Settings, warn: Callable[[str], None]) -> VariableOptions:
    """Return how variables are put together."""
    config = settings.ansible
    return VariableOptions(
        merge=config.text("DEFAULT_HASH_BEHAVIOUR") == "merge",
        inject_facts=config.flag("INJECT_FACTS_AS_VARS"),
        fact_cache=_fact_cache(settings, warn),
    )


def _fact_cache(settings: Settings, warn: Callable[[str], None]) -> FactCache | None:
    """Return where facts are kept; what can't be used is a warning, and facts live for the run."""
    config = settings.ansible
    plugin, folder = config.text("CACHE_PLUGIN"), config.text("CACHE_PLUGIN_CONNECTION")
    match _short(plugin):
        case "memory":
            return None
        case "jsonfile" if not folder:
            warn("Required config '_uri' for 'jsonfile' cache plugin not provided.")
        case "jsonfile":
            prefix = config.text("CACHE_PLUGIN_PREFIX") if "CACHE_PLUGIN_PREFIX" in config.given else ""
            try:
                return JsonFileCache(
                    expanded(folder),
                    prefix=prefix,
                    timeout=config.number("CACHE_PLUGIN_TIMEOUT"),
                    warn=warn,
                )
            except ConfigError as error:
                warn(error.message)
        case _:
            warn(f"Unable to load the cache plugin {plugin!r}.")
    return None


def write_retry_file(playbook: Path, recap: Recap, settings: Settings) -> Path | None:
    """Write the names of hosts that are out into a file for `--limit @FILE`, when ansible.cfg asks for it.

    Return its path, None when there is none. Raises PybibleError.
    """
    if not settings.ansible.flag("RETRY_FILES_ENABLED"):
        return None
    names = sorted(name for name, counts in recap.hosts.items() if counts.failed or counts.unreachable)
    if not names:
        return None
    folder = Path(settings.ansible.text("RETRY_FILES_SAVE_PATH") or playbook.parent)
    path = folder / f"{playbook.stem}.retry"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    except OSError as error:
        raise PybibleError(f"Could not create retry file '{path}': {error.strerror}") from error
    return path


def _short(name: str) -> str:
    for prefix in _BUILTIN:
        name = name.removeprefix(prefix)
    return name
