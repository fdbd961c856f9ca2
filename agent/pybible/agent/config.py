"""config: the agent's settings: defaults, then the TOML file, then the command line."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path

from pybible.wire.errors import ConfigError

_LEVELS = ("debug", "info", "warning", "error")
_LARGEST = 2**53
_FORMATS = ("line", "json")


def default_slots() -> int:
    """Return how many tasks run at once: twice the processors, at least 4, at most 16."""
    return max(4, min(16, 2 * (os.cpu_count() or 1)))


def default_state() -> Path:
    """Return where an agent keeps its identity and its journal."""
    if os.geteuid() == 0:
        return Path("/var/lib/pybible-agent")
    home = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    return Path(home, "pybible-agent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What can be set. Times in seconds, sizes in bytes."""

    # How many tasks run at once; 0: twice the processors, at least 4, at most 16.
    slots: int = 0
    # How many more may wait here before the controller is told that this host is busy.
    queue: int = 1024
    # HOST:PORT of the controller, instead of the one that the agent was enrolled with.
    controller: str = ""
    # An HTTP proxy through which the controller is dialled, e.g. "http://proxy.example:3128".
    proxy: str = ""
    # The file of what this host refuses; empty: /etc/pybible/policy.toml, if there is one.
    policy: str = ""
    log_level: str = "info"
    log_format: str = "line"
    # A file for node_exporter's textfile collector, NAME.prom in its folder. Empty: none is written.
    metrics_file: str = ""
    metrics_interval: float = 15.0
    # The longest pause between two tries to reach the controller.
    reconnect_limit: float = 60.0
    # The process starts itself anew after so long without a session. 0: never.
    restart_after: float = 900.0
    # How long running tasks may take to finish after SIGTERM before they are killed.
    drain_timeout: float = 30.0
    # How long a worker without work is kept.
    worker_idle: float = 60.0
    # After how long at the latest the host's facts are gathered and told to the controller again. 0: never told.
    facts_interval: float = 240.0
    # How much content of tasks is kept for the next time.
    blob_cache_bytes: int = 512 * 1024 * 1024


def load_config(path: Path | None) -> Config:
    """Read a TOML file; without one, the defaults. ConfigError with the file's name for anything wrong in it."""
    if path is None:
        return Config()
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"can't read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    return _checked(path, found)


def _checked(path: Path, found: dict[str, object]) -> Config:
    known = {each.name: each.default for each in fields(Config)}
    values: dict[str, object] = {}
    for name, value in found.items():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
            raise ConfigError(f"{path}: unknown setting {name!r}{hint}")
        values[name] = _typed(path, name, value, known[name])
    for name, choices in (("log_level", _LEVELS), ("log_format", _FORMATS)):
        if name in values and values[name] not in choices:
            raise ConfigError(f"{path}: {name} must be one of {', '.join(choices)}, not {values[name]!r}")
    return Config(**values)  # type: ignore[arg-type]  # each was checked against its default's type


def _typed(path: Path, name: str, value: object, default: object) -> object:
    kind = type(default)
    if kind is float and type(value) is int and abs(value) <= _LARGEST:
        value = float(value)
    if type(value) is not kind:
        word = {int: "a whole number", float: "a number", str: "text"}[kind]
        raise ConfigError(f"{path}: {name} must be {word}, not {value!r}")
    if isinstance(value, int | float) and value < 0:
        raise ConfigError(f"{path}: {name} must not be negative")
    # Neither "nan" nor "inf".
    if isinstance(value, int | float) and not value <= _LARGEST:
        raise ConfigError(f"{path}: {name} must be a number up to {_LARGEST}, not {value!r}")
    return value
