"""settings: what ctl is told besides its options: environment, its own config file, a few keys of ansible.cfg."""

from __future__ import annotations

import configparser
import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pybible.wire.errors import ConfigError, UsageError

DEFAULT_FORKS = 5
_ROLES_PATH = "~/.ansible/roles:/usr/share/ansible/roles:/etc/ansible/roles"
_KNOWN = frozenset({"controller"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`controller` as in --controller, empty for none; `inventory` sources, empty for none; `config_folder` is ours."""

    controller: str
    inventory: tuple[str, ...]
    forks: int
    roles_path: tuple[Path, ...]
    config_folder: Path
    state_folder: Path
    # What set_stats collected is shown after the recap.
    show_custom_stats: bool = False
    # The ansible.cfg that was read.
    ansible_config: Path | None = None

    @property
    def identity_folder(self) -> Path:
        """Where `login` keeps the operator's identity."""
        return self.config_folder / "operator"


def load_settings(
    environment: Mapping[str, str] = os.environ, *, directory: Path | None = None, home: Path | None = None
) -> Settings:
    """Read them; environment variables win over files. ConfigError when a file is wrong."""
    directory, home = directory or Path.cwd(), home or Path.home()
    config_folder = _xdg(environment, "XDG_CONFIG_HOME", home / ".config") / "pybible"
    ours = _read_toml(config_folder / "config.toml")
    path = _find_ansible_config(environment, directory, home)
    theirs, base = ({}, directory) if path is None else (_read_ansible_config(path), path.parent)
    inventory = environment.get("ANSIBLE_INVENTORY")
    roles = environment.get("ANSIBLE_ROLES_PATH")
    return Settings(
        controller=environment.get("PYBIBLE_CONTROLLER") or ours.get("controller", ""),
        inventory=_sources(inventory, directory) if inventory else _sources(theirs.get("inventory", ""), base),
        forks=_forks(environment.get("ANSIBLE_FORKS") or theirs.get("forks", "")),
        roles_path=_paths(roles, directory) if roles else _paths(theirs.get("roles_path", _ROLES_PATH), base),
        config_folder=config_folder,
        state_folder=_xdg(environment, "XDG_STATE_HOME", home / ".local/state") / "pybible",
        show_custom_stats=_is_true(environment.get("ANSIBLE_SHOW_CUSTOM_STATS") or theirs.get("show_custom_stats", "")),
        ansible_config=path,
    )


def _is_true(text: str) -> bool:
    return text.strip().lower() in {"1", "yes", "y", "true", "t", "on"}


def _xdg(environment: Mapping[str, str], name: str, default: Path) -> Path:
    value = environment.get(name, "")
    # The specification: a relative path is to be ignored.
    return Path(value) if value.startswith("/") else default


def _read_toml(path: Path) -> dict[str, str]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    for key, value in values.items():
        if key not in _KNOWN:
            raise ConfigError(f"{path}: unknown setting {key!r}", hint=f"Known settings: {', '.join(sorted(_KNOWN))}.")
        if not isinstance(value, str):
            raise ConfigError(f"{path}: {key} must be a string, not {value!r}")
    return values


def _find_ansible_config(environment: Mapping[str, str], directory: Path, home: Path) -> Path | None:
    named = environment.get("ANSIBLE_CONFIG")
    if named:
        path = Path(named).expanduser()
        path = path / "ansible.cfg" if path.is_dir() else path
        if path.is_file():
            return path
    here = directory / "ansible.cfg"
    # Whoever may write into the folder could otherwise decide what is run.
    if here.is_file() and not directory.stat().st_mode & stat.S_IWOTH:
        return here
    return next((path for path in (home / ".ansible.cfg", Path("/etc/ansible/ansible.cfg")) if path.is_file()), None)


def _read_ansible_config(path: Path) -> dict[str, str]:
    parser = configparser.ConfigParser(inline_comment_prefixes=(";",), interpolation=None, strict=False)
    try:
        parser.read_string(path.read_text(encoding="utf-8"), source=str(path))
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise ConfigError(f"Error reading config file ({path}): {error}") from error
    return dict(parser["defaults"]) if parser.has_section("defaults") else {}


def _sources(text: str, base: Path) -> tuple[str, ...]:
    """Return inventory sources: a list of hosts (`a,b,`) as it is, else paths, separated by commas."""
    text = text.strip()
    if not text:
        return ()
    parts = [part.strip() for part in text.split(",") if part.strip()]
    paths = [base / Path(part).expanduser() for part in parts]
    if len(parts) > 1 or text.endswith(","):
        return tuple(map(str, paths)) if all(path.exists() for path in paths) else (text,)
    return (str(paths[0]),)


def _paths(text: str, base: Path) -> tuple[Path, ...]:
    return tuple(base / Path(part.strip()).expanduser() for part in text.split(":") if part.strip())


def _forks(text: str) -> int:
    if not text.strip():
        return DEFAULT_FORKS
    try:
        forks = int(text)
    except ValueError:
        raise UsageError(f"forks must be a number, not {text!r}") from None
    if forks < 1:
        raise UsageError("The number of processes (--forks) must be >= 1")
    return forks
