"""rekey: a new key for this agent and the certificate over it, made in a process of its own.

`python -m pybible.agent.rekey --state DIR` prints a certificate request, reads the certificate that was made of it from
standard input, and writes both to the state folder. The agent, which lives long, need not load what makes keys.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from dataclasses import replace
from pathlib import Path

from pybible.agent import state
from pybible.wire.errors import PybibleError

# At half of a certificate's life, each agent at a moment of its own.
_EARLIEST, _LATEST = 0.45, 0.55


def validity(certificate: bytes) -> tuple[float, float]:
    """Return when to renew a certificate (PEM) that was issued now, and when it ends, in seconds since the epoch."""
    from cryptography import x509

    # Not from its beginning, which lies back for the sake of hosts whose clocks are late.
    now = time.time()
    ends = x509.load_pem_x509_certificate(certificate).not_valid_after_utc.timestamp()
    return now + (ends - now) * random.uniform(_EARLIEST, _LATEST), ends  # noqa: S311  not a secret


def rekey(folder: Path) -> None:
    """Print a request over a new key, read its certificate, and take both in place of the old ones.

    ProtocolError when what is read is not a certificate of the authority that this agent trusts, for that key.
    """
    from cryptography import x509

    from pybible.wire.keys import NewKey

    identity = state.load_identity(folder)
    key = NewKey()
    sys.stdout.buffer.write(key.request())
    sys.stdout.buffer.flush()
    certificate = sys.stdin.buffer.read()
    key.check(certificate, x509.load_pem_x509_certificate(identity.authority))
    renew_at, expires = validity(certificate)
    state.save_identity(
        folder, replace(identity, key=key.pem, certificate=certificate, renew_at=renew_at, expires=expires)
    )


def main(arguments: list[str]) -> int:
    """Do it once."""
    parser = argparse.ArgumentParser(prog="pybible.agent.rekey")
    parser.add_argument("--state", type=Path, required=True)
    try:
        rekey(parser.parse_args(arguments).state)
    except PybibleError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
