"""connections: what the name of a connection means where agents dial out: the control node, or the host's agent."""

from __future__ import annotations

from enum import Enum
from typing import Final

# What Ansible reaches a host with over SSH, by their short and their full names: here its agent stands for them.
_SSH: Final = frozenset({"ssh", "smart", "paramiko", "paramiko_ssh", "libssh", "ansible.netcommon.libssh"})
_AGENT: Final = frozenset({"pybible"})


class Place(Enum):
    """Where tasks run."""

    HERE = "the control node"
    AGENT = "the host's agent"


def place_of(connection: object) -> Place | None:
    """Return where a connection of that name runs tasks, None for one that there is not."""
    name = str(connection).removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")
    if name == "local":
        return Place.HERE
    return Place.AGENT if name in _SSH or name in _AGENT else None


def is_ssh(connection: object) -> bool:
    """Tell whether that is one of SSH's, which an agent stands for."""
    return place_of(connection) is Place.AGENT and str(connection) not in _AGENT


def unknown_connection(connection: object) -> str:
    """Return what is wrong with a connection that there is not."""
    return (
        f"the connection '{connection}' is not supported: a host is reached by its agent (pybible, or a name of SSH's),"
        " or it is this machine (local)"
    )
