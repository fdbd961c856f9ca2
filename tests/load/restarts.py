"""restarts: the controller is killed in the middle of runs and started again, and nobody must notice.

`python -m tests.load.restarts --agents 20 --times 20`: runs of many kinds of tasks, each of which leaves a mark on
disk. In every run the controller is killed at a seeded moment (or, every other time, comes to a fault point at which it
kills itself), once or twice, and started again. Afterwards each task was executed once on each host, never more than
`forks` at once; recap and exit status are those of a run that nothing happened to; the history has one end for each
attempt; no result waits. A run whose controller is gone before it has begun is none: it is begun again.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.load.chaos.checks import waiting_results
from tests.support.lab import Lab, lab

_FORKS = 7
# With it nothing is given up on a busy machine.
_SETTINGS = "recovery_window = 90.0\naccept_timeout = 30.0\n"
# The controller dies so often that they would wait a minute.
_AGENT_SETTINGS = "reconnect_limit = 4.0\n"
_POINTS = (
    "before_dispatch", "after_dispatch_sent", "after_accepted", "before_verdict", "after_verdict", "before_store",
    "after_store", "after_ack_sent",
)  # fmt: skip
_LONGEST = 240.0
_READY_SECONDS = 90.0
_LOOK = 0.05
_BEGIN = "echo begin TASK {{ inventory_hostname }} $(date +%s.%N) >> {{ marks }}"
_END = "echo end TASK {{ inventory_hostname }} $(date +%s.%N) >> {{ marks }}"
_PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - {name: quick, shell: "BEGIN(quick); END(quick)"}
    - {name: slow, shell: "BEGIN(slow); sleep {{ 0.05 * (range(1, 20) | random) }}; END(slow)"}
    - {name: throttled, throttle: 2, shell: "BEGIN(throttled); sleep 0.05; END(throttled)"}
    - {name: here, shell: "BEGIN(here); sleep 0.1; END(here)", delegate_to: localhost, connection: local}
    - {name: middling, shell: "BEGIN(middling); head -c 30000 /dev/zero | tr '\\\\0' x; END(middling)"}
    - {name: large, shell: "BEGIN(large); head -c 400000 /dev/zero | tr '\\\\0' x; END(large)", register: large}
    - {name: whole, assert: {that: "large.stdout | length == 400000"}}
    - {name: secret, shell: "BEGIN(secret); END(secret)", no_log: true}
    - {name: contents, copy: {src: "{{ contents }}", dest: "{{ marks }}.{{ inventory_hostname }}"}}
    - {name: items, shell: "BEGIN(item{{ item }}); END(item{{ item }})", loop: [1, 2]}
    - {name: fails, shell: "BEGIN(fails); END(fails); false", ignore_errors: true}
    - {name: notifies, shell: "BEGIN(notifies); END(notifies)", notify: handler}
  handlers:
    - {name: handler, shell: "BEGIN(handler); sleep 0.2; END(handler)"}

- hosts: all
  gather_facts: false
  strategy: free
  tasks:
    - {name: free1, shell: "BEGIN(free1); sleep {{ 0.02 * (range(1, 20) | random) }}; END(free1)"}
    - {name: free2, shell: "BEGIN(free2); END(free2)"}
"""
_TASKS = (
    "quick", "slow", "throttled", "here", "middling", "large", "secret", "item1", "item2", "fails", "notifies",
    "handler", "free1", "free2",
)  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Site:
    """Where it happens. `recap` is how a run ends that nothing happens to, `seconds` how long it takes."""

    fleet: Lab
    folder: Path
    hosts: tuple[str, ...]
    recap: str = ""
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def spawn(self, number: int) -> tuple[subprocess.Popen[str], Path]:
        """Start a run, and say where its marks will be."""
        marks = self.folder / f"marks{number}"
        told = (f"marks={marks}", f"contents={self.folder}/contents")
        options = [word for text in told for word in ("-e", text)]
        files = ("-i", f"{self.folder}/inventory", f"{self.folder}/site.yml")
        return self.fleet.spawn("run", "--forks", str(_FORKS), *options, *files), marks


