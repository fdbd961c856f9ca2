"""sockets: the host's TCP connections, as the kernel lists them."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_STATES = {
    "01": "ESTABLISHED", "02": "SYN_SENT", "03": "SYN_RECV", "04": "FIN_WAIT1", "05": "FIN_WAIT2", "06": "TIME_WAIT",
    "07": "CLOSE", "08": "CLOSE_WAIT", "09": "LAST_ACK", "0A": "LISTEN", "0B": "CLOSING",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One connection."""

    local: str
    local_port: int
    remote: str
    state: str


def connections(root: Path = Path("/proc/net")) -> Iterator[Connection]:
    """Read /proc/net/tcp and tcp6."""
    for name in ("tcp", "tcp6"):
        file = root / name
        lines = file.read_text(encoding="ascii").splitlines()[1:] if file.exists() else []
        for line in lines:
            fields = line.split()
            local, _, port = fields[1].partition(":")
            yield Connection(
                local=address(local),
                local_port=int(port, 16),
                remote=address(fields[2].partition(":")[0]),
                state=_STATES.get(fields[3], "NONE"),
            )


def address(text: str) -> str:
    """Return the address that the kernel writes as words in its own byte order; a mapped one as what it maps."""
    data = b"".join(struct.pack("=I", int(text[at : at + 8], 16)) for at in range(0, len(text), 8))
    found = ipaddress.ip_address(data)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)
