"""commands: what pybible-ctl makes of a foreign controller's answers: an end, with words of its own and nothing else.

The controller has a socket and the door beside it. Its commands run in this process, as their operator calls them.
"""

from __future__ import annotations

import io
import itertools
import os
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from unittest.mock import patch

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from pybible.server.cli.main import status_of
from pybible.server.report.visible import guard_standard_streams, is_visible
from pybible.v1 import blob_pb2, fleet_pb2, run_pb2
from pybible.wire.channel import server_options, unix_target
from pybible.wire.errors import ExitStatus
from pybible.wire.tickets import DoorAnswer, door_path
from tests.fuzz.hunt import Finding, Target, Trial
from tests.fuzz.material import ESCAPES, ODD_BYTES, ODD_TEXT, damaged, encoded, mutated
from tests.fuzz.readers import EVENT

_Context: TypeAlias = grpc.ServicerContext
# No answer of a foreign controller makes a command say so much.
_LONGEST_OUTPUT = 4 * 1024 * 1024
_TICKET = DoorAnswer(ticket="ticket", seconds=3600.0).encode()
_RUN = "r"
_ATTEMPTS = tuple(f"{_RUN}.{number}" for number in range(1, 6))
_WORDS = (*_ATTEMPTS, "web01", "latest", "x")
_EXECUTE = "/pybible.v1.RunService/Execute"
_METHODS: Mapping[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for module in (fleet_pb2, run_pb2, blob_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
_RESULTS = (
    "{}", '{"changed": "x", "msg": [1]}', '{"failed": {}, "msg": null}', '{"unreachable": [], "stdout_lines": 1}',
    '{"ansible_facts": []}', '{"ansible_facts": {"a": {"b": "{{ 1 }}"}, "": 1}}', '{"diff": [1, {"before": 2}]}',
    '{"diff": {"before": {}, "after": null, "prepared": 3}}', '{"warnings": {"a": 1}, "deprecations": ["x", {}]}',
    '{"stdout": "\\u001b[2J", "rc": "one", "stderr": 5, "exception": []}', '{"skipped": true, "failed": true}',
    '{"results": 5, "attempts": "many", "retries": null}', '{"_ansible_verbose_override": [], "changed": true}',
    '{"changed": true, "content": "!", "encoding": "x", "checksum": 4, "size": -1, "_content": []}',
    '{"failed": true, "msg": "\\u202e\\u001b]0;x\\u0007", "module_stderr": {}, "invocation": 1}',
    '{"started": "a", "finished": [], "ansible_job_id": {}}', '{"ping": 1e999}', "[]", "[" * 3000, "nothing",
)  # fmt: skip
_PLAYBOOK = """
- hosts: web01
  gather_facts: {facts}
  tasks:
    - ping:
      register: found
      ignore_errors: true
    - debug: msg="{{{{ found }}}}"
      ignore_errors: true
    - command: touch {folder}/ran-here
      loop: [1, 2]
      register: several
      diff: true
      ignore_errors: true
    - copy: src={folder}/plain dest={folder}/copied
      ignore_errors: true
    - fetch: src=/etc/hosts dest={folder}/fetched
      ignore_errors: true
    - command: "true"
      async: 5
      poll: 1
      until: several is changed
      retries: 1
      delay: 0
      ignore_errors: true
"""


@dataclass(frozen=True, slots=True)
class Said:
    """What the controller says in an example: at its door, and of each method its messages and its end.

    `goes_on`: in a run it answers everything that its messages left open, and ends it.
    """

    command: str
    door: bytes
    messages: Mapping[str, Sequence[bytes]]
    end: tuple[int, str]
    goes_on: bool


# Name: its words, and the methods that it calls. FOLDER stands for the one of the trial.
COMMANDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "run": (("run", "-v", "-i", "web01,", "FOLDER/site.yml"), (_EXECUTE,)),
    "facts": (("run", "-i", "web01,", "FOLDER/facts.yml"), (_EXECUTE,)),
    "fleet": (("exec", "all", "-m", "ping"), ("/pybible.v1.FleetService/ListAgents", _EXECUTE)),
    "json": (("run", "--json", "-i", "web01,", "FOLDER/site.yml"), (_EXECUTE,)),
    "agents": (("agents",), ("/pybible.v1.FleetService/ListAgents",)),
    "agents json": (("agents", "--json"), ("/pybible.v1.FleetService/ListAgents",)),
    "agent": (("agents", "show", "x"), ("/pybible.v1.FleetService/GetAgent",)),
    "agent json": (("agents", "show", "--json", "x"), ("/pybible.v1.FleetService/GetAgent",)),
    "agent facts": (("agents", "facts", "x"), ("/pybible.v1.FleetService/GetFacts",)),
    "replace": (
        ("agents", "replace", "x"), ("/pybible.v1.FleetService/GetAgent", "/pybible.v1.FleetService/CreateToken")
    ),
    "runs": (("runs",), ("/pybible.v1.RunService/ListRuns",)),
    "runs json": (("runs", "--json"), ("/pybible.v1.RunService/ListRuns",)),
    "run show": (("runs", "show", "latest"), ("/pybible.v1.RunService/GetRun",)),
    "run json": (("runs", "show", "--json", "latest"), ("/pybible.v1.RunService/GetRun",)),
    "watch": (("runs", "watch", "-vvv", "latest"), ("/pybible.v1.RunService/WatchRun",)),
    "watch json": (("runs", "watch", "--json", "latest"), ("/pybible.v1.RunService/WatchRun",)),
    "cancel": (("runs", "cancel", "latest"), ("/pybible.v1.RunService/CancelRun",)),
    "enrollments": (("enrollments",), ("/pybible.v1.FleetService/ListEnrollments",)),
    "approve": (("enrollments", "approve", "x"), ("/pybible.v1.FleetService/DecideEnrollments",)),
    "deny": (("enrollments", "deny", "x"), ("/pybible.v1.FleetService/DecideEnrollments",)),
    "tokens": (("token", "list"), ("/pybible.v1.FleetService/ListTokens",)),
    "token": (("token", "create"), ("/pybible.v1.FleetService/CreateToken",)),
    "operators": (("operators",), ("/pybible.v1.FleetService/ListOperators",)),
    "audit": (("audit",), ("/pybible.v1.FleetService/ListAudit",)),
    "export": (("audit", "export"), ("/pybible.v1.FleetService/ListAudit",)),
    "verify": (("audit", "verify"), ("/pybible.v1.FleetService/ListAudit",)),
    "pki": (("pki", "status"), ("/pybible.v1.FleetService/DescribeAuthority",)),
    "rotate": (("pki", "rotate"), ("/pybible.v1.FleetService/RotateAuthority",)),
    "whoami": (("whoami",), ("/pybible.v1.FleetService/WhoAmI",)),
    "can-i": (("can-i", "ping", "x"), ("/pybible.v1.FleetService/CanI",)),
}  # fmt: skip


# -- the controller ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Foreign(grpc.GenericRpcHandler):
    """A controller that says what an example holds, whatever it is asked."""

    said: Said | None = None
    asked: set[str] = field(default_factory=set)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Answer every method as a stream: on the wire a single answer is one, too."""
        path = handler_call_details.method
        return grpc.stream_stream_rpc_method_handler(lambda requests, context: self._answer(path, requests, context))

    def _answer(self, path: str, requests: Iterator[bytes], context: _Context) -> Iterator[bytes]:
        self.asked.add(path)
        said = self.said
        if said is None:
            return
        if path != _EXECUTE:
            next(requests, b"")
            yield from said.messages.get(path, ())
        else:
            yield from self._run(said, requests)
        code, details = said.end
        if code:
            context.set_code(next(each for each in grpc.StatusCode if each.value[0] == code))
            context.set_details(details)

    def _run(self, said: Said, requests: Iterator[bytes]) -> Iterator[bytes]:
        """Lead a run: the start when it is asked for, the news when there are attempts for the first time."""
        next(requests, b"")
        messages = iter(said.messages.get(_EXECUTE, ()))
        yield from itertools.islice(messages, 1)
        for payload in requests:
            request = run_pb2.ExecuteRequest.FromString(payload)
            yield from messages
            if not said.goes_on:
                return
            for attempt in request.attempts.attempts:
                yield _ended(attempt.attempt_id)
            if request.HasField("finish"):
                finished = run_pb2.RunFinished(state=run_pb2.RUN_STATE_FINISHED)
                yield run_pb2.ExecuteResponse(finished=finished).SerializeToString()
                return


def _ended(attempt_id: str, result: str = '{"changed": false}') -> bytes:
    response = run_pb2.ExecuteResponse()
    response.updates.updates.add(attempt_id=attempt_id).ended.inline = result.encode()
    return response.SerializeToString()


class _Door:
    """Says the example's words to whoever comes in, and keeps the connection until he leaves."""

    def __init__(self, path: Path) -> None:
        self.said = _TICKET
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._serve, name="door")
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.sendall(self.said)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(64):
                    pass

    def close(self) -> None:
        """Let nobody in any more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


# -- the command -------------------------------------------------------------------------------------------------------


class _Screen:
    """The standard output and error of a command. Always the same ones: click keeps each that it has seen."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO(), io.BytesIO()
        wrapped = [io.TextIOWrapper(each, encoding="utf-8") for each in self._bytes]
        with patch.object(sys, "stdout", wrapped[0]), patch.object(sys, "stderr", wrapped[1]):
            guard_standard_streams()
            self.output, self.errors = sys.stdout, sys.stderr

    def taken(self) -> tuple[str, str]:
        """Return what was written to either, and take it away."""
        self.output.flush()
        self.errors.flush()
        texts = []
        for each in self._bytes:
            texts.append(each.getvalue().decode())
            each.seek(0)
            each.truncate()
        return texts[0], texts[1]


