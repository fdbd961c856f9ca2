"""ansible_config: ansible.cfg and its ANSIBLE_* variables, read by the table of ansible_keys."""

from __future__ import annotations

import configparser
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pybible.server.cli.ansible_keys import KEYS, Key
from pybible.wire.errors import ExitStatus, Origin, SourceError

_TRUE: Final = frozenset({"y", "yes", "on", "1", "true", "t"})
_WORLD_WRITABLE: Final = (
    "Ansible is being run in a world writable directory ({}), ignoring it as an ansible.cfg source. For more "
    "information see https://docs.ansible.com/ansible/devel/reference_appendices/config.html#cfg-in-world-writable-dir"
)
_LINE: Final = re.compile(r"\[line\s+(\d+)\]")


class AnsibleConfigError(SourceError):
    """A setting is wrong, at a place in ansible.cfg or in an environment variable."""

    exit_status = ExitStatus.BAD_OPTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsibleConfig:
    """What ansible.cfg and the environment say; `values` by the names of the table, `given` those that are no defaults.

    `path` is the file that was read. `warnings` and `deprecations` are for the operator.
    """

    values: Mapping[str, object]
    given: Mapping[str, Origin]
    path: Path | None = None
    warnings: tuple[str, ...] = ()
    deprecations: tuple[str, ...] = ()

    def flag(self, name: str) -> bool:
        """Return a boolean."""
        return bool(self.values[name])

    def number(self, name: str) -> int:
        """Return an integer."""
        value = self.values[name]
        return value if isinstance(value, int) else 0

    def text(self, name: str) -> str:
        """Return text, empty for none."""
        value = self.values[name]
        return "" if value is None else str(value)

    def words(self, name: str) -> tuple[str, ...]:
        """Return a list's entries."""
        value = self.values[name]
        return tuple(str(word) for word in value if word != "") if isinstance(value, list) else ()

    def paths(self, name: str) -> tuple[Path, ...]:
        """Return a list of paths."""
        return tuple(Path(word) for word in self.words(name))


def read_ansible_config(environment: Mapping[str, str], *, directory: Path, home: Path) -> AnsibleConfig:
    """Find and read it; environment variables win over the file. Raises AnsibleConfigError, with the place."""
    path, warnings = _find(environment, directory, home)
    reader = _Reader(environment, path, directory=directory, home=home)
    values: dict[str, object] = {}
    given: dict[str, Origin] = {}
    deprecations: list[str] = []
    for key in KEYS:
        values[key.name], origin = reader.value(key)
        if origin is not None:
            given[key.name] = origin
            if key.deprecated:
                deprecations.append(_deprecation(key))
    return AnsibleConfig(
        values=values, given=given, path=path, warnings=tuple(warnings), deprecations=tuple(deprecations)
    )


def _deprecation(key: Key) -> str:
    reason, _, alternatives = key.deprecated.partition("|")
    return (
        f"{key.name} option. Reason: {reason}\nAlternatives: {alternatives.rstrip('.')}. "
        "This feature will be removed from ansible-core version 2.23."
    )


def _find(environment: Mapping[str, str], directory: Path, home: Path) -> tuple[Path | None, list[str]]:
    """Return the file that counts, and what is to be said of one that does not."""
    named = _named(environment.get("ANSIBLE_CONFIG"), directory, home)
    here = directory / "ansible.cfg"
    # Whoever may write into the folder could otherwise decide what is run.
    anybody = bool(directory.stat().st_mode & stat.S_IWOTH)
    candidates = [named, None if anybody else here, home / ".ansible.cfg", Path("/etc/ansible/ansible.cfg")]
    found = next((path for path in candidates if path is not None and path.exists() and os.access(path, os.R_OK)), None)
    warned = anybody and here.exists() and (found is None or found != named)
    return found, [_WORLD_WRITABLE.format(directory)] if warned else []


def _named(text: str | None, directory: Path, home: Path) -> Path | None:
    if text is None:
        return None
    path = directory / _expanded(text, home)
    return path / "ansible.cfg" if path.is_dir() else path


def _expanded(text: str, home: Path) -> str:
    if text == "~" or text.startswith("~/"):
        text = str(home) + text[1:]
    return os.path.expandvars(text)


