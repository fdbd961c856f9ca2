"""config: what a controller may be told, by its TOML file and by flags. Flags win."""

from __future__ import annotations

import socket
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from pybible.server.controller.local_users import LocalRoles, read_local_users
from pybible.server.controller.pki.waiting import Admission, read_admissions
from pybible.server.controller.rights import Rule, read_rules
from pybible.wire.errors import ConfigError
from pybible.wire.tables import unknown_setting
from pybible.wire.tickets import DOOR_SUFFIX, door_path
from pybible.wire.values import JsonObject

_WILDCARDS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104  recognised, not bound
_SOCKET_PATH_BYTES = 107


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port to listen on. Port 0: any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_wildcard(self) -> bool:
        """Whether it means every interface, so that nobody can dial it."""
        return self.host in _WILDCARDS

    @staticmethod
    def parse(text: str) -> Address:
        """Read HOST:PORT, [IPV6]:PORT or :PORT. ConfigError for anything else."""
        host, colon, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in host) != bracketed:
            raise ConfigError(
                f"{text!r} is not an address to listen on", hint="Give HOST:PORT, for example 0.0.0.0:7150."
            )
        return Address(host.strip("[]") or "0.0.0.0", int(port))  # noqa: S104  what an operator means by ":PORT"


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerConfig:
    """All settings. Durations in seconds, sizes in bytes. `state` is a flag only; the rest may stand in the file."""

    state: Path
    listen: str = "0.0.0.0:7150"
    enroll_listen: str = "0.0.0.0:7151"
    # For operators with a certificate, who come from elsewhere. Empty: there are none, and no such port.
    operators_listen: str = ""
    # Empty: STATE/controller.sock.
    socket: str = ""
    # The group that may open it. Empty: its owner alone.
    socket_group: str = ""
    # The host under which agents reach this controller, for join tokens. Empty: worked out from `listen`.
    advertise: str = ""
    # A SQLAlchemy URL. Empty: STATE/controller.db.
    database: str = ""
    heartbeat_interval: float = 10.0
    disconnect_grace: float = 15.0
    # How long, after this controller was killed, ctls and agents may take to be back, and its runs wait for them.
    recovery_window: float = 90.0
    accept_timeout: float = 10.0
    # How long a peer may take until its connection is made, and an agent until it says hello.
    handshake_timeout: float = 10.0
    # Connections at once; each port has no more than its share of what this process may have open.
    connections: int = 50_000
    enroll_connections: int = 500
    operators_connections: int = 1000
    # For runs that ask for none, and the most that any run gets.
    forks: int = 5
    max_forks: int = 10_000
    token_ttl: float = 3600.0
    agent_certificate_ttl: float = 7 * 86400.0
    operator_certificate_ttl: float = 30 * 86400.0
    # Of the authority that signs those: a new one follows when a third of its time is left.
    issuing_authority_ttl: float = 730 * 86400.0
    # Enrolment requests a second from one address; ten times as many at once.
    enroll_rate: float = 100.0
    blob_limit: int = 16 * 1024**3
    # Blobs that nobody used for so long are removed.
    blob_unused_for: float = 14 * 86400.0
    # Runs that ended so long ago are removed, with their attempts and events. 0: never.
    runs_kept_for: float = 90 * 86400.0
    # How long a stopping controller waits for runs and streams to end.
    drain_timeout: float = 10.0
    log_level: str = "info"
    log_format: str = "line"
    # HOST:PORT for /metrics, /healthz and /readyz, without TLS. Empty: not served.
    metrics_listen: str = ""
    # How many hosts without a token may wait for an operator, in all and from one address.
    waiting_limit: int = 1000
    waiting_per_address: int = 100
    # What users of this machine may do: [local_users] in the file.
    local_users: LocalRoles = ()
    # What runners may do: [rules.NAME] in the file.
    rules: tuple[Rule, ...] = ()
    # Which hosts need no operator's decision: [admit.NAME] in the file.
    admit: tuple[Admission, ...] = ()

    @property
    def socket_path(self) -> Path:
        """Where operators on this machine connect."""
        return Path(self.socket) if self.socket else self.state / "controller.sock"

    def advertised_to_operators(self, listening: Address) -> str:
        """Return HOST:PORT under which operators reach their port: one interface of its own is where it says."""
        return self.advertised(listening) if listening.is_wildcard else str(listening)

    def advertised(self, listening: Address) -> str:
        """Return HOST:PORT under which others reach a port that listens on `listening`."""
        host = self.advertise or (socket.gethostname() if listening.is_wildcard else listening.host)
        return str(Address(host.strip("[]"), listening.port))


_choices: Mapping[str, tuple[str, ...]] = {
    "log_level": ("debug", "info", "warning", "error"),
    "log_format": ("line", "json"),
}
_tables: Mapping[str, Callable[..., object]] = {
    "rules": read_rules,
    "admit": read_admissions,
    "local_users": read_local_users,
}
# Durations in seconds: a hundred years are for ever.
_LONGEST = 100 * 366 * 86400.0
_may_be_zero = frozenset({"disconnect_grace", "recovery_window", "blob_unused_for", "runs_kept_for", "drain_timeout"})


def load_config(
    state: Path, *, file: Path | None = None, flags: Mapping[str, object] | None = None
) -> ControllerConfig:
    """Return the settings of `file` with `flags` (those that are not None) over them, checked. ConfigError if wrong."""
    config = ControllerConfig(state=state.absolute())
    if file is not None:
        config = replace(config, **_checked(_read(file), where=str(file)))
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    config = replace(config, **_checked(given, where="the command line"))
    for text in (config.listen, config.enroll_listen, *filter(None, (config.operators_listen, config.metrics_listen))):
        Address.parse(text)
    if len(bytes(door_path(config.socket_path))) > _SOCKET_PATH_BYTES:
        raise ConfigError(
            f"{config.socket_path} is too long for a socket ({_SOCKET_PATH_BYTES - len(DOOR_SUFFIX)} bytes at most)",
            hint="Name a shorter one with --socket PATH.",
        )
    return config


def _read(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 at byte {error.start}") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{file}: {error}") from error


def _checked(values: Mapping[str, object], *, where: str) -> JsonObject:
    """Return `values` with their types checked, integers turned to floats where those are meant."""
    defaults = {item.name: item.default for item in fields(ControllerConfig) if item.name != "state"}
    checked: JsonObject = {}
    for key, value in values.items():
        if key not in defaults:
            raise unknown_setting(key, sorted(defaults), where=where)
        if key in _tables:
            checked[key] = _tables[key](value, where=where)
            continue
        checked[key] = _value(key, value, default=defaults[key], where=where)
    return checked


def _value(key: str, value: object, *, default: object, where: str) -> object:
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool) and value <= _LONGEST:
        value = float(value)
    if type(value) is not type(default):
        wanted = {str: "a string", int: "a whole number", float: "a number"}[type(default)]
        raise ConfigError(f"{where}: {key} must be {wanted}, not {value!r}")
    if key in _choices and value not in _choices[key]:
        raise ConfigError(f"{where}: {key} must be one of {', '.join(_choices[key])}, not {value!r}")
    if isinstance(value, int | float) and (value < 0 or (value == 0 and key not in _may_be_zero)):
        bound = "0 or more" if key in _may_be_zero else "more than 0"
        raise ConfigError(f"{where}: {key} must be {bound}, not {value!r}")
    # Neither "nan" nor "inf".
    if isinstance(value, float) and not value <= _LONGEST:
        raise ConfigError(f"{where}: {key} must be at most {_LONGEST:g}, not {value!r}")
    return value
