"""fleet_pages: the list of agents, which a controller gives a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybible.wire.errors import ProtocolError

if TYPE_CHECKING:
    from pybible.v1 import fleet_pb2


def next_page(answer: fleet_pb2.ListAgentsResponse, after: str) -> str:
    """Return the name after which the list of agents goes on, empty at its end. ProtocolError for one without end."""
    if answer.next and (answer.next <= after or not answer.agents):
        raise ProtocolError("the controller's list of agents does not come to an end")
    return answer.next
