"""fabric: the names under which storage networks know this host."""

from __future__ import annotations

from pybible.agent.facts.source import Collector, Host
from pybible.wire.values import JsonObject


def _fibre_channel(host: Host) -> JsonObject:
    names = [
        host.text(f"/sys/class/fc_host/{name}/port_name").strip().removeprefix("0x")
        for name in host.names("/sys/class/fc_host")
    ]
    return {"fibre_channel_wwn": [name for name in names if name]}


def _iscsi(host: Host) -> JsonObject:
    for line in host.lines("/etc/iscsi/initiatorname.iscsi"):
        if line.startswith("InitiatorName="):
            return {"iscsi_iqn": line.split("=", 1)[1].strip()}
    return {"iscsi_iqn": ""}


def _nvme(host: Host) -> JsonObject:
    lines = [line.strip() for line in host.lines("/etc/nvme/hostnqn") if line.startswith("nqn.")]
    return {"hostnqn": lines[0] if lines else ""}


FIBRE_CHANNEL = Collector(name="fibre_channel_wwn", collect=_fibre_channel)
ISCSI = Collector(name="iscsi", collect=_iscsi)
NVME = Collector(name="nvme", collect=_nvme)
