"""registry: every callback by its Ansible name: one shows the run, others may add to it."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, cast

from pybible.server.report.callbacks import Callback, CallbackSetting
from pybible.wire.errors import ConfigError

# Name: module of this package and its class. Nothing is imported for it.
STDOUT: Final[Mapping[str, tuple[str, str]]] = {
    "default": ("screen", "Screen"),
    "yaml": ("screen", "Screen"),
    "debug": ("screen", "Screen"),
    "minimal": ("minimal", "Minimal"),
    "oneline": ("oneline", "OneLine"),
    "dense": ("dense", "Dense"),
    "json": ("json_document", "JsonDocument"),
}
ADDED: Final[Mapping[str, tuple[str, str]]] = {
    "timer": ("timer", "Timer"),
    "profile_tasks": ("profile", "ProfileTasks"),
    "profile_roles": ("profile", "ProfileRoles"),
    "junit": ("junit", "JUnit"),
    "tree": ("tree", "Tree"),
}
_COLLECTIONS: Final = frozenset({"ansible.builtin", "ansible.legacy", "ansible.posix", "community.general"})
# These write results in a way of their own.
_FORMATS: Final = frozenset({"yaml", "debug"})


def short_name(name: str) -> str:
    """Return a callback's name without that of the collection that has it."""
    collection, _, short = name.rpartition(".")
    return short if collection in _COLLECTIONS else name


def stdout_callback(name: str, setting: CallbackSetting, *, named_in: str = "") -> Callback:
    """Return the callback that shows the run. Raises ConfigError, with the nearest name, for one that is not there."""
    short = short_name(name)
    if short not in STDOUT:
        near = difflib.get_close_matches(short, STDOUT, n=1)
        hints = [f"Did you mean {near[0]!r}?"] if near else []
        if short in ADDED:
            hints.append(f"{short!r} adds to what is shown: it belongs into callbacks_enabled.")
        hints += [f"It is named in {named_in}."] if named_in else []
        raise ConfigError(
            f"Could not load '{name}' callback plugin.", hint=" ".join([*hints, f"There are: {', '.join(STDOUT)}."])
        )
    if short in _FORMATS:
        setting = replace(setting, look=replace(setting.look, result_format=short))
    return _made(STDOUT[short], setting)


def added_callbacks(names: Iterable[str], setting: CallbackSetting) -> tuple[list[Callback], list[str]]:
    """Return the callbacks that add to what is shown, and a warning for each name that is none."""
    found: list[Callback] = []
    warnings: list[str] = []
    for name in dict.fromkeys(map(str.strip, names)):
        short = short_name(name)
        if short in ADDED:
            found.append(_made(ADDED[short], setting))
        elif short not in STDOUT:
            near = difflib.get_close_matches(short, ADDED, n=1)
            hint = f". Did you mean {near[0]!r}?" if near else ""
            warnings.append(f"Skipping callback plugin '{name}', unable to load{hint}")
    return found, warnings


def _made(place: tuple[str, str], setting: CallbackSetting) -> Callback:
    module, class_name = place
    maker = getattr(importlib.import_module(f"pybible.server.report.{module}"), class_name)
    if module == "screen":
        return cast("Callback", maker(setting.terminal, verbosity=setting.verbosity, look=setting.look))
    return cast("Callback", maker(setting))
