"""virtual: whether the host is a guest or a container, of what, and what it can host itself."""

from __future__ import annotations

import re

from pybible.agent.facts.source import Collector, Host
from pybible.wire.values import JsonObject

# Found in the firmware's product name, then vendor -> Ansible's word.
_PRODUCTS = (
    (r"^(KVM|Bochs|AHV)|KVM", "kvm"),
    (r"^RHEV Hypervisor|^oVirt Node|^OpenStack", "kvm"),
    (r"VMware|^VMware", "VMware"),
    (r"^VirtualBox|VirtualBox", "virtualbox"),
    (r"^Virtual Machine$", "VirtualPC"),
    (r"^HVM domU", "xen"),
    (r"Parallels", "parallels"),
    (r"^Google Compute Engine|^Alibaba Cloud ECS|^Hetzner|^Droplet|^Linode|^Exoscale", "kvm"),
)
_VENDORS = (
    (r"^QEMU|^oVirt|^Red Hat$|^Nutanix|^Amazon EC2|^DigitalOcean|^Hetzner|^Google|^Scaleway|^Alibaba", "kvm"),
    (r"^VMware", "VMware"),
    (r"^innotek|^Oracle Corporation$", "virtualbox"),
    (r"^Xen", "xen"),
    (r"^Parallels", "parallels"),
    (r"^OpenStack", "openstack"),
)

_CONTAINERS = {"lxc": "lxc", "podman": "podman", "docker": "docker", "systemd-nspawn": "container"}


def collect(host: Host) -> JsonObject:
    """Look inside out: containers first, then the machine, then what the host offers."""
    guest: list[str] = []
    kind = _container(host, guest) or _machine(host, guest)
    hosting = _hosting(host)
    role = "guest" if kind else ""
    if not kind and hosting:
        kind, role = hosting[0], "host"
    return {
        "virtualization_type": kind or "NA",
        "virtualization_role": role or "NA",
        "virtualization_tech_guest": sorted(set(guest)),
        "virtualization_tech_host": hosting,
    }


def _container(host: Host, guest: list[str]) -> str:
    kind = ""
    groups = host.text("/proc/1/cgroup")
    named = re.search(r"(?:^|\0)container=([^\0]*)", host.text("/proc/1/environ"))
    if host.exists("/.dockerenv") or host.exists("/.dockerinit") or re.search(r"/docker(/|-[0-9a-f]+\.scope)", groups):
        kind = "docker"
    elif host.exists("/run/.containerenv"):
        kind = "podman"
    elif re.search(r"/(lxc|machine\.slice/machine-lxc)", groups):
        kind = "lxc"
    elif host.exists("/proc/vz") and not host.exists("/proc/bc"):
        kind = "openvz"
    elif named:
        kind = _CONTAINERS.get(named[1], "container")
    if kind:
        guest += [kind, "container"] if kind != "container" else ["container"]
    return kind


def _machine(host: Host, guest: list[str]) -> str:
    product = host.text("/sys/devices/virtual/dmi/id/product_name").strip()
    vendor = host.text("/sys/devices/virtual/dmi/id/sys_vendor").strip()
    kind = ""
    if host.exists("/proc/xen") and "control_d" not in host.text("/proc/xen/capabilities"):
        kind = "xen"
    for text, table in ((product, _PRODUCTS), (vendor, _VENDORS)):
        kind = kind or next((word for pattern, word in table if text and re.search(pattern, text)), "")
    if vendor == "Microsoft Corporation" and product == "Virtual Machine":
        kind = "VirtualPC"
    if not kind and re.search(r"^(model name|vendor_id)\s*:.*QEMU", host.text("/proc/cpuinfo"), re.MULTILINE):
        kind = "kvm"
    if not kind and host.text("/sys/hypervisor/type") == "xen":
        kind = "xen"
    if kind:
        guest.append(kind)
    return kind


def _hosting(host: Host) -> list[str]:
    modules = {line.split(" ", 1)[0] for line in host.lines("/proc/modules")}
    found = []
    if host.exists("/dev/kvm") or "kvm" in modules:
        found.append("kvm")
    if "vboxdrv" in modules:
        found.append("virtualbox")
    if "control_d" in host.text("/proc/xen/capabilities"):
        found.append("xen")
    return found


COLLECTOR = Collector(
    name="virtual",
    collect=collect,
    subsets=(
        "virtualization_role", "virtualization_tech_guest", "virtualization_tech_host", "virtualization_type",
    ),
)  # fmt: skip
