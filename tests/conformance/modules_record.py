"""modules_record: run every module case with the stock module and with ours, live, and record what the stock one did.

`python -m tests.conformance.modules_record [NAME ...]`, a part of `make conformance`; NAME is a file of modules/. The
stock modules are those of .venv-modules, or of the environment that ANSIBLE_MODULES_VENV names: ansible-core with the
collections of PyPI's `ansible`. Ends with status 1 when a module differs, a record was another, or a case gives a
reason for what the stock module does otherwise and it does not.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from tests.conformance.module_cases import CASES, Case, load, names
from tests.conformance.module_playbooks import Playbooks
from tests.conformance.module_reasons import recorded, shown, unneeded
from tests.conformance.module_sides import Stock, aligned, native

ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = 2
# What changes the machine's accounts, packages, services and mounts, and what tells of them: one after the other.
_OF_THE_MACHINE = (
    "apt", "pip", "pip_index", "firewalld", "user", "group", "service", "sysvinit", "service_facts", "ufw", "iptables",
    "apt_key", "apt_repository", "deb822_repository", "debconf", "dpkg_selections", "package_facts", "alternatives",
    "locale_gen", "timezone", "hostname", "getent", "at", "cron", "mount", "mount_facts", "filesystem",
    "filesystem_devices", "systemd",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What came of one file's cases: how many, those that could not run, what differs, whether its record is new.

    unneeded: reasons for what does not happen.
    """

    name: str
    count: int
    lacking: Sequence[str]
    differing: Sequence[str]
    unneeded: Sequence[str]
    rewritten: bool


def compare(name: str, stock: Stock, playbooks: Callable[[], Playbooks]) -> Compared:
    """Run all cases of a file on both sides and write down the stock side."""
    cases = load(name)
    found: dict[str, Any] = {"": stock.version(cases[0].collection)}
    asked: dict[str, set[str]] = {}
    lacking, differing = [], []
    file = CASES / f"{name}.recorded.json"
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    for case in cases:
        if missing := case.lacking():
            # What can't be asked here stays as it was.
            lacking.append(f"{case.name}: no {missing}")
            found[case.name] = json.loads(before).get(case.name) if before else None
            continue
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place).resolve() / "case"
            theirs = stock.outcome(case, folder)
            ours = native(case, folder, playbooks)
            found[case.name] = recorded(case, theirs)
            asked[case.name] = shown(case, theirs) | {f"apart {part}" for part in really_apart(case, theirs, ours)}
            differing += differences(case, theirs, ours)
    text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=True) + "\n"
    if text != before:
        file.write_text(text, encoding="utf-8")
    return Compared(
        name=name,
        count=len(cases),
        lacking=lacking,
        differing=differing,
        unneeded=unneeded(cases, asked),
        rewritten=text != before,
    )


def really_apart(case: Case, theirs: dict[str, Any], ours: dict[str, Any]) -> set[str]:
    """Return those parts that a case sets apart in which the two sides do differ."""
    theirs, ours = aligned(replace(case, apart={}, unsteady={}), theirs, ours)
    return {part for part in case.apart if theirs.get(part) != ours.get(part)}


def differences(case: Case, theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """Return what differs of two outcomes, as text; nothing when they are the same."""
    theirs, ours = aligned(case, theirs, ours)
    if theirs == ours:
        return []
    expected, found = (json.dumps(side, indent=1, sort_keys=True).splitlines() for side in (theirs, ours))
    lines = difflib.unified_diff(expected, found, "stock", "native", lineterm="", n=3)
    return [f"{case.name}\n" + "\n".join(f"    {line[:400]}" for line in lines)]


def together(python: str, files: Sequence[str]) -> list[Compared]:
    """Compare some files, one after the other."""
    with tempfile.TemporaryDirectory() as text, contextlib.ExitStack() as opened:
        place = Path(text).resolve()

        @cache
        def playbooks() -> Playbooks:
            return opened.enter_context(Playbooks("pybible-ctl", sys.executable, place / "ours"))

        stock = opened.enter_context(Stock(python, place / "theirs"))
        compared = []
        for name in files:
            compared.append(compare(name, stock, playbooks))
            report(compared[-1])
        return compared


def main(given: Sequence[str]) -> int:
    """Compare and record the named files, or all."""
    venv = Path(os.environ.get("ANSIBLE_MODULES_VENV", ROOT / ".venv-modules"))
    if not (venv / "bin" / "python").exists():
        print(f"no Python in {venv}: run `make conformance`", file=sys.stderr)
        return 1
    if os.getuid() != 0:
        print("module cases show owners and change accounts and packages: run them as root", file=sys.stderr)
        return 1
    chosen = list(given) or names()
    serial = [name for name in _OF_THE_MACHINE if name in chosen]
    jobs = [serial, *([name] for name in chosen if name not in serial)]
    results: list[Compared] = []
    with ProcessPoolExecutor(AT_ONCE, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = [pool.submit(together, str(venv / "bin" / "python"), job) for job in jobs if job]
        for done in as_completed(running):
            results += done.result()
    cases = sum(result.count for result in results)
    differing = sum(len(result.differing) for result in results)
    idle = sum(len(result.unneeded) for result in results)
    rewritten = " ".join(result.name for result in results if result.rewritten)
    print(
        f"\n{len(results)} modules, {cases} cases, {differing} differ; reasons that nothing asks for: {idle};"
        f" records that were others: {rewritten or 'none'}"
    )
    return 1 if differing or idle or rewritten else 0


def report(result: Compared) -> None:
    """Print what came of one file."""
    wrong = {"DIFFERS": result.differing, "REASONS": result.unneeded, "RECORD ": result.rewritten}
    kind = next((kind for kind, is_so in wrong.items() if is_so), "same   ")
    print(f"{kind} {result.name}: {result.count} cases", flush=True)
    for text in (*result.lacking, *result.differing, *result.unneeded):
        print(f"  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
