"""module_sides: both sides of a module case: the stock module in a warm Python of its own, the native one in this."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pybible.agent.modules import registry
from tests.conformance.module_cases import CASES, ENVIRONMENT, Case, build, outcome
from tests.conformance.module_playbooks import Playbooks
from tests.conformance.module_reasons import set_apart
from tests.support.modules import context, run_module

_STOCK = {"shell": "command", "systemd": "systemd_service"}
_SERVER = Path(__file__).parent / "stock_modules.py"
# What a make that runs the tests tells those below it.
_OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
# The number that the machine of the records gave to a new group.
_RECORDED_GROUP = 1001

_VERSION = """
import json, pathlib, sys
if sys.argv[1:]:
    import ansible_collections
    folder = pathlib.Path(list(ansible_collections.__path__)[0], *sys.argv[1].split("."))
    print(sys.argv[1], json.loads((folder / "MANIFEST.json").read_text())["collection_info"]["version"])
else:
    import ansible.release
    print("ansible-core", ansible.release.__version__)
"""


class Stock:
    """The stock modules of one Python that has ansible-core, for as long as the block lasts."""

    def __init__(self, python: str, place: Path) -> None:
        self._python = python
        self._place = place
        self._playbooks: Playbooks | None = None
        self._server = subprocess.Popen(
            [python, _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | ENVIRONMENT
        )

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes."""
        if self._playbooks is not None:
            self._playbooks.__exit__(kind, error, trace)
        with self._server as server:
            assert server.stdin is not None
            server.stdin.close()

    def version(self, collection: str) -> str:
        """Return what a stock module comes from, with its version."""
        words = [self._python, "-c", _VERSION, *([collection] if collection else [])]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    def outcome(self, case: Case, folder: Path) -> dict[str, Any]:
        """Return what the stock module makes of a case."""
        build(case, folder)
        next_group = _next_group()
        found = outcome(case, folder, lambda arguments, check: self._call(case, folder, arguments, check))
        return _renumbered(found, next_group) if case.module == "user" else found

    def _call(self, case: Case, folder: Path, arguments: dict[str, Any], check: bool) -> dict[str, Any]:
        if case.action:
            self._playbooks = self._playbooks or Playbooks("ansible-playbook", self._python, self._place)
            return self._playbooks.call(case, arguments, check)
        arguments |= {"_ansible_check_mode": check, "_ansible_diff": case.diff}
        if case.module == "shell":
            arguments["_uses_shell"] = True
        file = folder.with_suffix(".json")
        file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}), encoding="utf-8")
        place = f"ansible_collections.{case.collection}.plugins.modules" if case.collection else "ansible.modules"
        module = f"{place}.{_STOCK.get(case.module, case.module)}"
        environment = {name: text for name, text in os.environ.items() if name not in _OF_MAKE}
        environment |= case.surroundings(folder)
        request = json.dumps([module, str(file), str(folder), environment])
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        print(request, file=self._server.stdin, flush=True)
        _, out, err = json.loads(self._server.stdout.readline())
        try:
            result: dict[str, Any] = json.loads(out)
        except ValueError:
            result = {"failed": True, "crashed": err.strip().splitlines()[-1].partition(": ")[2]}
        return result


def native(case: Case, folder: Path, playbooks: Callable[[], Playbooks]) -> dict[str, Any]:
    """Return what the native module makes of a case; `playbooks` gives the pybible-ctl for those of actions."""

    def call(arguments: dict[str, Any], check: bool) -> dict[str, Any]:
        if case.action:
            return playbooks().call(case, arguments, check)
        return run_module(case.qualified, arguments, context(check=check, diff=case.diff))

    build(case, folder)
    next_group = _next_group()
    with _surrounded(case, folder):
        found = outcome(case, folder, call)
    return _renumbered(found, next_group) if case.module == "user" else found


@contextlib.contextmanager
def _surrounded(case: Case, folder: Path) -> Iterator[None]:
    """Be in the case's folder, with its environment."""
    before = dict(os.environ)
    os.environ.update(case.surroundings(folder))
    for name in _OF_MAKE:
        os.environ.pop(name, None)
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _next_group() -> int:
    """Return the number that this machine gives to a new group."""
    return max((group.gr_gid for group in grp.getgrall() if 1000 <= group.gr_gid < 60000), default=999) + 1


def _renumbered(value: Any, number: int) -> Any:
    """Return a value with `number` as the machine of the records would have it."""
    if isinstance(value, dict):
        return {key: _renumbered(item, number) for key, item in value.items()}
    if isinstance(value, list):
        return [_renumbered(item, number) for item in value]
    if isinstance(value, str):
        return re.sub(rf"\b{number}\b", str(_RECORDED_GROUP), value)
    return _RECORDED_GROUP if value == number and not isinstance(value, bool) else value


@cache
def records(name: str) -> dict[str, Any]:
    """Return what the stock module was recorded to do, by the names of a file's cases."""
    loaded: dict[str, Any] = json.loads((CASES / f"{name}.recorded.json").read_text(encoding="utf-8"))
    return loaded


def aligned(case: Case, recorded: dict[str, Any], found: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a stock outcome and a native one without what is known to differ by the way in which they are called.

    What a case sets apart is left out of both. There ours is right by itself: it foresees, and does not repeat itself.
    """
    recorded, found = dict(recorded), dict(found)
    if "check" in case.apart and "result" in found and not case.unforeseen:
        recorded["foreseen"], found["foreseen"] = _verdict(found["result"]), _verdict(found["check"])
    if "again" in case.apart and "again" in found and not case.repeats:
        recorded["once"], found["once"] = False, found["again"].get("changed", False)
    for part in set_apart(case):
        recorded.pop(part, None)
        found.pop(part, None)
    if "touched" in case.apart:
        # Whatever the stock module touches in check mode, ours touches nothing.
        recorded["touched"] = []
    for part in ("check", "result", "again"):
        if part not in recorded:
            continue
        if "crashed" in recorded[part]:
            # A traceback is no interface: that it fails is.
            recorded[part] = {"failed": True}
            found[part] = {"failed": found[part].get("failed", False)}
        elif isinstance(recorded[part].get("msg"), str):
            recorded[part] = recorded[part] | {"msg": _of_a_task(case, recorded[part]["msg"])}
    return recorded, found


def _verdict(result: dict[str, Any]) -> list[bool]:
    return [bool(result.get(key)) for key in ("changed", "failed")]


def _of_a_task(case: Case, msg: str) -> str:
    """Return a message as it is when a task calls the module."""
    # A stock module that is run by itself does not know its name.
    module = registry.find(case.qualified)
    assert module is not None
    msg = msg.replace("(basic.py)", f"({module.name})")
    if case.module == "uri":
        # In a playbook it stands behind an action, which has words of its own.
        msg = msg.replace(
            "remote module (uri) does not support check mode", "This action (uri) does not support check mode."
        )
    return msg
