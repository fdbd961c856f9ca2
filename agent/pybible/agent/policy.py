"""policy: what this host refuses, whoever asks: a file of the host's own that wins over any controller."""

from __future__ import annotations

import os
import re
import stat
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NoReturn, Protocol

from pybible.agent.modules import registry
from pybible.wire.errors import ConfigError
from pybible.wire.tables import Convert, flag, module_names, texts
from pybible.wire.tasks import Signature, TaskSpec, is_brought, module_of, unusual_become

DEFAULT_PATH = Path("/etc/pybible/policy.toml")
_FILE_BYTES = 256 * 1024
# What looks and changes nothing may run where only check mode is allowed.
_LOOKING = frozenset(
    {"async_status", "fetch", "find", "getent", "mount_facts", "package_facts", "ping", "service_facts", "setup"}
    | {"slurp", "stat", "wait_for"}
)
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"(?:(\w{3})(?:-(\w{3}))?\s+)?(\d\d):(\d\d)-(\d\d):(\d\d)")
_MINUTES_A_DAY = 24 * 60
# As good as no limit: a hundred years.
_LONGEST = 100 * 366 * 86400.0


class Policy(Protocol):
    """Asked before an attempt is accepted."""

    @property
    def max_task_time(self) -> Limit | None:
        """How long a task may take."""

    @property
    def writable(self) -> tuple[str, ...] | None:
        """Below which paths tasks may write; None: wherever their user may."""

    def refusal(self, spec: TaskSpec, *, attempt_id: str = "", signature: Signature | None = None) -> str:
        """Return why the task is refused, empty when it is not."""

    def summary(self) -> Sequence[str]:
        """Return what it restricts, one setting an entry, for operators to see."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of seconds, and what is said when it is over."""

    seconds: float
    message: str


@dataclass(frozen=True, slots=True)
class AllowAll:
    """The host does what its controller asks."""

    max_task_time: Limit | None = None
    writable: tuple[str, ...] | None = None

    def refusal(self, spec: TaskSpec, *, attempt_id: str = "", signature: Signature | None = None) -> str:
        """Refuse nothing."""
        return ""

    def summary(self) -> Sequence[str]:
        """Return nothing: it restricts nothing."""
        return ()


