"""ctls: playbooks run by pybible-ctl itself, which is killed somewhere in them, and what it says when it is not."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pybible.server.client.processes import command_path
from tests.load.chaos.site import ANY_MOMENT, Site, points_of

_LIFE = 6
_SECONDS = 3.0
# Past it a ctl hangs.
_LONGEST = 150.0
_TASKS = 3
_PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks: [{ping: }, {ping: }, {ping: }]
"""
_RECAP = re.compile(r"^(\S+)\s+: ok=(\d+) +changed=\d+ +unreachable=(\d+) +failed=(\d+) ", re.MULTILINE)
_RESULT = re.compile(r"^(?:ok|changed|fatal): \[([^\]]+)\]", re.MULTILINE)
# The exit statuses of ansible-playbook that a run which came to its end has.
_ENDED = (0, 2, 4)


@dataclass(slots=True, kw_only=True)
class Ctls:
    """Runs one after the other, in as many loops as there are calls of `run`."""

    site: Site
    hosts: Sequence[str]
    pause: float
    wrong: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Run the playbook again and again. Ends when cancelled."""
        site = self.site
        inventory, playbook = site.folder / "inventory.ini", site.folder / "site.yml"
        inventory.write_text("".join(f"{host}\n" for host in self.hosts))
        playbook.write_text(_PLAYBOOK)
        while True:
            await asyncio.sleep(self.pause * site.draw.uniform(0.5, 1.5))
            point = site.choose(points_of("ctl"), beside=(ANY_MOMENT, ""))
            process = await asyncio.create_subprocess_exec(
                *(command_path("pybible-ctl"), "run", "--controller", f"unix:{site.socket}"),
                *("-i", str(inventory), "--timeout", "5", str(playbook)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=site.environment(point, most=_LIFE),
            )
            try:
                await self._see(process, point)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()

    async def _see(self, process: asyncio.subprocess.Process, point: str) -> None:
        site = self.site
        seconds = site.draw.uniform(0.2, 1.0) * _SECONDS if point == ANY_MOMENT else _LONGEST
        async with asyncio.TaskGroup() as group:
            talking = group.create_task(process.communicate())
            done, _ = await asyncio.wait((talking,), timeout=seconds)
            if not done and point != ANY_MOMENT:
                self.wrong.append(f"pybible-ctl {process.pid} hangs: it runs since {seconds:.0f} s")
            if not done:
                process.kill()
        screen, errors = talking.result()
        status = process.returncode
        assert status is not None
        if status < 0:
            site.note("kill -9: ctl")
        elif status in _ENDED and b"PLAY RECAP" in screen:
            site.note("ctl came to its end")
            self._check(screen.decode())
        else:
            site.note(f"ctl gave up: exit status {status}")
        with (site.folder / "ctl.log").open("ab") as log:
            log.write(f"--- {point or 'no fault'}: {status}\n".encode() + screen + errors)

    def _check(self, screen: str) -> None:
        """Check that each host has a line in the recap, and as many results as it counts."""
        shown = Counter(_RESULT.findall(screen))
        recap = {host: (int(ok), int(away) + int(failed)) for host, ok, away, failed in _RECAP.findall(screen)}
        for host in self.hosts:
            ok, bad = recap.get(host, (-1, 0))
            if (ok, bad) != (_TASKS, 0) and (bad != 1 or ok >= _TASKS):
                self.wrong.append(f"ctl's recap of {host} is ok={ok}, failed or unreachable={bad}")
            if shown[host] != ok + bad:
                self.wrong.append(f"ctl shows {shown[host]} results of {host}, and counts {ok + bad}")
