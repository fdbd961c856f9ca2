"""settings: what ctl is told besides its options: environment, its own config file, ansible.cfg."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pybible.server.cli.ansible_config import AnsibleConfig, read_ansible_config
from pybible.server.engine.commands import LOOKUP_SECONDS
from pybible.server.engine.model.paths import expanded
from pybible.server.engine.watch import RENDER_SECONDS
from pybible.wire.errors import ConfigError, UsageError

DEFAULT_FORKS = 5
_YEAR = 366 * 24 * 3600.0
# How old facts may be that agents told by themselves.
FACTS_WITHIN = 300.0
_KNOWN = frozenset({"controller", "ansible", "facts", "signing_key"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`controller` as in --controller, empty for none; `inventory` sources, empty for none; `config_folder` is ours."""

    controller: str
    inventory: tuple[str, ...]
    forks: int
    roles_path: tuple[Path, ...]
    config_folder: Path
    state_folder: Path
    # Where ansible-core is; empty: it is looked for.
    ansible_core: str = ""
    # With what tasks are signed, None: they are not.
    signing_key: Path | None = None
    # Seconds: of computing for one template, and for a command of a lookup. 0: no limit.
    render_limit: float = RENDER_SECONDS
    lookup_limit: float = LOOKUP_SECONDS
    # Facts that agents told by themselves answer a play's gathering while they are no older, in seconds; 0: never.
    facts_within: float = FACTS_WITHIN
    # Whether what tasks print is shown while they run; None: with -v, on a terminal.
    live_output: bool | None = None
    # What ansible.cfg and its environment variables say.
    ansible: AnsibleConfig

    @property
    def show_custom_stats(self) -> bool:
        """Whether what set_stats collected is shown after the recap."""
        return self.ansible.flag("SHOW_CUSTOM_STATS")

    @property
    def stdout_callback(self) -> str:
        """The callback that shows a run."""
        return self.ansible.text("DEFAULT_STDOUT_CALLBACK")

    @property
    def ansible_config(self) -> Path | None:
        """Return the ansible.cfg that was read."""
        return self.ansible.path

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
    ansible = read_ansible_config(environment, directory=directory, home=home)
    forks = ansible.number("DEFAULT_FORKS")
    if forks < 1:
        raise UsageError("The number of processes (--forks) must be >= 1")
    named_key = environment.get("PYBIBLE_SIGNING_KEY") or ours.get("signing_key", "")
    usual_key = default_signing_key(config_folder)
    return Settings(
        controller=environment.get("PYBIBLE_CONTROLLER") or ours.get("controller", ""),
        inventory=ansible.words("DEFAULT_HOST_LIST") if "DEFAULT_HOST_LIST" in ansible.given else (),
        forks=forks,
        roles_path=ansible.paths("DEFAULT_ROLES_PATH"),
        config_folder=config_folder,
        ansible_core=environment.get("PYBIBLE_ANSIBLE") or ours.get("ansible", ""),
        signing_key=expanded(named_key) if named_key else usual_key if usual_key.exists() else None,
        state_folder=_xdg(environment, "XDG_STATE_HOME", home / ".local/state") / "pybible",
        render_limit=_seconds(environment, "PYBIBLE_RENDER_LIMIT", RENDER_SECONDS),
        live_output=_switch(environment, "PYBIBLE_LIVE_OUTPUT"),
        facts_within=_facts_within(environment.get("PYBIBLE_FACTS") or ours.get("facts", "smart")),
        lookup_limit=_seconds(environment, "PYBIBLE_LOOKUP_LIMIT", LOOKUP_SECONDS),
        ansible=ansible,
    )


def _switch(environment: Mapping[str, str], name: str) -> bool | None:
    text = environment.get(name) or None
    if text not in (None, "0", "1"):
        raise ConfigError(f"{name} must be 0 or 1, not {text!r}")
    return None if text is None else text == "1"


def _facts_within(text: str) -> float:
    """Return what `facts` means: smart, gather, or a number of seconds."""
    if text in ("smart", "gather"):
        return FACTS_WITHIN if text == "smart" else 0.0
    if text.isascii() and text.isdigit() and int(text) <= _YEAR:
        return float(text)
    raise ConfigError(f"facts must be 'smart', 'gather' or a number of seconds, not {text!r}")


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name)
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _YEAR:
        raise ConfigError(f"{name} must be a number of seconds, 0 for no limit, not {text!r}")
    return seconds


def default_signing_key(config_folder: Path) -> Path:
    """Return where an operator's signing key is, if nothing names another place."""
    return config_folder / "signing.key"


def _xdg(environment: Mapping[str, str], name: str, default: Path) -> Path:
    value = environment.get(name, "")
    # The specification: a relative path is to be ignored.
    return Path(value) if value.startswith("/") else default


def _read_toml(path: Path) -> dict[str, str]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}") from error
    for key, value in values.items():
        if key not in _KNOWN:
            raise ConfigError(f"{path}: unknown setting {key!r}", hint=f"Known settings: {', '.join(sorted(_KNOWN))}.")
        if not isinstance(value, str):
            raise ConfigError(f"{path}: {key} must be a string, not {value!r}")
    return values