def _playbook() -> str:
    text = _PLAYBOOK
    for task in (*_TASKS, "item{{ item }}"):
        text = text.replace(f"BEGIN({task})", _BEGIN.replace("TASK", task))
        text = text.replace(f"END({task})", _END.replace("TASK", task))
    return text


def _wait_until_ready(site: Site) -> None:
    end = time.monotonic() + _READY_SECONDS
    while site.fleet.ctl("agents").stdout.count(" ready ") < len(site.hosts):
        if time.monotonic() > end:
            raise TimeoutError("agents do not come back")
        time.sleep(0.5)


def _is_dead(fleet: Lab) -> bool:
    process = fleet.started.get("controller")
    return process is not None and process.poll() is not None


def _trouble(site: Site, run: subprocess.Popen[str], marks: Path, draw: random.Random, *, fault: bool) -> Iterator[str]:
    """Let the controller die, as often as drawn, and start it again. Says what happened."""
    fleet = site.fleet
    while not (fault or marks.exists() or run.poll() is not None):
        time.sleep(_LOOK)
    for number in range(draw.choice((1, 1, 1, 2))):
        pause = draw.uniform(0.05, max(0.5, site.seconds * (0.9 if not number else 0.4)))
        away = draw.choice((0.0, 0.3, 1.0, 3.0))
        end = time.monotonic() + (pause if not fault or number else _LONGEST)
        while time.monotonic() < end and run.poll() is None and not _is_dead(fleet):
            time.sleep(_LOOK)
        if run.poll() is not None:
            return
        if _is_dead(fleet):
            yield f"died by itself, away for {away:g} s"
            fleet.started.pop("controller")
        else:
            fleet.kill("controller")
            yield f"killed after {pause:.2f} s, away for {away:g} s"
        time.sleep(away)
        fleet.start_controller()


def _one(site: Site, number: int, draw: random.Random) -> str:
    while (said := _tried(site, number, draw)) is None:
        print(f"{number:3}: the controller died before the run had begun", flush=True)
    return said


def _tried(site: Site, number: int, draw: random.Random) -> str | None:
    fault = number % 2 == 0
    armed = ""
    if fault:
        point = draw.choice(_POINTS)
        # Most results come before their Accepted is sent, and a write is of many.
        often = 20 if point in {"after_accepted", "before_store", "after_store", "after_ack_sent"} else 60
        armed = f"{point}:kill9@{draw.randint(1, often)}"
        site.fleet.kill("controller")
        site.fleet.start_controller(environment={"PYBIBLE_FAULT": armed})
        _wait_until_ready(site)
    began = time.monotonic()
    run, marks = site.spawn(number)
    happened = list(_trouble(site, run, marks, draw, fault=fault))
    try:
        screen, errors = run.communicate(timeout=_LONGEST)
    except subprocess.TimeoutExpired:
        run.kill()
        screen, errors = run.communicate()
        site.wrong.append(f"run {number} is stuck")
    seconds = time.monotonic() - began
    if _is_dead(site.fleet):
        # It came to its point when the run was over.
        site.fleet.started.pop("controller")
        site.fleet.start_controller()
    _wait_until_ready(site)
    if run.returncode == 1 and not marks.exists() and "can't be reached" in errors:
        return None
    found = [*_check_screen(site, run.returncode, screen, errors), *_check_marks(site, marks), *_check_store(site)]
    site.wrong += [f"run {number}: {text}" for text in found]
    if found:
        (site.folder / f"screen{number}").write_text(screen + errors)
    return f"{number:3}: {seconds:5.1f} s, exit {run.returncode}; {armed} {', '.join(happened) or 'nothing happened'}"


def _recap(screen: str) -> str:
    return screen.partition("PLAY RECAP")[2].strip(" *\n")


def _check_screen(site: Site, status: int, screen: str, errors: str) -> Iterator[str]:
    if status:
        yield f"exit status {status}: {errors.strip()[-500:]}"
    if _recap(screen) != site.recap:
        yield f"another recap:\n{_recap(screen)}"
    if "Traceback" in errors:
        yield errors


