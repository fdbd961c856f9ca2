"""record_transcripts: make transcripts on a machine that has the real package managers, beside the stock modules.

python -m tests.support.record_transcripts [--python PYTHON_WITH_ANSIBLE] NAME...

Run it as root in a throw-away root folder: it installs and removes. `transcripts/NAME.yml` says `module`, `programs`
(those whose calls are kept), `of` (a command that prints their versions), `setup` (commands that make the state every
case starts from) and `cases`: name, args, `setup` of its own, `modes` (plain, check, diff), `again` (a second call).
Each case is applied by the stock module and, from the same state, by ours; what differs is printed. What is written is
ours: its result, and what the programs were asked and said.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support.modules import context, run_module
from tests.support.transcripts import FOLDER, without_place

_RECORDER = """
import json, os, pathlib, stat, subprocess, sys
log = pathlib.Path({log!r})
piped = stat.S_ISFIFO(os.fstat(0).st_mode)
stdin = sys.stdin.buffer.read() if piped else None
done = subprocess.run([{real!r}, *sys.argv[1:]], input=stdin, capture_output=True, check=False)
call = {{"argv": [{name!r}, *sys.argv[1:]], "rc": done.returncode, "stdout": done.stdout.decode(), "stderr": done.stderr.decode()}}
if piped:
    call["stdin"] = stdin.decode()
log.write_text(json.dumps([*(json.loads(log.read_text()) if log.exists() else []), call]))
sys.stdout.write(call["stdout"])
sys.stderr.write(call["stderr"])
sys.exit(done.returncode)
"""  # noqa: E501
# The same for every case: it is in what is written.
_PLACE = Path("/tmp/transcript")
_SMALL = 10_000


@contextlib.contextmanager
def _programs(programs: Sequence[str]) -> Iterator[Path]:
    """Give a folder with programs that write down how they are called."""
    folder = _PLACE / "bin"
    folder.mkdir()
    log = folder / "calls.json"
    for name in programs:
        real = subprocess.run(["/usr/bin/which", name], capture_output=True, text=True, check=True).stdout.strip()
        code = _RECORDER.format(log=str(log), real=real, name=name)
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} -c {shlex.quote(code)} "$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def _start(commands: Sequence[str]) -> dict[str, str]:
    """Make the state that a case starts from; return the small texts in its folder."""
    shutil.rmtree(_PLACE, ignore_errors=True)
    _PLACE.mkdir()
    for command in commands:
        subprocess.run(["/bin/sh", "-c", command], check=False, capture_output=True, cwd=_PLACE)
    files = [path for path in _PLACE.rglob("*") if path.is_file() and path.stat().st_size < _SMALL]
    return {str(path.relative_to(_PLACE)): path.read_bytes().decode("utf-8", "replace") for path in files}


def _stock(python: str, module: str, args: Mapping[str, Any], how: str) -> dict[str, Any]:
    given = {**args, "_ansible_check_mode": "check" in how, "_ansible_diff": "diff" in how}
    collection, _, name = module.rpartition(".")
    place = f"ansible_collections.{collection}.plugins.modules" if collection else "ansible.modules"
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump({"ANSIBLE_MODULE_ARGS": given}, file)
        file.flush()
        done = subprocess.run(
            [*shlex.split(python), "-m", f"{place}.{name}", file.name], capture_output=True, text=True, check=False
        )
    try:
        result: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        result = {"failed": True, "crashed": done.stderr.strip().splitlines()[-1:]}
    return _plain(result)


def _plain(result: Mapping[str, Any]) -> dict[str, Any]:
    hidden = ("invocation", "warnings", "exception", "deprecations")
    plain: dict[str, Any] = without_place({k: v for k, v in result.items() if k not in hidden}, _PLACE)
    return plain


def _cases(document: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str, int]]:
    for case in document["cases"]:
        for how in case.get("modes", ["plain"]):
            for call in range(2 if case.get("again") and how == "plain" else 1):
                yield case, how, call


def _record(document: Mapping[str, Any], python: str, ignored: frozenset[str]) -> list[dict[str, Any]]:
    recorded = []
    for case, how, call in _cases(document):
        name = case["name"] + ("" if how == "plain" else f" ({how})") + (" (again)" if call else "")
        args = json.loads(json.dumps(case["args"]).replace("PLACE", str(_PLACE)))
        commands = [*document.get("setup", []), *case.get("setup", [])]
        results = []
        for ours in (False, True):
            files = _start(commands)
            with _programs(document["programs"] if ours else []) as folder:
                path, log = os.environ["PATH"], folder / "calls.json"
                for number in range(call + 1):
                    if ours and number == call:
                        os.environ["PATH"] = f"{folder}:{path}"
                    if ours:
                        result = _plain(
                            run_module(document["module"], args, context(check="check" in how, diff="diff" in how))
                        )
                    else:
                        result = _stock(python, document["module"], args, how)
                os.environ["PATH"] = path
                if ours:
                    calls = json.loads(log.read_text()) if log.exists() else []
            results.append(result)
        _compare(name, results[0], results[1], ignored)
        entry = {"name": name, "args": case["args"], "commands": without_place(calls, _PLACE), "result": results[1]}
        entry |= {"files": files} if files else {}
        recorded.append(entry | ({"check": True} if "check" in how else {}) | ({"diff": True} if "diff" in how else {}))
    return recorded


def _compare(name: str, stock: Mapping[str, Any], ours: Mapping[str, Any], ignored: frozenset[str]) -> None:
    ours = {"changed": False, **ours}
    stock = {"changed": False, **stock}
    ours = json.loads(json.dumps(ours).replace("PLACE/bin/", "/usr/bin/"))
    for key in sorted({*stock, *ours} - ignored):
        if stock.get(key) != ours.get(key):
            sys.stdout.write(f"{name}: {key}: stock {stock.get(key)!r}\n  ours {ours.get(key)!r}"[:1500] + "\n")


def main() -> None:
    """Record the transcripts that are named."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--python", default="python3")
    options.add_argument("names", nargs="+")
    given = options.parse_args()
    for name in given.names:
        document = yaml.safe_load((FOLDER / f"{name}.yml").read_text(encoding="utf-8"))
        of = subprocess.run(
            ["/bin/sh", "-c", document["of"]], capture_output=True, text=True, check=False
        ).stdout.strip()
        cases = _record(document, given.python, frozenset(document.get("ignored", ())))
        kept = {"module": document["module"], "of": of, "programs": document["programs"], "cases": cases}
        text = json.dumps(kept, indent=1, sort_keys=True) + "\n"
        (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")
        sys.stdout.write(f"{name}: {len(cases)} cases of {of}\n")


if __name__ == "__main__":
    main()
