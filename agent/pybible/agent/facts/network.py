"""network: interfaces, their addresses, and the way out."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping

import psutil

from pybible.agent.facts.source import Collector, Host, whole
from pybible.wire.values import JsonObject

# As in linux/if_arp.h.
_TYPES = {"1": "ether", "32": "infiniband", "512": "ppp", "772": "loopback", "65534": "tunnel"}
_SCOPES = {0x00: "global", 0x10: "host", 0x20: "link", 0x40: "site", 0x80: "compat"}
_PROMISCUOUS = 0x100
_UP = 0x1

# Any address far away does: nothing is sent, the kernel only says which way it would go.
_FAR_IPV4 = "8.8.8.8"
_FAR_IPV6 = "2404:6800:400a:800::1012"

_INTERFACES = "/sys/class/net"


def collect(host: Host) -> JsonObject:
    """Read the interfaces and the default routes."""
    interfaces = {name: _interface(host, name) for name in _names(host)}
    ipv4: list[str] = []
    _add_ipv4(interfaces, ipv4)
    ipv6 = _add_ipv6(host, interfaces)
    facts: JsonObject = {
        "interfaces": list(interfaces),
        "all_ipv4_addresses": [address for address in ipv4 if not address.startswith("127.")],
        "all_ipv6_addresses": [address for address in ipv6 if address != "::1"],
        "default_ipv4": _default_ipv4(host, interfaces),
        "default_ipv6": _default_ipv6(host, interfaces),
        "locally_reachable_ips": _local(interfaces, ipv4, ipv6),
    }
    for name, interface in interfaces.items():
        facts[name.replace("-", "_").replace(":", "_")] = interface
    return facts


def _names(host: Host) -> list[str]:
    return [name for name in host.names(_INTERFACES) if host.path(f"{_INTERFACES}/{name}").is_dir()]


def _interface(host: Host, name: str) -> JsonObject:
    folder = f"{_INTERFACES}/{name}"
    flags = whole(host.text(f"{folder}/flags"), base=16) or 0
    interface: JsonObject = {"device": name}
    address = host.text(f"{folder}/address")
    if address and address != "00:00:00:00:00:00":
        interface["macaddress"] = address
    mtu = whole(host.text(f"{folder}/mtu"))
    if mtu is not None:
        interface["mtu"] = mtu
    state = host.text(f"{folder}/operstate")
    interface["active"] = state != "down" if state else bool(flags & _UP)
    interface["type"] = _TYPES.get(host.text(f"{folder}/type"), "unknown")
    driver = host.path(f"{folder}/device/driver/module")
    if driver.is_symlink():
        interface["module"] = driver.resolve().name
    _add_members(host, folder, interface)
    device = host.path(f"{folder}/device")
    if device.is_symlink():
        interface["pciid"] = device.resolve().name
    speed = whole(host.text(f"{folder}/speed"))
    if speed is not None:
        interface["speed"] = speed
    interface["promisc"] = bool(flags & _PROMISCUOUS)
    return interface


def _add_members(host: Host, folder: str, interface: JsonObject) -> None:
    if host.exists(f"{folder}/bridge"):
        interface["type"] = "bridge"
        interface["interfaces"] = host.names(f"{folder}/brif")
        identifier = host.text(f"{folder}/bridge/bridge_id")
        if identifier:
            interface["id"] = identifier
        stp = host.text(f"{folder}/bridge/stp_state")
        if stp:
            interface["stp"] = stp == "1"
    if host.exists(f"{folder}/bonding"):
        interface["type"] = "bonding"
        interface["slaves"] = host.text(f"{folder}/bonding/slaves").split()
        interface["mode"] = (host.text(f"{folder}/bonding/mode").split() or [""])[0]
        interface["miimon"] = (host.text(f"{folder}/bonding/miimon").split() or [""])[0]
        interface["lacp_rate"] = (host.text(f"{folder}/bonding/lacp_rate").split() or [""])[0]
        primary = host.text(f"{folder}/bonding/primary")
        if primary:
            interface["primary"] = primary
            interface["all_slaves_active"] = host.text(f"{folder}/bonding/all_slaves_active") == "1"


def _add_ipv4(interfaces: dict[str, JsonObject], found: list[str]) -> None:
    for label, addresses in psutil.net_if_addrs().items():
        interface = interfaces.get(label.split(":")[0])
        if interface is None:
            continue
        for entry in addresses:
            if entry.family != socket.AF_INET or not entry.netmask:
                continue
            network = ipaddress.IPv4Network(f"{entry.address}/{entry.netmask}", strict=False)
            shown: JsonObject = {
                "address": entry.address,
                "broadcast": "" if network.is_loopback else entry.broadcast or "",
                "netmask": entry.netmask,
                "network": str(network.network_address),
                "prefix": str(network.prefixlen),
            }
            if "ipv4" not in interface:
                interface["ipv4"] = shown
            else:
                interface.setdefault("ipv4_secondaries", []).append(shown)
            found.append(entry.address)


def _add_ipv6(host: Host, interfaces: dict[str, JsonObject]) -> list[str]:
    found: list[str] = []
    for line in host.lines("/proc/net/if_inet6"):
        words = line.split()
        if len(words) < 6 or words[5] not in interfaces:
            continue
        number, prefix, kind = (whole(word, base=16) for word in (words[0], words[2], words[3]))
        if number is None or prefix is None or not 0 <= number < 1 << 128:
            continue
        address = str(ipaddress.IPv6Address(number))
        shown = {"address": address, "prefix": str(prefix), "scope": _SCOPES.get(kind or 0, "global")}
        interfaces[words[5]].setdefault("ipv6", []).append(shown)
        found.append(address)
    # The kernel's table is in the order of its hash: global addresses come first, as in ip's output.
    for interface in interfaces.values():
        interface.get("ipv6", []).sort(key=lambda entry: entry["scope"] != "global")
    return [entry["address"] for interface in interfaces.values() for entry in interface.get("ipv6", [])]


def _source(family: socket.AddressFamily, far: str) -> str:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 53))
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def _default_ipv4(host: Host, interfaces: Mapping[str, JsonObject]) -> JsonObject:
    address = _source(socket.AF_INET, _FAR_IPV4)
    if not address:
        return {}
    for name, interface in interfaces.items():
        for entry in (interface.get("ipv4"), *interface.get("ipv4_secondaries", [])):
            if entry and entry["address"] == address:
                return {**_gateway(host, name), "interface": name, **entry, **_link(interface), "alias": name}
    return {}


def _link(interface: JsonObject) -> JsonObject:
    return {"macaddress": interface.get("macaddress", ""), "mtu": interface.get("mtu"), "type": interface["type"]}


def _gateway(host: Host, name: str) -> JsonObject:
    best: tuple[int, str] | None = None
    for line in host.lines("/proc/net/route")[1:]:
        words = line.split()
        if len(words) > 7 and words[0] == name and words[1] == "00000000" and words[7] == "00000000":
            number, metric = whole(words[2], base=16), whole(words[6])
            if number is None or metric is None or not 0 <= number < 1 << 32:
                continue
            gateway = str(ipaddress.IPv4Address(number.to_bytes(4, "little")))
            best = min(best or (metric, gateway), (metric, gateway))
    return {"gateway": best[1]} if best and best[1] != "0.0.0.0" else {}  # noqa: S104  no address to listen on


def _default_ipv6(host: Host, interfaces: Mapping[str, JsonObject]) -> JsonObject:
    address = _source(socket.AF_INET6, _FAR_IPV6)
    if not address:
        return {}
    for name, interface in interfaces.items():
        for entry in interface.get("ipv6", []):
            if entry["address"] == address:
                return {**_gateway_ipv6(host, name), "interface": name, **entry, **_link(interface)}
    return {}


def _gateway_ipv6(host: Host, name: str) -> JsonObject:
    best: tuple[int, str] | None = None
    for line in host.lines("/proc/net/ipv6_route"):
        words = line.split()
        if len(words) == 10 and words[9] == name and words[1] == "00":
            number, metric = whole(words[4], base=16), whole(words[5], base=16)
            if not number or metric is None or not 0 < number < 1 << 128:
                continue
            route = (metric, str(ipaddress.IPv6Address(number)))
            best = min(best or route, route)
    return {"gateway": best[1]} if best else {}


def _local(interfaces: Mapping[str, JsonObject], ipv4: list[str], ipv6: list[str]) -> JsonObject:
    # What the kernel's table "local" holds: every own address, and the whole network of the loopback.
    networks = [
        f"{entry['network']}/{entry['prefix']}"
        for interface in interfaces.values()
        for entry in (interface.get("ipv4"), *interface.get("ipv4_secondaries", []))
        if entry and entry["address"].startswith("127.")
    ]
    return {
        "ipv4": sorted({*networks, *ipv4}),
        "ipv6": sorted(dict.fromkeys(ipv6), key=lambda address: address != "::1"),
    }


COLLECTOR = Collector(
    name="network",
    collect=collect,
    subsets=("all_ipv4_addresses", "all_ipv6_addresses", "default_ipv4", "default_ipv6", "interfaces"),
    needs=("platform", "distribution"),
)