@dataclass(frozen=True, slots=True)
class Field:
    """A foreign controller, and the folder from which commands are called."""

    folder: Path
    foreign: Foreign
    door: _Door
    socket: Path
    screen: _Screen

    def call(self, said: Said) -> None:
        """Call a command as an operator does. Finding for what must not come of it."""
        self.foreign.said, self.door.said = said, said.door
        words, _ = COMMANDS[said.command]
        words = tuple(word.replace("FOLDER", str(self.folder)) for word in words)
        environment = {
            "PYBIBLE_CONTROLLER": f"unix:{self.socket}",
            "HOME": str(self.folder),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "XDG_STATE_HOME": str(self.folder / "state"),
        }
        with (
            patch.dict(os.environ, environment),
            patch.object(sys, "stdout", self.screen.output),
            patch.object(sys, "stderr", self.screen.errors),
        ):
            status = status_of(words)
        self._judge(status, *self.screen.taken())

    def _judge(self, status: int, output: str, errors: str) -> None:
        if status == ExitStatus.BUG or "Traceback (most recent call last)" in errors:
            lines = errors.splitlines()
            raise Finding("\n".join(["a traceback:", *lines[-12:]]))
        if not is_visible(output) or not is_visible(errors):
            raise Finding(f"what steers a terminal: {output[:500]!r} {errors[:500]!r}")
        if len(output) + len(errors) > _LONGEST_OUTPUT:
            raise Finding(f"it said {len(output) + len(errors)} letters")
        if status and not errors.strip() and not output.strip():
            raise Finding(f"it ended with {status} and said nothing")
        if (self.folder / "ran-here").exists():
            (self.folder / "ran-here").unlink()
            raise Finding("a task for an agent ran on the control node")


