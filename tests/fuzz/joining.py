"""joining: what a host that wants to be enrolled makes of a foreign controller's answers: an identity, or one error."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from unittest.mock import patch

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.message import DecodeError
from hypothesis import strategies as st

from pybible.agent import enroll, state
from pybible.v1 import enrollment_pb2
from pybible.wire import enrolment
from pybible.wire.channel import server_credentials, server_options
from pybible.wire.errors import PybibleError
from pybible.wire.identity import CONTROLLER_NAME, JoinToken, Role, public_key_pin
from tests.fuzz.hunt import Finding, Target, Trial
from tests.fuzz.material import ODD_BYTES, ODD_TEXT, encoded, messages, mutated
from tests.support.fake_controller import FakeAuthority

_Context: TypeAlias = grpc.ServicerContext
_LONGEST_PAUSE = 60.0
_NAMES = ("pybible://agent/x", "pybible://agent/", "pybible://operator/x?role=admin", "x", "pybible://agent/../y")
_WAYS = ("token", "request", "operator")


@dataclass(frozen=True, slots=True)
class Said:
    """What the controller says: of its authority (None: the truth), and to each request, one after the other.

    `named`: what stands in the certificate that it makes of a request, and in place of an answer's own; empty: none.
    """

    way: str
    authority: bytes | None
    answers: Sequence[bytes]
    named: str
    cut: int
    end: tuple[int, str]


class Foreign(grpc.GenericRpcHandler):
    """A controller's enrolment port that says what an example holds."""

    def __init__(self, authority: FakeAuthority) -> None:
        self.said: Said | None = None
        self._answers: Iterator[bytes] = iter(())
        self._authority = authority

    def say(self, said: Said) -> None:
        """Say this from now on."""
        self.said, self._answers = said, iter(said.answers)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Answer every method as a stream: on the wire a single answer is one, too."""
        path = handler_call_details.method
        return grpc.stream_stream_rpc_method_handler(lambda requests, context: self._answer(path, requests, context))

    def _answer(self, path: str, requests: Iterator[bytes], context: _Context) -> Iterator[bytes]:
        request = next(requests, b"")
        said = self.said
        if said is None:
            return
        if path.endswith("/GetAuthority"):
            truth = enrollment_pb2.GetAuthorityResponse(authority=self._authority.pem).SerializeToString()
            yield truth if said.authority is None else said.authority
            return
        answer = next(self._answers, None)
        if answer is None:
            denied = enrollment_pb2.EnrollResponse(state=enrollment_pb2.EnrollResponse.STATE_DENIED)
            yield denied.SerializeToString()
        else:
            yield self._certified(answer, request, said)
        code, details = said.end
        if code:
            context.set_code(next(each for each in grpc.StatusCode if each.value[0] == code))
            context.set_details(details)

    def _certified(self, answer: bytes, request: bytes, said: Said) -> bytes:
        """Put a certificate for the request's key into an answer that can be read, whole or cut."""
        try:
            message = enrollment_pb2.EnrollResponse.FromString(answer)
            csr = x509.load_pem_x509_csr(enrollment_pb2.EnrollRequest.FromString(request).csr)
        except (ValueError, DecodeError):
            return answer
        key = csr.public_key()
        if said.named and isinstance(key, ec.EllipticCurvePublicKey):
            certificate = self._authority.certify(key, x509.UniformResourceIdentifier(said.named))
            message.certificate = certificate[: said.cut or None]
        return message.SerializeToString()


@contextmanager
def _opened(folder: Path) -> Iterator[Trial]:
    authority = FakeAuthority()
    foreign = Foreign(authority)
    key, certificate = authority.issue(x509.DNSName(CONTROLLER_NAME))
    server = grpc.server(ThreadPoolExecutor(4), handlers=[foreign], options=server_options())
    credentials = server_credentials(key=key, certificate=certificate, client_authority=None)
    address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
    server.start()
    pin = public_key_pin(authority.certificate)
    token = JoinToken(address=address, pin=pin, secret="secret").encode()

    def check(said: Said) -> None:
        foreign.say(said)
        home = folder / "agent"
        try:
            # A hostile controller may well let a host wait: not here.
            with patch.object(time, "sleep", _slept):
                if said.way == "token":
                    enroll.join(home, token=token, name="web01")
                elif said.way == "request":
                    enroll.join_by_request(home, controller=address, pin=pin, waits=lambda _fingerprint: None)
                else:
                    enrolment.enrol(token, role=Role.OPERATOR, name="ada")
            if said.way != "operator":
                state.load_identity(home)
        except PybibleError as error:
            # What an operator reads of it.
            str(error)
        finally:
            shutil.rmtree(home, ignore_errors=True)

    try:
        yield Trial(check=check)
    finally:
        server.stop(0).wait(10)


def _slept(seconds: float) -> None:
    if not 0 <= seconds <= _LONGEST_PAUSE:
        raise Finding(f"it would wait for {seconds} s")


def _material() -> st.SearchStrategy[Said]:
    answer = enrollment_pb2.EnrollResponse

    def in_state(message: enrollment_pb2.EnrollResponse, number: int) -> bytes:
        message.state = number  # type: ignore[assignment]
        return message.SerializeToString()

    good = st.builds(in_state, messages(answer), st.sampled_from([1, 1, 2, 2, 0, 3, 9]))
    authorities = mutated(st.just(FakeAuthority().pem)) | ODD_BYTES
    of_authority = authorities.map(
        lambda pem: enrollment_pb2.GetAuthorityResponse(authority=pem).SerializeToString()
    ) | encoded(enrollment_pb2.GetAuthorityResponse)
    return st.builds(
        Said,
        st.sampled_from(_WAYS),
        st.integers(0, 7).flatmap(lambda number: st.none() if number else of_authority),
        st.lists(good | good | encoded(answer), max_size=4),
        st.sampled_from(_NAMES) | st.just(""),
        st.just(0) | st.integers(0, 700),
        st.tuples(st.just(0), st.just("")) | st.tuples(st.integers(1, 16), ODD_TEXT),
    )


JOINING = Target(
    name="join",
    about="a host, or an operator, that is enrolled by a foreign controller",
    material=_material,
    open=_opened,
    examples=60,
    deadline=90.0,
)