def _check_marks(site: Site, marks: Path) -> Iterator[str]:
    lines = [line.split() for line in marks.read_text().splitlines()] if marks.exists() else []
    counted = Counter((kind, task, host) for kind, task, host, _ in lines)
    for kind in ("begin", "end"):
        for task in _TASKS:
            for host in site.hosts:
                if counted[kind, task, host] != 1:
                    yield f"{kind} of {task} on {host}: {counted[kind, task, host]} times"
    out = most = 0
    for _, step in sorted((float(at), 1 if kind == "begin" else -1) for kind, _, _, at in lines):
        out += step
        most = max(most, out)
    if most > _FORKS:
        yield f"{most} tasks ran at once"


def _check_store(site: Site) -> Iterator[str]:
    # Whoever asks for a run gets what is stored by then.
    site.fleet.ctl("runs", "show", "latest", check=True)
    with closing(sqlite3.connect(site.fleet.folder / "controller" / "controller.db")) as connection:
        run_id, state = connection.execute("SELECT run_id, state FROM runs ORDER BY run_id DESC LIMIT 1").fetchone()
        query = "SELECT attempt_id, state, reason, dispatched, ended FROM attempts WHERE run_id = ?"
        rows = connection.execute(query, (run_id,)).fetchall()
    if state != "finished":
        yield f"the run is {state}"
    yield from (f"{name} is {state} {reason}" for name, state, reason, *_ in rows if state != "done" or reason)
    # Each mark but those of items is an attempt, and so is what copy asks first.
    if len(rows) < (len(_TASKS) + 1) * len(site.hosts):
        yield f"the history has {len(rows)} attempts"
    yield from (f"{row[0]} has no moments in the history: {row[1:]}" for row in rows if None in row[3:])
    whole = [row for row in rows if None not in row[3:]]
    moments = sorted([(row[3], 1) for row in whole] + [(row[4], -1) for row in whole])
    out = most = 0
    for _, step in moments:
        out += step
        most = max(most, out)
    if most > _FORKS:
        yield f"the history has {most} attempts out at once"
    waiting = waiting_results(sorted((site.fleet.folder / "agents").glob("*[0-9]")))
    yield from (f"the result of {name} still waits" for name in waiting)


def _prepare(fleet: Lab, folder: Path, agents: int) -> Site:
    hosts = tuple(f"lab{number:02}" for number in range(1, agents + 1))
    (folder / "inventory").write_text("\n".join(hosts) + "\n")
    (folder / "site.yml").write_text(_playbook())
    (folder / "contents").write_bytes(os.urandom(600_000))
    site = Site(fleet=fleet, folder=folder, hosts=hosts)
    began = time.monotonic()
    run, marks = site.spawn(0)
    screen, errors = run.communicate(timeout=_LONGEST)
    site.seconds = time.monotonic() - began
    site.recap = _recap(screen)
    site.wrong += [f"run 0: {text}" for text in _check_screen(site, run.returncode, screen, errors)]
    site.wrong += [f"run 0: {text}" for text in (*_check_marks(site, marks), *_check_store(site))]
    return site


def main() -> int:
    """Do it, and say what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.restarts", description=__doc__)
    parser.add_argument("--agents", type=int, default=20)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--keep", type=Path, help="leave everything in this folder")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="restarts") as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(exist_ok=True)
        with lab(agents=options.agents, config=_SETTINGS, agent_config=_AGENT_SETTINGS, state=folder / "lab") as fleet:
            site = _prepare(fleet, folder, options.agents)
            print(f"  0: {site.seconds:5.1f} s without trouble", flush=True)
            try:
                for number in range(1, options.times + 1):
                    print(_one(site, number, random.Random(f"{options.seed}/{number}")), flush=True)
            finally:
                if options.keep is not None:
                    # The lab's own folder is removed with it.
                    shutil.copytree(fleet.folder, folder / "kept", ignore=shutil.ignore_patterns("*.sock*"))
    for text in site.wrong[:50]:
        print(f"WRONG: {text}")
    print(f"{len(site.wrong)} wrong")
    return 1 if site.wrong else 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        sys.exit(main())
    sys.exit(130)
