"""door: gets tickets from a controller on this machine, and shows them with every call."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path

from pybible.wire.errors import AccessDenied, ConnectionFailed, ProtocolError, PybibleError
from pybible.wire.tickets import LONGEST_ANSWER, DoorAnswer, door_path

# A controller that was started a moment ago is waited for so long, in seconds.
_START_SECONDS = 2.0
_LOOK_SECONDS = 0.05
_ANSWER_SECONDS = 15.0


class OpenDoor:
    """The door of one controller, which has to stay open as long as its tickets are shown. For several threads."""

    def __init__(self, path: Path) -> None:
        """`path`: the operators' socket beside which the door is."""
        self._path = path
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._closed = False
        # While somebody waits in `enter`.
        self._entering: socket.socket | None = None
        self._answer = DoorAnswer()
        self._renew_at = 0.0

    def enter(self) -> None:
        """Go in. ConnectionFailed when no controller comes, AccessDenied when it lets this user have nothing."""
        end = time.monotonic() + _START_SECONDS
        while not self._closed:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(_ANSWER_SECONDS)
            self._entering = connection
            try:
                connection.connect(str(door_path(self._path)))
                self._take(connection)
            except PermissionError as error:
                connection.close()
                hint = "The controller's settings socket_group and local_users say who may."
                raise AccessDenied(f"you may not open the socket {self._path}", hint=hint) from error
            except OSError as error:
                connection.close()
                if self._closed or time.monotonic() >= end or isinstance(error, TimeoutError):
                    reason = error.strerror or str(error)
                    raise ConnectionFailed(f"the controller at unix:{self._path} can't be reached: {reason}") from error
                # Nothing tells when another process listens.
                time.sleep(_LOOK_SECONDS)
            except BaseException:
                connection.close()
                raise
            else:
                self._keep(connection)
                return

    def ticket(self) -> str:
        """Return a ticket that is good for some time yet."""
        with self._lock:
            if self._connection is not None and time.monotonic() >= self._renew_at:
                try:
                    self._connection.sendall(b"\n")
                    self._take(self._connection)
                except (OSError, PybibleError):
                    # The controller is gone, or slow, or lets this user have nothing any more. What it makes of the
                    # ticket that there is, the call will show.
                    self._renew_at = time.monotonic() + _ANSWER_SECONDS
            return self._answer.ticket

    def close(self) -> None:
        """Go out: the tickets are worth nothing any more."""
        with self._lock:
            self._closed = True
            if self._connection is None and self._entering is not None:
                # Whoever waits for an answer waits no longer.
                with contextlib.suppress(OSError):
                    self._entering.shutdown(socket.SHUT_RDWR)
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _keep(self, connection: socket.socket) -> None:
        with self._lock:
            if self._closed:
                connection.close()
            else:
                self._connection = connection

    def _take(self, connection: socket.socket) -> None:
        """Read what the door says. ConnectionResetError when that is nothing."""
        line = b""
        while not line.endswith(b"\n"):
            received = connection.recv(LONGEST_ANSWER)
            if not received:
                raise ConnectionResetError("it closed the connection")
            line += received
            if len(line) > LONGEST_ANSWER:
                raise ProtocolError("the controller's door does not answer as one")
        answer = DoorAnswer.decode(line)
        if answer.refusal:
            raise AccessDenied(f"the controller at unix:{self._path} refuses: {answer.refusal}", hint=answer.hint)
        self._answer = answer
        self._renew_at = time.monotonic() + answer.seconds / 2