@contextmanager
def _opened(folder: Path) -> Iterator[Trial]:
    path = folder / "socket"
    (folder / "plain").write_text("plain\n" * 100)
    for name, facts in (("site.yml", "false"), ("facts.yml", "true")):
        (folder / name).write_text(_PLAYBOOK.format(folder=folder, facts=facts))
    foreign = Foreign()
    server = grpc.server(ThreadPoolExecutor(8), handlers=[foreign], options=server_options())
    server.add_secure_port(unix_target(path), grpc.local_server_credentials(grpc.LocalConnectionType.UDS))
    server.start()
    door = _Door(door_path(path))
    try:
        yield Trial(check=Field(folder, foreign, door, path, _Screen()).call)
    finally:
        door.close()
        server.stop(0).wait(10)


# -- examples ----------------------------------------------------------------------------------------------------------


def _started() -> st.SearchStrategy[bytes]:
    plain = run_pb2.ExecuteResponse(started=run_pb2.RunStarted(run_id=_RUN, present=["web01"]))
    return st.just(plain.SerializeToString())


def _news() -> st.SearchStrategy[bytes]:
    ended = st.builds(_ended, st.sampled_from(_ATTEMPTS), st.sampled_from(_RESULTS) | damaged(_RESULTS))

    def started(attempt_id: str) -> bytes:
        response = run_pb2.ExecuteResponse()
        response.updates.updates.add(attempt_id=attempt_id).started.SetInParent()
        return response.SerializeToString()

    return ended | ended | st.sampled_from(_ATTEMPTS).map(started) | encoded(run_pb2.ExecuteResponse, words=_WORDS)


def _events() -> st.SearchStrategy[bytes]:
    def answer(event: str) -> bytes:
        return run_pb2.WatchRunResponse(event=run_pb2.RunEvent(event=event.encode())).SerializeToString()

    return damaged(EVENT).map(answer)


def _messages(path: str) -> st.SearchStrategy[list[bytes]]:
    if path == _EXECUTE:
        first = _started() | _started() | encoded(run_pb2.ExecuteResponse, words=_WORDS)
        return st.tuples(first, st.lists(_news(), max_size=6)).map(lambda both: [both[0], *both[1]])
    method = _METHODS[path]
    answers = encoded(GetMessageClass(method.output_type), words=_WORDS)
    if path.endswith("/WatchRun"):
        return st.lists(_events() | answers, max_size=6)
    return st.lists(answers, max_size=4) if method.server_streaming else st.lists(answers, min_size=1, max_size=1)


def _said(command: str) -> st.SearchStrategy[Said]:
    doors = st.just(_TICKET)
    odd_doors = st.one_of(mutated(st.just(_TICKET)), ODD_BYTES, st.just(DoorAnswer(refusal=ESCAPES).encode()))
    ends = st.tuples(st.just(0), st.just("")) | st.tuples(st.integers(1, 16), ODD_TEXT)
    _, paths = COMMANDS[command]
    return st.builds(
        Said,
        st.just(command),
        st.integers(0, 19).flatmap(lambda number: doors if number else odd_doors),
        st.fixed_dictionaries({path: _messages(path) for path in paths}),
        ends,
        st.booleans(),
    )


def _material() -> st.SearchStrategy[Said]:
    return st.sampled_from(sorted(COMMANDS)).flatmap(_said)


COMMANDS_TARGET = Target(
    name="ctl",
    about="every command of ctl, at a foreign controller",
    material=_material,
    open=_opened,
    examples=60,
    deadline=30.0,
)
