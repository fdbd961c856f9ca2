"""naming: name servers, the LSB's names, and SSH host keys."""

from __future__ import annotations

from pybible.agent.facts.source import Collector, Host
from pybible.wire.values import JsonObject, JsonValue

_KEYS = ("dsa", "rsa", "ecdsa", "ed25519")
_KEY_FOLDERS = ("/etc/ssh", "/etc/openssh", "/etc")


def _dns(host: Host) -> JsonObject:
    dns: JsonObject = {}
    for line in host.lines("/etc/resolv.conf"):
        words = line.split()
        if not words or words[0].startswith(("#", ";")):
            continue
        if words[0] == "nameserver":
            dns.setdefault("nameservers", []).extend(words[1:])
        elif words[0] == "domain" and len(words) > 1:
            dns["domain"] = words[1]
        elif words[0] in ("search", "sortlist"):
            dns[words[0]] = words[1:]
        elif words[0] == "options":
            options: dict[str, JsonValue] = {}
            for word in words[1:]:
                name, colon, value = word.partition(":")
                options[name] = value if colon else True
            dns["options"] = options
    return {"dns": dns}


def _assignments(host: Host, name: str) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in host.lines(name) if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, value in pairs}


def _lsb(host: Host) -> JsonObject:
    lsb: JsonObject = {}
    found = _assignments(host, "/etc/lsb-release")
    for name, key in (
        ("id", "DISTRIB_ID"),
        ("description", "DISTRIB_DESCRIPTION"),
        ("release", "DISTRIB_RELEASE"),
        ("codename", "DISTRIB_CODENAME"),
    ):
        if key in found:
            lsb[name] = found[key]
    if not lsb and host.exists("/usr/bin/lsb_release"):
        lsb = _from_os_release(_assignments(host, "/etc/os-release"))
    if "release" in lsb:
        lsb["major_release"] = lsb["release"].split(".")[0]
    return {"lsb": lsb}


def _from_os_release(found: dict[str, str]) -> JsonObject:
    # What the program lsb_release itself does on a host without lsb-release; asking it costs a process.
    identifier = found.get("ID", "")
    return {
        "id": found.get("LSB_ID") or identifier[:1].upper() + identifier[1:] or "n/a",
        "description": found.get("PRETTY_NAME", "n/a"),
        "release": found.get("VERSION_ID", "n/a"),
        "codename": found.get("VERSION_CODENAME", "n/a"),
    }


def _ssh_keys(host: Host) -> JsonObject:
    facts: JsonObject = {}
    for folder in _KEY_FOLDERS:
        for kind in _KEYS:
            words = host.text(f"{folder}/ssh_host_{kind}_key.pub").split()
            if len(words) >= 2:
                facts[f"ssh_host_key_{kind}_public"] = words[1]
                facts[f"ssh_host_key_{kind}_public_keytype"] = words[0]
        if facts:
            break
    return facts


DNS = Collector(name="dns", collect=_dns, minimal=True)
LSB = Collector(name="lsb", collect=_lsb, minimal=True)
SSH_KEYS = Collector(
    name="ssh_pub_keys",
    collect=_ssh_keys,
    subsets=(
        "ssh_host_key_dsa_public", "ssh_host_key_ecdsa_public", "ssh_host_key_ed25519_public",
        "ssh_host_key_rsa_public", "ssh_host_pub_keys",
    ),
    minimal=True,
)  # fmt: skip
