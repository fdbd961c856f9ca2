"""renewals: certificates are renewed while playbooks run, and so is the authority that signs them: no task may fail.

`python -m tests.load.renewals [--agents 20] [--lifetime 60] [--seconds 180]` runs two playbooks on real agents: one of
many short tasks with content, one whose only task outlives several certificates. The issuing authority is rotated after
a third of the time and again after two. Prints what was renewed and how the runs ended; ends with 1 if anything failed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.support.lab import Lab, lab

_SHORT = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: many short tasks
      include_tasks: round.yml
      loop: "{{ range(rounds | int) | list }}"
      loop_control: {loop_var: number}
"""
_ROUND = """\
- command: sleep 0.3
- copy:
    content: "{{ 'x' * 100000 }} {{ number }}"
    dest: "{{ scratch }}/{{ inventory_hostname }}"
    mode: "0600"
- slurp: {src: "{{ scratch }}/{{ inventory_hostname }}"}
- ping:
"""
_LONG = """\
- hosts: all
  gather_facts: false
  tasks:
    - command: sleep {{ seconds }}
"""


def _spawn(running: Lab, folder: Path, playbook: str, agents: int, *variables: str) -> subprocess.Popen[str]:
    extra = [word for variable in variables for word in ("-e", variable)]
    words = ["run", "--forks", str(agents), *extra, str(folder / playbook)]
    # What a long run prints must not fill a pipe.
    with (folder / f"{playbook}.out").open("w") as out:
        return subprocess.Popen(
            ["pybible-ctl", *words, "--controller", running.controller], stdout=out, stderr=out, text=True
        )


def _rotate(running: Lab) -> None:
    print(running.ctl("pki", "rotate", check=True).stdout.strip())


def _renewals(running: Lab) -> Counter[str]:
    """Return how often each agent renewed, as the audit log has it."""
    records = map(json.loads, running.ctl("audit", "export", check=True).stdout.splitlines())
    entries = [each["entry"] for each in records]
    return Counter(each["actor"]["identity"] for each in entries if each["action"] == "certificate.renew")


def _retired(running: Lab, *, seconds: float) -> str:
    """Retire what was replaced, once nothing hangs on it."""
    until = time.monotonic() + seconds
    while (done := running.ctl("pki", "retire")).returncode and time.monotonic() < until:
        time.sleep(1)
    return (done.stdout or done.stderr).strip()


def _recap(text: str) -> Counter[str]:
    """Add up the counts of a recap."""
    found: Counter[str] = Counter()
    for line in text.partition("PLAY RECAP")[2].splitlines():
        for word in line.partition(":")[2].split():
            name, _, number = word.partition("=")
            found[name] += int(number)
    return found


def _write(folder: Path) -> None:
    for name, text in (("short.yml", _SHORT), ("round.yml", _ROUND), ("long.yml", _LONG)):
        (folder / name).write_text(text)


def measure(*, agents: int, lifetime: float, seconds: float) -> bool:
    """Do it and print the figures. Say whether nothing failed."""
    with (
        tempfile.TemporaryDirectory() as name,
        lab(agents=agents, config=f"agent_certificate_ttl = {lifetime:.1f}\n") as running,
    ):
        folder = Path(name)
        _write(folder)
        began = time.monotonic()
        # A round takes a second and more.
        short = _spawn(running, folder, "short.yml", agents, f"rounds={seconds:.0f}", f"scratch={folder}")
        long = _spawn(running, folder, "long.yml", agents, f"seconds={seconds * 0.9:.0f}")
        for _ in range(2):
            time.sleep(seconds / 3)
            _rotate(running)
        ended = [process.wait(timeout=20 * seconds) for process in (short, long)]
        took = time.monotonic() - began
        renewals = _renewals(running)
        print(_retired(running, seconds=lifetime))
        texts = [(folder / f"{each}.out").read_text() for each in ("short.yml", "long.yml")]
        recap = _recap(texts[0]) + _recap(texts[1])
        each = sorted(renewals.values())
        print(f"{agents} agents, certificates of {lifetime:.0f} s, {took:.0f} s of runs, exit statuses {ended}")
        print(f"renewals: {sum(each)}, of an agent {each[0]} to {each[-1]}; {len(each)} agents renewed")
        print(f"results: {dict(recap)}")
        good = (
            ended == [0, 0]
            and len(each) == agents
            and not +Counter({key: recap[key] for key in ("failed", "unreachable")})
        )
        if not good:
            print(*(line for text in texts for line in text.splitlines() if "fatal:" in line), sep="\n")
        return good


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--agents", type=int, default=20)
    parser.add_argument("--lifetime", type=float, default=60.0)
    parser.add_argument("--seconds", type=float, default=180.0)
    options = parser.parse_args()
    return 0 if measure(agents=options.agents, lifetime=options.lifetime, seconds=options.seconds) else 1


if __name__ == "__main__":
    sys.exit(main())
