"""firewalld: opens and closes what firewalld guards, now and for good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from pybible.agent.modules import firewall
from pybible.agent.modules.api import Change, Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.firewall import Firewall
from pybible.wire.values import JsonObject, JsonValue

_NOT_RUNNING = (
    "firewall is not currently running, unable to perform immediate actions without a running firewall daemon"
)
_OFFLINE = "(offline operation: only on-disk configs were altered)"
_SERVICES = "Services are defined by port/tcp relationship and named as they are in /etc/services (on most systems)"
_PERMANENT_ONLY = (
    "Zone operations must be permanent. Make sure you didn't set the 'permanent' flag to 'false' or the 'immediate' "
    "flag to 'true'."
)
_DEFAULT_TARGET = "default"
# Settings of a zone, and what firewall-cmd calls them.
_LISTED = {
    "icmp_block": "icmp-block",
    "service": "service",
    "protocol": "protocol",
    "port": "port",
    "rich_rule": "rich-rule",
    "source": "source",
    "interface": "interface",
}
_SWITCHED = {"icmp_block_inversion": "icmp-block-inversion", "forward": "forward", "masquerade": "masquerade"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of firewalld."""

    state: Literal["absent", "disabled", "enabled", "present"] = arg(
        doc="whether the setting is to be there; `absent` and `present` for zones and targets"
    )
    zone: str | None = arg(default=None, doc="the zone, the default one unless said otherwise")
    service: str | None = arg(default=None, doc="a service that firewalld knows")
    port: str | None = arg(default=None, doc="`PORT/PROTOCOL` or `FIRST-LAST/PROTOCOL`")
    protocol: str | None = arg(default=None, doc="a protocol")
    port_forward: list[dict[str, JsonValue]] | None = arg(
        default=None, doc="one port that is passed on: `port`, `proto`, `toport`, `toaddr`"
    )
    rich_rule: str | None = arg(default=None, doc="a rule in firewalld's rich language")
    source: str | None = arg(default=None, doc="an address or network that belongs to the zone")
    interface: str | None = arg(default=None, doc="an interface that belongs to the zone")
    icmp_block: str | None = arg(default=None, doc="a type of ICMP that is blocked")
    icmp_block_inversion: bool | None = arg(default=None, doc="block all types but those")
    forward: bool | None = arg(default=None, doc="pass packets on between interfaces of the zone")
    masquerade: bool | None = arg(default=None, doc="hide the addresses of what is passed on")
    target: Literal["default", "ACCEPT", "DROP", "%%REJECT%%"] | None = arg(
        default=None, doc="what becomes of packets for which there is no rule"
    )
    permanent: bool = arg(default=False, doc="for good; works without a running firewalld too")
    immediate: bool = arg(default=False, doc="now; without `permanent` always")
    offline: bool = arg(default=False, doc="leave `immediate` out when firewalld does not run")
    timeout: int = arg(default=0, doc="seconds after which the setting goes again; not a permanent one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting: how to ask for it, how to make it so, and the words of the result."""

    holds: Callable[[bool], bool]
    put: Callable[[bool], object]
    said: tuple[str, ...]
    hint: str = ""


def plan(args: Args, context: Context) -> Plan:
    """Ask whether the setting is there, permanently and now, as far as that counts."""
    permanent, immediate = args.permanent, args.immediate or not args.permanent
    wall = firewall.find(context)
    if not wall.running:
        if not permanent or (immediate and not args.offline):
            raise ModuleError(_NOT_RUNNING)
        immediate = False
    setting = _setting(args, wall, immediate)
    said = [_words(permanent, immediate)] if setting else []
    ending = [] if wall.running else [_OFFLINE]
    if setting is None:
        return Unchanged(values={"msg": ", ".join([*said, *ending])})
    try:
        layers = [layer for layer, counts in ((True, permanent), (False, immediate)) if counts]
        missing = [layer for layer in layers if not setting.holds(layer)]
    except ModuleError as error:
        raise _explained(error, said, setting) from error
    if not missing:
        return Unchanged(values={"msg": ", ".join([*said, *ending])})
    msg = ", ".join([*said, *setting.said, *ending])
    return Change(apply=partial(_apply, setting, missing, msg, said))


def _words(permanent: bool, immediate: bool) -> str:
    if permanent and immediate:
        return "Permanent and Non-Permanent(immediate) operation"
    return "Permanent operation" if permanent else "Non-permanent operation"


def _explained(error: ModuleError, said: list[str], setting: Setting) -> ModuleError:
    if "INVALID_ZONE" in error.msg or "INVALID_RULE" in error.msg:
        return error
    return ModuleError(f"{error.msg} {', '.join([*said, *([setting.hint] if setting.hint else [])])}")


def _apply(setting: Setting, missing: list[bool], msg: str, said: list[str]) -> JsonObject:
    try:
        for permanent in missing:
            setting.put(permanent)
    except ModuleError as error:
        raise _explained(error, said, setting) from error
    return {"msg": msg}


def _setting(args: Args, wall: Firewall, immediate: bool) -> Setting | None:
    """Return the one setting that the arguments name, None when they name none."""
    named = [name for name in (*_LISTED, *_SWITCHED, "port_forward", "target") if getattr(args, name) is not None]
    if args.state in ("absent", "present") and named not in ([], ["target"]):
        raise ModuleError("absent and present state can only be used in zone level operations")
    zone = args.zone
    if not named:
        if args.state in ("enabled", "disabled") or zone is None:
            return None
        if immediate:
            raise ModuleError(_PERMANENT_ONLY)
        return _zone(args, wall, zone)
    name = named[0]
    zone = zone or wall.tell("--get-default-zone", permanent=False)
    if name == "target":
        return _target(args, wall, zone, immediate)
    if name in _SWITCHED:
        return _switched(args, wall, zone, name)
    return _listed(args, wall, zone, name)


def _listed(args: Args, wall: Firewall, zone: str, name: str) -> Setting:
    value = _forwarded(args) if name == "port_forward" else str(getattr(args, name))
    if name == "port" and "/" not in value:
        raise ModuleError("improper port format (missing protocol?)")
    option = _LISTED.get(name, "forward-port")
    wanted = args.state == "enabled"
    place = f"--zone={zone}"
    verb = "remove" if not wanted else "change" if name == "interface" else "add"
    if name == "source":
        said = f"Added {value} to zone {zone}" if wanted else f"Removed {value} from zone {zone}"
    elif name == "interface":
        said = f"Changed {value} to zone {zone}" if wanted else f"Removed {value} from zone {zone}"
    else:
        said = f"Changed {'icmp-block' if name == 'icmp_block' else name} {value} to {args.state}"

    def put(permanent: bool) -> None:
        timeout = [f"--timeout={args.timeout}"] if wanted and args.timeout and not permanent else []
        wall.tell(place, f"--{verb}-{option}={value}", *timeout, permanent=permanent)

    return Setting(
        holds=lambda permanent: wall.has(place, f"--query-{option}={value}", permanent=permanent) is wanted,
        put=put,
        said=(said,),
        hint=_SERVICES if name == "service" else "",
    )


def _forwarded(args: Args) -> str:
    items = args.port_forward or []
    if len(items) != 1:
        raise ModuleError("Only one port forward supported at a time")
    item = items[0]
    for key, shown in (("port", "port"), ("proto", "proto udp/tcp"), ("toport", "toport")):
        if not item.get(key):
            raise ModuleError(f"{shown} must be specified for port forward")
    return f"port={item['port']}:proto={item['proto']}:toport={item['toport']}:toaddr={item.get('toaddr') or ''}"


def _switched(args: Args, wall: Firewall, zone: str, name: str) -> Setting:
    value = bool(getattr(args, name))
    # `false` and disabled is as good as `true` and enabled.
    wanted = value is (args.state == "enabled")
    option, place = _SWITCHED[name], f"--zone={zone}"
    if name == "icmp_block_inversion":
        said = f"Changed icmp-block-inversion {value} to {args.state}"
    else:
        said = f"Added {name} to zone {zone}" if wanted else f"Removed {name} from zone {zone}"
    verb = "add" if wanted else "remove"
    return Setting(
        holds=lambda permanent: wall.has(place, f"--query-{option}", permanent=permanent) is wanted,
        put=lambda permanent: wall.tell(place, f"--{verb}-{option}", permanent=permanent),
        said=(said,),
    )


def _zone(args: Args, wall: Firewall, zone: str) -> Setting:
    wanted = args.state == "present"
    verb, done = ("new", "Added") if wanted else ("delete", "Removed")
    return Setting(
        holds=lambda permanent: (zone in wall.tell("--get-zones", permanent=permanent).split()) is wanted,
        put=lambda permanent: wall.tell(f"--{verb}-zone={zone}", permanent=permanent),
        said=(f"{done} zone {zone}", f"Changed zone {zone} to {args.state}"),
    )


def _target(args: Args, wall: Firewall, zone: str, immediate: bool) -> Setting:
    if immediate:
        raise ModuleError(_PERMANENT_ONLY)
    sets = args.state in ("present", "enabled")
    target = str(args.target) if sets else _DEFAULT_TARGET
    said = f"Set zone {zone} target to {target}" if sets else f"Reset zone {zone} target to default"
    place = f"--zone={zone}"
    return Setting(
        holds=lambda permanent: wall.tell(place, "--get-target", permanent=permanent) == target,
        put=lambda permanent: wall.tell(place, f"--set-target={target}", permanent=permanent),
        said=(said,),
    )


MODULE = Module(
    name="ansible.posix.firewalld",
    args=Args,
    plan=plan,
    mutually_exclusive=(
        (
            "icmp_block", "icmp_block_inversion", "service", "protocol", "port", "port_forward", "rich_rule",
            "interface", "forward", "masquerade", "source", "target",
        ),
    ),
    required_by=(("interface", ("zone",)), ("target", ("zone",)), ("source", ("permanent",))),
)  # fmt: skip
