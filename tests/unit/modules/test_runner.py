"""test_runner: a module's plan becomes a result, and no failure escapes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pybible.agent.modules import registry, runner
from pybible.agent.modules.api import Change, Context, Diff, Module, ModuleError, PathText, Plan, Unchanged, arg
from tests.support.modules import context


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    path: PathText = arg(default="")
    token: str | None = arg(default=None, no_log=True)


def module(plan: Callable[[Args, Context], Plan]) -> Module[Args]:
    return Module(name="sample", args=Args, plan=plan)


def test_no_plan_means_no_change() -> None:
    result = runner.run(module(lambda _args, _context: None), {}, context())
    assert result == {"changed": False, "invocation": {"module_args": {"path": "", "token": None}}}


def test_a_change_is_applied_and_what_it_returns_wins() -> None:
    plan = Change(values={"a": 1, "b": 1}, msg="done", apply=lambda: {"b": 2})
    result = runner.run(module(lambda _args, _context: plan), {}, context())
    assert (result["changed"], result["a"], result["b"], result["msg"]) == (True, 1, 2, "done")


def test_check_mode_never_applies() -> None:
    def apply() -> None:
        raise AssertionError("check mode applied a change")

    plan = Change(values={"a": 1}, apply=apply)
    result = runner.run(module(lambda _args, _context: plan), {}, context(check=True))
    assert (result["changed"], result["a"]) == (True, 1)
    assert "exception" not in result


@pytest.mark.parametrize("wanted", [True, False])
def test_a_diff_is_shown_only_when_it_is_asked_for(wanted: bool) -> None:
    diff = Diff("a\n", "b\n", "/etc/x", "/etc/x")
    plan = Change(diff=diff, apply=lambda: None)
    result = runner.run(module(lambda _args, _context: plan), {}, context(diff=wanted))
    shown = {"before": "a\n", "after": "b\n", "before_header": "/etc/x", "after_header": "/etc/x"}
    assert result.get("diff") == (shown if wanted else None)


def test_the_modules_own_failure_is_a_result() -> None:
    def plan(args: Args, context: Context) -> Plan:
        raise ModuleError("no such thing", cause="[Errno 2]", rc=257)

    result = runner.run(module(plan), {}, context())
    assert result["failed"] is True
    assert (result["msg"], result["rc"], result["changed"]) == ("no such thing", 257, False)
    assert result["_ansible_cause"] == "[Errno 2]"
    assert "exception" not in result


def test_a_bug_in_a_module_is_a_result_with_its_traceback() -> None:
    def plan(args: Args, context: Context) -> Plan:
        raise ZeroDivisionError("division by zero")

    result = runner.run(module(plan), {}, context())
    assert (result["failed"], result["reason"]) == (True, "internal_error")
    assert result["msg"] == "Task failed: Module failed: division by zero"
    assert "ZeroDivisionError" in result["exception"]


def test_a_wrong_argument_is_a_result_with_the_arguments_as_they_came() -> None:
    result = runner.run(module(lambda _args, _context: None), {"colour": "red"}, context())
    assert result["failed"] is True
    assert result["invocation"]["module_args"]["colour"] == "red"


def test_secrets_are_nowhere_in_the_result() -> None:
    plan = Unchanged(values={"line": "token=s3cret", "list": [{"deep": "s3cret"}]})
    result = runner.run(module(lambda _args, _context: plan), {"token": "s3cret"}, context())
    assert "s3cret" not in str(result)
    assert result["line"] == "token=********"


def test_a_result_that_names_a_path_says_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("abc")
    file.chmod(0o640)
    plan = Unchanged(values={"path": str(file)})
    result = runner.run(module(lambda _args, _context: plan), {}, context())
    assert (result["mode"], result["state"], result["size"]) == ("0640", "file", 3)
    assert result["uid"] == file.stat().st_uid


def test_a_path_that_leads_nowhere_is_not_described(tmp_path: Path) -> None:
    plan = Unchanged(values={"path": str(tmp_path / "gone")})
    result = runner.run(module(lambda _args, _context: plan), {}, context())
    assert "mode" not in result


def test_every_name_of_the_registry_is_a_module_with_arguments() -> None:
    for name in registry.NAMES:
        found = registry.find(name)
        assert found is not None
        assert found.spec.arguments or name == "service_facts", name
    assert registry.find("nope") is None
    assert registry.find("ansible.builtin.ping") is None


def test_a_worker_that_runs_small_modules_loads_nothing_heavy() -> None:
    # These talk to web servers, hash names or ask which distribution this is.
    large = {
        "apt_key", "deb822_repository", "dnf", "dnf5", "get_url", "known_hosts", "package", "rpm_key", "service",
        "setup", "uri", "ansible.posix.synchronize", "community.general.archive", "community.general.htpasswd",
    }  # fmt: skip
    names = [name for name in registry.NAMES if name not in large]
    script = (
        "import sys\n"
        "from pybible.agent.modules import registry, runner\n"
        "assert not [name for name in sys.modules if name == 'pybible.agent.modules.file']\n"
        f"for name in {names!r}: registry.find(name).spec\n"
        "heavy = {'grpc', 'google.protobuf', 'psutil', 'distro', 'asyncio', 'ssl', 'yaml', 'jinja2', 'cryptography'}\n"
        "print(sorted((heavy | {'_hashlib'}) & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
