"""renew: a new certificate over a new key, while the old one is still good."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import grpc.aio

from pybible.agent import state
from pybible.agent.dial import Dialer
from pybible.v1 import agent_pb2, agent_pb2_grpc
from pybible.wire.errors import ConfigError
from pybible.wire.logs import fields

_SECONDS = 30.0
_REQUEST_ENDS = b"-----END CERTIFICATE REQUEST-----\n"
_log = logging.getLogger(__name__)


async def renew(folder: Path, dialer: Dialer, attached: Callable[[], grpc.aio.Channel | None]) -> bool:
    """Renew, and dial with the new certificate from now on. False, and a log line, when it failed.

    `attached` gives the connection of the live stream, if there is one: the controller is asked there.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "pybible.agent.rekey", "--state", str(folder)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_SECONDS):
            why = await _exchange(process, dialer, attached)
        if not why:
            dialer.use(state.load_identity(folder))
            _log.info("certificate renewed")
            return True
    except TimeoutError:
        why = "no answer in time"
    except grpc.aio.AioRpcError as error:
        why = error.details() or error.code().name.lower()
    except ConfigError as error:
        why = str(error)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    _log.error("the certificate was not renewed", extra=fields(error=why))
    return False


async def _exchange(
    process: asyncio.subprocess.Process, dialer: Dialer, attached: Callable[[], grpc.aio.Channel | None]
) -> str:
    """Carry the request to the controller and its answer back. Return what went wrong, empty for nothing."""
    if process.stdout is None:
        raise RuntimeError("the process was started without pipes")
    try:
        csr = await process.stdout.readuntil(_REQUEST_ENDS)
    except asyncio.IncompleteReadError:
        certificate = b""
    else:
        certificate = await _ask_there(attached(), csr) or await _dial_and_ask(dialer, csr)
    _, errors = await process.communicate(certificate)
    if process.returncode == 0:
        return ""
    return errors.decode("utf-8", "replace").strip()[-500:] or f"exit status {process.returncode}"


async def _ask(channel: grpc.aio.Channel, csr: bytes) -> bytes:
    stub: agent_pb2_grpc.AgentServiceAsyncStub = agent_pb2_grpc.AgentServiceStub(channel)
    return (await stub.RenewCertificate(agent_pb2.RenewCertificateRequest(csr=csr))).certificate


async def _ask_there(channel: grpc.aio.Channel | None, csr: bytes) -> bytes:
    """Ask over a connection that may be closed at any moment: then nothing is returned."""
    if channel is None:
        return b""
    try:
        return await _ask(channel, csr)
    except grpc.aio.UsageError:
        return b""
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # It was not this task that was cancelled, but the calls of the connection.
        return b""


async def _dial_and_ask(dialer: Dialer, csr: bytes) -> bytes:
    channel = dialer.channel()
    try:
        return await _ask(channel, csr)
    finally:
        await channel.close()
