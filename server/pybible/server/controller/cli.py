"""cli: the command pybible-controller."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback
from pathlib import Path

import click

from pybible.server.controller import sdnotify
from pybible.server.controller.config import ControllerConfig, load_config
from pybible.server.controller.daemon import Controller
from pybible.server.controller.ports import raise_file_limit
from pybible.wire import logs
from pybible.wire.errors import ExitStatus, PybibleError
from pybible.wire.visible import visible

_path = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="pybible", message="%(prog)s %(version)s")
@click.option("--state", type=_path, required=True, help="Folder for keys, store and blobs. Created when missing.")
@click.option("--config", "file", type=_path, help="Settings (TOML). Flags win over it.")
@click.option("--listen", metavar="HOST:PORT", help="Where agents connect (mTLS).")
@click.option("--enroll-listen", metavar="HOST:PORT", help="Where hosts that have no certificate yet join.")
@click.option(
    "--operators-listen",
    metavar="HOST:PORT",
    help="Where operators with certificates connect (mTLS). [nowhere: this machine's use the socket]",
)
@click.option("--socket", metavar="PATH", help="Where operators on this machine connect. [STATE/controller.sock]")
@click.option("--advertise", metavar="HOST", help="Under which name hosts reach this machine, for join tokens.")
@click.option("--log-format", type=click.Choice(["line", "json"]), help="How log records look.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="From which level on.")
def command(state: Path, file: Path | None, **flags: str | None) -> None:
    """Serve agents and operators until SIGTERM."""
    # The store and the blobs are nobody else's business, whatever the folder's mode becomes.
    os.umask(0o077)
    raise_file_limit()
    config = load_config(state, file=file, flags=flags)
    logs.configure(level=config.log_level, style=config.log_format)
    asyncio.run(_serve(config))


async def _serve(config: ControllerConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stopping() -> None:
        sdnotify.notify(sdnotify.STOPPING)
        stop.set()
        # Whoever presses ^C again does not want to wait for the drain.
        loop.remove_signal_handler(signal.SIGINT)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping)
    async with Controller.start(config) as controller:
        sdnotify.notify(sdnotify.READY)
        await controller.serve_until(stop)


def main() -> None:
    """Run the command; say what is wrong in a line, and return 1."""
    try:
        command()
    except PybibleError as error:
        # One line, as a supervisor's log wants it.
        _say(f"{error.message} ({error.hint})" if error.hint else error.message)
        sys.exit(ExitStatus.ERROR)
    except Exception:
        click.echo(visible(traceback.format_exc()), err=True, nl=False)
        _say("this is a bug in pybible")
        sys.exit(ExitStatus.BUG)


def _say(text: str) -> None:
    click.echo(f"pybible-controller: {visible(text)}", err=True)
