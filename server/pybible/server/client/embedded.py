"""embedded: a controller in this process, and an agent for this host, where no controller is configured."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path

from pybible.server.client.connection import Endpoint
from pybible.server.client.opener import ControllerOpener
from pybible.server.client.processes import (
    LONGEST_SOCKET,
    Daemon,
    Signs,
    command_path,
    end_daemons,
    start_daemon,
    tail,
    wait_for_signs,
)
from pybible.server.client.run_dispatcher import RunDispatcher
from pybible.server.controller.config import ControllerConfig
from pybible.server.controller.daemon import Controller
from pybible.server.engine.dispatcher import RunRequest
from pybible.wire import logs
from pybible.wire.errors import ConfigError, PybibleError

_START_SECONDS = 30.0
_STOP_SECONDS = 5.0
_SLOTS = 256
_YEARS = 10 * 365 * 86400.0


class EmbeddedOpener(ControllerOpener):
    """Opens runs at the controller in this process. The agent is started for the first run that needs it."""

    def __init__(self, controller: Controller, folder: Path) -> None:
        super().__init__(Endpoint.local(controller.socket_path, ticket=controller.own_ticket()))
        self._controller = controller
        self._folder = folder
        self._agent: Daemon | None = None
        self._name = socket.gethostname()

    async def fleet(self) -> Mapping[str, Mapping[str, str]]:
        """Return this host: it is the whole fleet."""
        return {self._name: {}}

    def open(self, request: RunRequest) -> AbstractAsyncContextManager[RunDispatcher]:
        """Open a run, with the agent where one of its hosts is this one."""
        return self._open_with_agent(request)

    async def close(self) -> None:
        """End the agent."""
        if self._agent is not None:
            await asyncio.to_thread(end_daemons, [self._agent], seconds=_STOP_SECONDS)

    @asynccontextmanager
    async def _open_with_agent(self, request: RunRequest) -> AsyncIterator[RunDispatcher]:
        if self._name in request.agents and self._agent is None:
            await self._start_agent()
        async with self._open(request) as dispatcher:
            yield dispatcher

    async def _start_agent(self) -> None:
        state, log = self._folder / "agent", self._folder / "agent.log"
        if not (state / "agent.json").exists():
            token = await self._controller.create_token(name_pattern=self._name)
            await _join(state, token=token, name=self._name)
        settings = self._folder / "agent.toml"
        # The ports are others each time. An agent for one run is asked for its facts, if anybody wants them.
        told = f'controller = "{self._controller.agent_address}"\nfacts_interval = 0.0\n'
        settings.write_text(told, encoding="utf-8")
        log.unlink(missing_ok=True)
        signs = Signs()
        try:
            self._agent, process = start_daemon(
                "the agent of this host",
                (*_tied(), command_path("pybible-agent"), "run", "--state", str(state), "--config", str(settings)),
                log=log,
                environment=signs.environment,
            )
            await asyncio.to_thread(
                wait_for_signs,
                signs,
                "STATUS=attached",
                count=1,
                processes={self._agent.name: process},
                seconds=_START_SECONDS,
            )
        except PybibleError as error:
            raise PybibleError(error.message, hint=tail(log)) from error
        finally:
            signs.close()


@asynccontextmanager
async def embedded(states: Path) -> AsyncIterator[EmbeddedOpener]:
    """Start a controller with its state in a folder below `states` that no other process uses; end it with the block.

    ConfigError when there is no such folder.
    """
    with (
        _free_folder(states) as folder,
        (folder / "controller.log").open("w", encoding="utf-8") as log,
        _socket(folder) as path,
    ):
        logs.configure(level="info", stream=log)
        config = ControllerConfig(
            state=folder / "controller",
            socket=path,
            listen="127.0.0.1:0",
            enroll_listen="127.0.0.1:0",
            drain_timeout=1.0,
            # It ends with its ctl.
            recovery_window=0.0,
            # Its agent runs when it is needed, which may be months from now, and can't renew meanwhile.
            agent_certificate_ttl=_YEARS,
            issuing_authority_ttl=_YEARS,
        )
        async with Controller.start(config) as controller:
            opener = EmbeddedOpener(controller, folder)
            try:
                yield opener
            finally:
                await opener.close()


@contextmanager
def _free_folder(states: Path) -> Iterator[Path]:
    try:
        states.mkdir(parents=True, exist_ok=True, mode=0o700)
        for number in itertools.count(1):
            if number > _SLOTS:
                raise ConfigError(f"{_SLOTS} runs use {states} at once")
            folder = states / f"embedded-{number}"
            folder.mkdir(exist_ok=True, mode=0o700)
            descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            with contextlib.closing(os.fdopen(descriptor)):
                yield folder
            return
    except OSError as error:
        raise ConfigError(f"the state folder {states} can't be used: {error.strerror}") from error


@contextmanager
def _socket(folder: Path) -> Iterator[str]:
    """Give a path for the operators' socket that is short enough for one."""
    path = str(folder / "controller.sock")
    if len(path.encode()) <= LONGEST_SOCKET:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="pybible-") as scratch:
        yield f"{scratch}/controller.sock"


async def _join(state: Path, *, token: str, name: str) -> None:
    process = await asyncio.create_subprocess_exec(
        command_path("pybible-agent"),
        *("join", "--token", "-", "--name", name, "--state", str(state)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _nothing = await process.communicate(token.encode() + b"\n")
    if process.returncode:
        raise PybibleError(f"the agent of this host can't join: {output.decode('utf-8', 'replace').strip()}")


def _tied() -> tuple[str, ...]:
    """Return what makes a child end with this process, even if that is killed; nothing where it can't be done."""
    setpriv = shutil.which("setpriv")
    return () if setpriv is None else (setpriv, "--pdeathsig", "TERM", "--")
