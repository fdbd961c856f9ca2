"""cli: the command pybible-agent."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from pathlib import Path

from pybible.agent.config import default_state, load_config
from pybible.agent.state import AgentIdentity
from pybible.wire.errors import ExitStatus, PybibleError, UsageError
from pybible.wire.protocol import package_version
from pybible.wire.visible import visible, visible_line


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pybible-agent", description="Runs tasks on this host for a pybible controller, to which it dials out."
    )
    parser.add_argument("--version", action="version", version=f"pybible-agent {package_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    join = commands.add_parser("join", help="enrol this host, with a join token or an operator's approval")
    join.add_argument("--controller", default="", metavar="HOST:PORT", help="enrolment port, if not the token's")
    way = join.add_mutually_exclusive_group(required=True)
    way.add_argument("--token", help="what `pybible-ctl token create` printed; - reads standard input")
    way.add_argument("--pin", metavar="HEX", help="without a token: the controller's, as `pybible-ctl pki status` says")
    join.add_argument("--proxy", default="", metavar="URL", help="HTTP proxy on the way, now and in `run`")
    join.add_argument("--name", default="", help="inventory name to ask for (default: the host's name)")
    run = commands.add_parser("run", help="serve the controller")
    run.add_argument("--config", type=Path, metavar="FILE", help="settings, TOML")
    for command in (join, run):
        command.add_argument(
            "--state", type=Path, default=default_state(), metavar="DIR", help="state folder (default: %(default)s)"
        )
    return parser


def _join(options: argparse.Namespace) -> None:
    from pybible.agent.enroll import join, join_by_request

    if options.pin:
        if not options.controller:
            raise UsageError("--pin needs --controller HOST:PORT, the enrolment port")
        identity = join_by_request(
            options.state,
            controller=options.controller,
            pin=options.pin,
            name=options.name,
            proxy=options.proxy,
            waits=_tell_waiting,
        )
        _tell_enrolled(identity)
        return
    token = sys.stdin.readline() if options.token == "-" else options.token  # noqa: S105
    identity = join(options.state, token=token, controller=options.controller, name=options.name, proxy=options.proxy)
    _tell_enrolled(identity)


def _tell_enrolled(identity: AgentIdentity) -> None:
    text = visible_line(f"enrolled as {identity.name} ({identity.id}) with {identity.controller}")
    sys.stdout.write(f"{text}\n")


def _tell_waiting(fingerprint: str) -> None:
    sys.stdout.write(f"waiting for an operator: pybible-ctl enrollments approve {fingerprint}\n")
    sys.stdout.flush()


def _run(options: argparse.Namespace) -> None:
    config = load_config(options.config)
    from pybible.wire import logs

    logs.configure(level=config.log_level, style=config.log_format)
    # asyncio does without; with it OpenSSL is loaded, 5 MB on every host, for nothing: gRPC brings a TLS of its own.
    sys.modules["ssl"] = None  # type: ignore[assignment]
    import asyncio
    import logging

    for chatty in ("grpc", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    from pybible.agent.daemon import Exit, run_agent

    if asyncio.run(run_agent(options.state, config)) is Exit.RESTART:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  itself, anew


def main() -> int:
    """Run the command line."""
    options = _parser().parse_args()
    try:
        (_join if options.command == "join" else _run)(options)
    except UsageError as error:
        sys.stderr.write(f"pybible-agent: {visible(str(error))}\n")
        return ExitStatus.ERROR
    except PybibleError as error:
        sys.stderr.write(f"pybible-agent: {visible(str(error))}\n")
        return error.exit_status
    except KeyboardInterrupt:
        return ExitStatus.ERROR
    except Exception:
        sys.stderr.write(visible(traceback.format_exc()))
        sys.stderr.write("pybible-agent: this is a bug in pybible\n")
        return ExitStatus.BUG
    return ExitStatus.OK


if __name__ == "__main__":
    sys.exit(main())
