"""tickets: how operators on the controller's machine show who they are. gRPC's Python can't ask the kernel who calls.

Beside the operators' socket lies another, the door. Whoever connects there is told a ticket, or why he gets none, in
one line of JSON; any byte that he sends asks for a new ticket. Calls on the operators' socket carry it in their
metadata. A ticket is good for some time, and as long as the connection that it came by stays open.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pybible.wire.errors import ProtocolError
from pybible.wire.values import dumps, loads_object

METADATA_KEY = "pybible-ticket"
DOOR_SUFFIX = ".door"
LONGEST_ANSWER = 4096


def door_path(socket: Path) -> Path:
    """Return where the door of an operators' socket is."""
    return socket.with_name(socket.name + DOOR_SUFFIX)


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorAnswer:
    """What the door says: a ticket that is good for so many seconds, or why there is none."""

    ticket: str = ""
    seconds: float = 0.0
    refusal: str = ""
    hint: str = ""

    def encode(self) -> bytes:
        """Return its line."""
        return dumps(asdict(self)) + b"\n"

    @staticmethod
    def decode(line: bytes) -> DoorAnswer:
        """Read it back. ProtocolError when it is none."""
        try:
            found = loads_object(line)
            answer = DoorAnswer(**{each.name: found[each.name] for each in fields(DoorAnswer) if each.name in found})
            fits = isinstance(answer.seconds, int | float) and all(
                isinstance(text, str) for text in (answer.ticket, answer.refusal, answer.hint)
            )
        except ValueError as error:
            raise ProtocolError("the controller's door does not answer as one") from error
        if not fits or bool(answer.ticket) == bool(answer.refusal):
            raise ProtocolError("the controller's door does not answer as one")
        return answer