@dataclass(frozen=True, slots=True)
class Hours:
    """A time of certain days, in minutes since midnight of the host's clock. An end before the start is tomorrow's."""

    days: frozenset[int]
    start: int
    end: int

    def __str__(self) -> str:
        days = ",".join(_DAYS[day].title() for day in sorted(self.days))
        return f"{days} {self.start // 60:02}:{self.start % 60:02}-{self.end // 60:02}:{self.end % 60:02}"

    def holds(self, moment: time.struct_time) -> bool:
        """Tell whether it is that time."""
        minute = moment.tm_hour * 60 + moment.tm_min
        if self.start < self.end:
            return moment.tm_wday in self.days and self.start <= minute < self.end
        early = (moment.tm_wday - 1) % 7 in self.days and minute < self.end
        return early or (moment.tm_wday in self.days and minute >= self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPolicy:
    """What the file says; None: it says nothing of it. `lines` are those of its settings, by their names."""

    path: Path
    allowed: tuple[str, ...] | None = None
    denied: tuple[str, ...] = ()
    native_only: bool = False
    become_users: tuple[str, ...] | None = None
    writable: tuple[str, ...] | None = None
    max_seconds: float | None = None
    hours: tuple[Hours, ...] | None = None
    check_only: bool = False
    require_signed: bool = False
    keys: Mapping[bytes, str] = field(default_factory=dict)
    # What this agent is called: operators sign for one of these.
    names: tuple[str, ...] = ()
    lines: Mapping[str, int] = field(default_factory=dict)
    # Whether this agent needs sudo to become anybody.
    by_sudo: bool = field(default_factory=lambda: os.geteuid() != 0)
    clock: Callable[[], time.struct_time] = time.localtime

    def refusal(self, spec: TaskSpec, *, attempt_id: str = "", signature: Signature | None = None) -> str:
        """Return why the task is refused, with the line that refuses it; empty when it is not."""
        if self.hours is not None and not any(each.holds(self.clock()) for each in self.hours):
            return self._no("time.hours", "it runs tasks at certain hours only")
        unsigned = self._signature_problem(spec, attempt_id, signature)
        if unsigned:
            return self._no("signed.require", unsigned)
        name, arguments = module_of(spec.module, spec.args)
        refused = self._module_refusal(spec, name)
        if refused:
            return refused
        if self.check_only and not spec.check and name not in _LOOKING:
            return self._no("tasks.check_only", "it runs tasks in check mode only")
        if self.check_only and is_brought(spec.module, spec.args):
            what = f"module '{name}' is not one of the agent's own, which alone are known to keep to check mode"
            return self._no("tasks.check_only", what)
        user = spec.become.user if spec.become is not None else ""
        if user and self.become_users is not None and user not in self.become_users:
            return self._no("become.users", f"no task becomes user '{user}'")
        program = unusual_become(spec.become) if self.by_sudo else ""
        if program:
            # Whatever the file restricts could be had by this way.
            return self._no(
                "become.users" if "become.users" in self.lines else next(iter(self.lines), "become.users"),
                f"no task becomes a user by {program}",
            )
        if self.max_seconds is not None and spec.module == "async_wrapper":
            limit = arguments.get("limit")
            if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit <= self.max_seconds:
                return self._no("time.max_task_seconds", f"a job may not take {limit} seconds")
        return ""

    @property
    def max_task_time(self) -> Limit | None:
        """How long a task may take."""
        if self.max_seconds is None:
            return None
        what = f"a task may take {self.max_seconds:g} seconds, and this one was ended"
        return Limit(self.max_seconds, self._no("time.max_task_seconds", what))

    def summary(self) -> tuple[str, ...]:
        """Return what it restricts, one setting an entry, for operators to see."""
        said = {
            "modules.allow": self.allowed,
            "modules.deny": self.denied or None,
            "modules.native_only": self.native_only or None,
            "become.users": self.become_users,
            "paths.write": self.writable,
            "time.max_task_seconds": self.max_seconds,
            "time.hours": tuple(map(str, self.hours)) if self.hours is not None else None,
            "tasks.check_only": self.check_only or None,
            "signed.require": self.require_signed or None,
            "signed.keys": tuple(self.keys.values()) if self.require_signed else None,
        }
        return tuple(f"{name}: {_shown(value)}" for name, value in said.items() if value is not None)

    def _signature_problem(self, spec: TaskSpec, attempt_id: str, signature: Signature | None) -> str:
        if not self.require_signed:
            return ""
        from pybible.wire.signing import problem_with

        return problem_with(signature, spec, attempt_id=attempt_id, names=self.names, keys=self.keys, now=time.time())

    def _module_refusal(self, spec: TaskSpec, name: str) -> str:
        if self.native_only and is_brought(spec.module, spec.args):
            return self._no("modules.native_only", f"module '{name}' is not one of the agent's own")
        if _matches(name, self.denied):
            return self._no("modules.deny", f"module '{name}' is denied")
        if self.allowed is not None and not _matches(name, self.allowed):
            return self._no("modules.allow", f"module '{name}' is not allowed")
        if self.allowed is not None and name in registry.NAMES and is_brought(spec.module, spec.args):
            return self._no("modules.allow", f"module '{name}' is allowed as the agent has it, and in no other form")
        return ""

    def _no(self, setting: str, what: str) -> str:
        return f"refused by this host's policy: {what} ({setting}, {self.path} line {self.lines.get(setting, 1)})"


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return "yes" if value is True else f"{value:g}" if isinstance(value, float) else str(value)


def load_policy(path: Path | None, *, names: tuple[str, ...] = ()) -> HostPolicy | None:
    """Read the policy of the host whose agent has these names: `path`, or the default one; None when there is none.

    ConfigError when it can't be read, when others than its owner may write it, or for anything wrong in it.
    """
    if path is None:
        if not DEFAULT_PATH.exists():
            return None
        path = DEFAULT_PATH
    try:
        info = path.stat()
        text = path.read_text("utf-8") if info.st_size <= _FILE_BYTES else ""
    except OSError as error:
        raise ConfigError(f"can't read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8") from error
    if info.st_size > _FILE_BYTES:
        raise ConfigError(f"{path}: larger than {_FILE_BYTES} bytes")
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(f"{path}: others than its owner may write it (chmod go-w {path})")
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    return replace(_Reader(path, text).read(found), names=names)


class _Reader:
    """Turns the file's tables into a policy."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = dict(_lines_of(text))

    def read(self, found: dict[str, object]) -> HostPolicy:
        values: dict[str, object] = {}
        for table, settings in found.items():
            if table not in {name.partition(".")[0] for name in _SETTINGS} or not isinstance(settings, dict):
                tables = sorted({name.partition(".")[0] for name in _SETTINGS})
                self._refuse(table, f"unknown table [{table}]; known are {', '.join(tables)}")
            for key, value in settings.items():
                name = f"{table}.{key}"
                if name not in _SETTINGS:
                    near = get_close_matches(name, _SETTINGS, n=1)
                    hint = f"; did you mean '{near[0]}'?" if near else f"; known are {', '.join(_SETTINGS)}"
                    self._refuse(name, f"unknown setting '{name}'{hint}")
                attribute, convert = _SETTINGS[name]
                try:
                    values[attribute] = convert(value)
                except ValueError as error:
                    self._refuse(name, f"{name} must be {error}, not {value!r}")
        return HostPolicy(path=self._path, lines=self._lines, **values)  # type: ignore[arg-type]  # each converted

    def _refuse(self, name: str, what: str) -> NoReturn:
        raise ConfigError(f"{self._path}:{self._lines.get(name, 1)}: {what}")


def _lines_of(text: str) -> Iterable[tuple[str, int]]:
    """Yield each table and setting with the line where it stands."""
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if found := re.match(r"\s*\[\s*(\w+)\s*\]", line):
            table = found[1]
            yield table, number
        elif found := re.match(r"\s*([\w.]+)\s*=", line):
            yield f"{table}.{found[1]}" if table else found[1], number


def _paths(value: object) -> tuple[str, ...]:
    paths = texts(value)
    if not all(path.startswith("/") for path in paths):
        raise ValueError("a list of absolute paths")
    return paths


def _keys(value: object) -> Mapping[bytes, str]:
    from pybible.wire.signing import read_public_keys

    return read_public_keys(texts(value))


def _seconds(value: object) -> float:
    # Neither "nan" nor "inf".
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LONGEST:
        raise ValueError("a number of seconds above 0")
    return float(value)


def _hours(value: object) -> tuple[Hours, ...]:
    return tuple(_span(text) for text in texts(value))


def _span(text: str) -> Hours:
    found = _HOURS.fullmatch(text.strip())
    problem = ValueError('a list of times like "Mon-Fri 08:00-18:00"')
    if not found:
        raise problem
    first, last = (found[1] or "mon").lower(), (found[2] or found[1] or "sun").lower()
    if first not in _DAYS or last not in _DAYS:
        raise problem
    start, end = int(found[3]) * 60 + int(found[4]), int(found[5]) * 60 + int(found[6])
    if start >= _MINUTES_A_DAY or end > _MINUTES_A_DAY or start == end:
        raise problem
    count = (_DAYS.index(last) - _DAYS.index(first)) % 7 + 1
    return Hours(frozenset((_DAYS.index(first) + day) % 7 for day in range(count)), start, end)


_SETTINGS: Mapping[str, tuple[str, Convert]] = {
    "modules.allow": ("allowed", module_names),
    "modules.deny": ("denied", module_names),
    "modules.native_only": ("native_only", flag),
    "become.users": ("become_users", texts),
    "paths.write": ("writable", _paths),
    "time.max_task_seconds": ("max_seconds", _seconds),
    "time.hours": ("hours", _hours),
    "tasks.check_only": ("check_only", flag),
    "signed.require": ("require_signed", flag),
    "signed.keys": ("keys", _keys),
}