class _Reader:
    """Looks settings up, one after the other."""

    def __init__(self, environment: Mapping[str, str], path: Path | None, *, directory: Path, home: Path) -> None:
        self._environment = environment
        self._path = path
        self._directory = directory
        self._home = home
        self._text = ""
        self._parser = configparser.RawConfigParser(inline_comment_prefixes=(";",))
        # The setting ANSIBLE_HOME, once it is read.
        self._ansible_home = str(home / ".ansible")
        if path is not None:
            self._read(path)
        home_key = next(key for key in KEYS if key.name == "ANSIBLE_HOME")
        self._ansible_home = str(self.value(home_key)[0])

    def _read(self, path: Path) -> None:
        if path.suffix not in (".cfg", ".ini"):
            raise AnsibleConfigError(f"Unsupported configuration file extension for {path}: {path.suffix}")
        try:
            self._text = path.read_text(encoding="utf-8")
            self._parser.read_string(self._text)
        except UnicodeDecodeError as error:
            raise AnsibleConfigError(
                f"Error reading config file({path}) because the config file was not utf8 encoded: {error}"
            ) from error
        except configparser.Error as error:
            line = _LINE.search(str(error))
            origin = Origin(str(path), int(line.group(1)), 1) if line else Origin(str(path))
            raise AnsibleConfigError(f"Error reading config file ({path}): {error}", origin=origin) from error
        except OSError as error:
            raise AnsibleConfigError(f"Error reading config file ({path}): {error.strerror}") from error

    def value(self, key: Key) -> tuple[object, Origin | None]:
        """Return a setting, and where it was given; None for a default."""
        text, origin, base = self._given(key)
        if text is None or origin is None:
            return self._default(key), None
        try:
            value = self._converted(key.kind, _unquoted(text) if origin.line else text, base)
        except ValueError:
            if not text and not origin.line:
                # An empty variable is none.
                return self._default(key), None
            raise AnsibleConfigError(
                f"Config {key.name!r} from {origin.file!r} has an invalid value: "
                f"Invalid value provided for {key.kind!r}: {text!r}",
                origin=origin if origin.line else None,
            ) from None
        if key.choices and value not in key.choices:
            raise AnsibleConfigError(
                f"Invalid value {value!r} for config {key.name!r}.",
                origin=origin if origin.line else None,
                hint=f"Valid values are: {', '.join(key.choices)}",
            )
        return value, origin

    def _given(self, key: Key) -> tuple[str | None, Origin | None, Path]:
        for name in reversed(key.env):
            if name in self._environment:
                return self._environment[name], Origin(f"env: {name}"), self._directory
        for section, option in reversed(key.ini):
            if self._path is not None and self._parser.has_option(section, option):
                return self._parser.get(section, option), self._place(section, option), self._path.parent
        return None, None, self._directory

    def _place(self, section: str, option: str) -> Origin:
        """Return where a key stands in the file."""
        inside, path = False, str(self._path)
        for number, line in enumerate(self._text.splitlines(), 1):
            stripped = line.strip()
            if stripped.startswith("["):
                inside = stripped.startswith(f"[{section}]")
            elif inside and re.match(rf"{re.escape(option)}\s*[=:]", stripped, re.IGNORECASE):
                return Origin(path, number, len(line) - len(line.lstrip()) + 1)
        return Origin(path, 1)

    def _default(self, key: Key) -> object:
        default = key.default
        if isinstance(default, tuple):
            return list(default)
        if not isinstance(default, str):
            return default
        return self._converted(key.kind, default.replace("{home}", self._ansible_home), self._directory)

    def _converted(self, kind: str, text: str, base: Path) -> object:
        """Return what the text means. ValueError for what can't be."""
        match kind:
            case "boolean":
                return text.strip().lower() in _TRUE
            case "integer":
                return _integer(text)
            case "float":
                return float(text)
            case "list":
                return [_unquoted(word.strip()) for word in text.split(",")] if text else []
            case "path":
                return self._path_of(text, base)
            case "pathspec":
                return [self._path_of(word.strip(), base) for word in text.split(":") if word.strip()]
            case "inventory":
                return self._sources(text, base)
        return text

    def _sources(self, text: str, base: Path) -> list[str]:
        """Return inventory sources: a list of hosts (`a,b,`) as it is, else paths, separated by commas."""
        words = [word.strip() for word in text.split(",") if word.strip()]
        paths = [self._path_of(word, base) for word in words]
        if len(words) > 1 or text.strip().endswith(","):
            return paths if all(Path(path).exists() for path in paths) else [text.strip()]
        return paths

    def _path_of(self, text: str, base: Path) -> str:
        text = text.replace("{{CWD}}", str(self._directory))
        return os.path.normpath(base / _expanded(text, self._home))


def _integer(text: str) -> int:
    from decimal import Decimal, InvalidOperation  # few settings are numbers

    try:
        number = Decimal(text.strip())
        if number == int(number):
            return int(number)
    except (InvalidOperation, OverflowError):
        pass
    raise ValueError(text)


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" and text[-2] != "\\"
    return text[1:-1] if quoted else text
