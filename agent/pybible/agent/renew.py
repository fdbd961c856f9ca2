"""renew: a new certificate over a new key, while the old one is still good.

It is made in a process of its own (`python -m pybible.agent.renew`), so that the agent, which lives long, need not load
what makes keys.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import time
from dataclasses import replace
from pathlib import Path

from pybible.agent import state
from pybible.agent.dial import Dialer
from pybible.wire.channel import client_credentials, client_options, proxy_options
from pybible.wire.logs import fields

_SECONDS = 30.0
_log = logging.getLogger(__name__)


async def renew(folder: Path, dialer: Dialer) -> bool:
    """Renew, and dial with the new certificate from now on. False, and a log line, when it failed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(
            "-P",
            "-m",
            "pybible.agent.renew",
            "--state",
            str(folder),
            "--controller",
            dialer.target,
            "--proxy",
            dialer.proxy,
        ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_SECONDS + 10):
            _, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        errors = b"no answer in time"
    if process.returncode == 0:
        dialer.use(state.load_identity(folder))
        _log.info("certificate renewed")
        return True
    text = errors.decode("utf-8", "replace").strip()
    _log.error("the certificate was not renewed", extra=fields(error=text[-500:]))
    return False


def validity(certificate: bytes) -> tuple[float, float]:
    """Return when to renew a certificate (PEM) that was issued now, and when it ends, in seconds since the epoch.

    It is renewed when about two thirds of what it has before it are over, each agent at a moment of its own.
    """
    from cryptography import x509

    # Not from its beginning, which lies back for the sake of hosts whose clocks are late.
    now = time.time()
    ends = x509.load_pem_x509_certificate(certificate).not_valid_after_utc.timestamp()
    return now + (ends - now) * random.uniform(0.6, 0.7), ends  # noqa: S311  not a secret


def renew_now(folder: Path, *, controller: str, proxy: str) -> None:
    """Ask the controller for a new certificate and write it, with its key, to the state folder."""
    import grpc
    from cryptography import x509

    from pybible.v1 import agent_pb2, agent_pb2_grpc
    from pybible.wire.keys import NewKey

    identity = state.load_identity(folder)
    key = NewKey()
    credentials = client_credentials(authority=identity.authority, key=identity.key, certificate=identity.certificate)
    with grpc.secure_channel(controller, credentials, options=[*client_options(), *proxy_options(proxy)]) as channel:
        answer = agent_pb2_grpc.AgentServiceStub(channel).RenewCertificate(
            agent_pb2.RenewCertificateRequest(csr=key.request()), timeout=_SECONDS
        )
    authority = answer.authority or identity.authority
    key.check(answer.certificate, x509.load_pem_x509_certificate(authority))
    renew_at, expires = validity(answer.certificate)
    renewed = replace(
        identity,
        key=key.pem,
        certificate=answer.certificate,
        authority=authority,
        renew_at=renew_at,
        expires=expires,
    )
    state.save_identity(folder, renewed)


def main(arguments: list[str]) -> int:
    """Renew once."""
    parser = argparse.ArgumentParser(prog="pybible.agent.renew")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--controller", required=True)
    parser.add_argument("--proxy", default="")
    options = parser.parse_args(arguments)
    renew_now(options.state, controller=options.controller, proxy=options.proxy)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
