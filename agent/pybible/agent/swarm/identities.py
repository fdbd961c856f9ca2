"""identities: enrols the agents of a swarm: one token, one connection, a key and a certificate for each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import grpc
import grpc.aio
from cryptography import x509

from pybible.agent import state
from pybible.agent.enroll import join
from pybible.v1 import enrollment_pb2, enrollment_pb2_grpc
from pybible.wire.backoff import Backoff
from pybible.wire.channel import client_credentials, client_options, proxy_options
from pybible.wire.errors import AccessDenied
from pybible.wire.identity import JoinToken, certificate_identity
from pybible.wire.keys import NewKey
from pybible.wire.protocol import package_version

_AT_ONCE = 32
_SECONDS = 60.0
# It has too much to do, or has ended a connection that it thinks is too old.
_AGAIN = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)


async def enrol_all(folders: Sequence[Path], token: str) -> None:
    """Enrol an agent for each folder, of the folder's name, unless there is one in it. AccessDenied when refused."""
    missing = [folder for folder in folders if not state.is_enrolled(folder)]
    if not missing:
        return
    # The first as every agent does it: it checks the pin, and what it trusts then serves for the others.
    first = await asyncio.to_thread(join, missing[0], token=token, name=missing[0].name)
    address = JoinToken.decode(token).address
    credentials = client_credentials(authority=first.authority)
    async with grpc.aio.secure_channel(
        address, credentials, options=[*client_options(), *proxy_options("")]
    ) as channel:
        stub: enrollment_pb2_grpc.EnrollmentServiceAsyncStub = enrollment_pb2_grpc.EnrollmentServiceStub(channel)
        rest = iter(missing[1:])
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(_enrol(rest, stub, secret=JoinToken.decode(token).secret, like=first))


async def _enrol(
    folders: Iterator[Path],
    stub: enrollment_pb2_grpc.EnrollmentServiceAsyncStub,
    *,
    secret: str,
    like: state.AgentIdentity,
) -> None:
    for folder in folders:
        key = NewKey()
        request = enrollment_pb2.EnrollRequest(
            token=secret, csr=key.request(), name=folder.name, hostname=folder.name, version=package_version()
        )
        answer = await _asked(stub, request)
        if answer.state != enrollment_pb2.EnrollResponse.STATE_ISSUED:
            raise AccessDenied(f"{folder.name} is not enrolled: {answer.message}")
        identity = certificate_identity(x509.load_pem_x509_certificate(answer.certificate))
        if identity is None:
            raise AccessDenied(f"{folder.name} is not enrolled: the certificate names nobody")
        state.prepare(folder)
        own = replace(like, id=identity.id, name=answer.name, key=key.pem, certificate=answer.certificate)
        state.save_identity(folder, own)


async def _asked(
    stub: enrollment_pb2_grpc.EnrollmentServiceAsyncStub, request: enrollment_pb2.EnrollRequest
) -> enrollment_pb2.EnrollResponse:
    """Ask, again and again while the controller has too much to do."""
    backoff = Backoff(first=0.5, limit=5)
    while True:
        try:
            return await stub.Enroll(request, timeout=_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() not in _AGAIN:
                raise
            await asyncio.sleep(backoff.next())
