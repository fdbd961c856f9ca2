"""test_host_policy: what a host's own policy refuses, and what is said about a file that is wrong."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pybible.agent.policy import HostPolicy, load_policy
from pybible.wire.errors import ConfigError
from pybible.wire.tasks import Become, TaskSpec


def policy(tmp_path: Path, text: str) -> HostPolicy:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    path.chmod(0o644)
    found = load_policy(path)
    assert found is not None
    return found


def task(module: str, /, *, check: bool = False, become: str | Become = "", **args: object) -> TaskSpec:
    user = Become(user=become) if isinstance(become, str) and become else become or None
    assert not isinstance(user, str)
    return TaskSpec(module=module, args=json.dumps(args).encode(), check=check, become=user)


def test_an_empty_policy_refuses_nothing(tmp_path: Path) -> None:
    found = policy(tmp_path, "")
    assert found.refusal(task("shell", become="root")) == ""
    assert found.max_task_time is None
    assert found.summary() == ()


@pytest.mark.parametrize(
    ("text", "spec", "said"),
    [
        ('[modules]\n\ndeny = ["raw", "sh*"]', task("shell"), "module 'shell' is denied (modules.deny, {} line 3)"),
        ('[modules]\nallow = ["ping"]', task("command"), "module 'command' is not allowed (modules.allow, {} line 2)"),
        ('[modules]\ndeny = ["ansible.builtin.raw"]', task("raw"), "module 'raw' is denied (modules.deny, {} line 2)"),
        (
            "[modules]\nnative_only = true",
            task("bridge", name="community.general.snap"),
            "module 'community.general.snap' is not one of the agent's own (modules.native_only, {} line 2)",
        ),
        (
            "[modules]\nnative_only = true",
            task("async_wrapper", module="bridge", arguments={"name": "mine"}, limit=5),
            "module 'mine' is not one of the agent's own (modules.native_only, {} line 2)",
        ),
        (
            '[modules]\ndeny = ["shell"]',
            task("async_wrapper", module="shell", limit=5),
            "module 'shell' is denied (modules.deny, {} line 2)",
        ),
        (
            '[modules]\ndeny = ["shell"]',
            task("bridge", name="ansible.builtin.shell"),
            "module 'shell' is denied (modules.deny, {} line 2)",
        ),
        ('[become]\nusers = ["www-data"]', task("ping", become="root"), "user 'root' (become.users, {} line 2)"),
        ("# first\n[tasks]\ncheck_only = true", task("file"), "check mode only (tasks.check_only, {} line 3)"),
        (
            "[time]\nmax_task_seconds = 60",
            task("async_wrapper", module="command", limit=3600),
            "a job may not take 3600 seconds (time.max_task_seconds, {} line 2)",
        ),
        (
            "[time]\nmax_task_seconds = 60",
            task("async_wrapper", module="command", limit="3600"),
            "a job may not take 3600 seconds (time.max_task_seconds, {} line 2)",
        ),
        (
            "[time]\nmax_task_seconds = 60",
            task("async_wrapper", module="command"),
            "a job may not take None seconds (time.max_task_seconds, {} line 2)",
        ),
        (
            '[modules]\nallow = ["ping"]',
            task("bridge", name="ping"),
            "module 'ping' is allowed as the agent has it, and in no other form (modules.allow, {} line 2)",
        ),
        (
            '[modules]\nallow = ["ping"]',
            task("async_wrapper", module="bridge", arguments={"name": "ansible.builtin.ping"}, limit=5),
            "module 'ping' is allowed as the agent has it, and in no other form (modules.allow, {} line 2)",
        ),
        (
            '[modules]\nallow = ["ping"]',
            task("async_wrapper", module="async_wrapper", arguments={"module": "ping"}, limit=5),
            "module 'async_wrapper' is not allowed (modules.allow, {} line 2)",
        ),
        (
            "[tasks]\ncheck_only = true",
            task("bridge", name="k8s.core.k8s", check=True),
            "which alone are known to keep to check mode (tasks.check_only, {} line 2)",
        ),
    ],
)
def test_a_refusal_names_the_line(tmp_path: Path, text: str, spec: TaskSpec, said: str) -> None:
    refusal = policy(tmp_path, text).refusal(spec)
    assert refusal.startswith("refused by this host's policy: ")
    assert refusal.endswith(said.format(tmp_path / "policy.toml"))


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ('[modules]\nallow = ["ping", "ansible.builtin.stat"]', task("stat")),
        ("[modules]\nnative_only = true", task("async_wrapper", module="command", limit=5)),
        ('[become]\nusers = ["www-data"]', task("ping", become="www-data")),
        ("[become]\nusers = []", task("ping")),
        ("[tasks]\ncheck_only = true", task("file", check=True)),
        ("[tasks]\ncheck_only = true", task("setup")),
        ("[time]\nmax_task_seconds = 60", task("async_wrapper", module="command", limit=60)),
    ],
)
def test_what_is_not_refused(tmp_path: Path, text: str, spec: TaskSpec) -> None:
    assert policy(tmp_path, text).refusal(spec) == ""


@pytest.mark.parametrize(
    "become",
    [
        Become(user="www-data", executable="/bin/sh"),
        Become(user="www-data", flags="-u root sh -c id --"),
        Become(user="www-data", flags="-n 'unclosed"),
    ],
)
def test_no_way_around_the_policy_leads_through_becoming_a_user(tmp_path: Path, become: Become) -> None:
    found = policy(tmp_path, '[become]\nusers = ["www-data"]')
    refusal = replace(found, by_sudo=True).refusal(task("ping", become=become))
    assert "no task becomes a user by " in refusal
    assert refusal.endswith(f"(become.users, {tmp_path / 'policy.toml'} line 2)")
    # Root needs no program to become somebody, and starts none.
    assert replace(found, by_sudo=False).refusal(task("ping", become=become)) == ""


@pytest.mark.parametrize("flags", ["", "-H -S -n", "-HSn", "--preserve-env -n"])
def test_ordinary_flags_of_sudo_are_taken(tmp_path: Path, flags: str) -> None:
    found = replace(policy(tmp_path, '[become]\nusers = ["www-data"]'), by_sudo=True)
    assert found.refusal(task("ping", become=Become(user="www-data", flags=flags, executable="sudo"))) == ""


@pytest.mark.parametrize(
    ("moment", "runs"),
    [
        ("2026-11-23 08:00", True),
        ("2026-11-23 07:59", False),
        ("2026-11-27 17:59", True),
        ("2026-11-27 18:00", False),
        ("2026-11-28 12:00", False),
        ("2026-11-28 22:30", True),
        ("2026-11-29 05:59", True),
        ("2026-11-29 06:00", False),
        ("2026-11-29 22:30", False),
    ],
)
def test_tasks_run_at_the_hours_that_the_policy_gives(tmp_path: Path, moment: str, runs: bool) -> None:
    found = policy(tmp_path, '[time]\nhours = ["Mon-Fri 08:00-18:00", "Sat 22:00-06:00"]')
    found = replace(found, clock=lambda: time.strptime(moment, "%Y-%m-%d %H:%M"))
    assert (found.refusal(task("ping")) == "") is runs


def test_operators_see_what_is_restricted(tmp_path: Path) -> None:
    text = '[modules]\ndeny = ["raw"]\n[time]\nhours = ["Sat 22:00-06:00"]\nmax_task_seconds = 60\n[paths]\nwrite = []'
    assert policy(tmp_path, text).summary() == (
        "modules.deny: raw",
        "paths.write: none",
        "time.max_task_seconds: 60",
        "time.hours: Sat 22:00-06:00",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[modules\n", "not TOML"),
        ("\n[module]\ndeny = []", ":2: unknown table [module]; known are become, modules, paths, signed, tasks, time"),
        ("deny = []", ":1: unknown table [deny]"),
        ("[modules]\n\ndenny = []", ":3: unknown setting 'modules.denny'; did you mean 'modules.deny'?"),
        ('[modules]\ndeny = "raw"', ":2: modules.deny must be a list of texts, not 'raw'"),
        ("[modules]\nnative_only = 1", ":2: modules.native_only must be true or false, not 1"),
        ('[paths]\nwrite = ["srv"]', ":2: paths.write must be a list of absolute paths, not ['srv']"),
        ("[time]\nmax_task_seconds = 0", ":2: time.max_task_seconds must be a number of seconds above 0, not 0"),
        ('[time]\nhours = ["noon"]', ":2: time.hours must be a list of times like"),
        ('[time]\nhours = ["Mon 25:00-26:00"]', ":2: time.hours must be a list of times like"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        policy(tmp_path, text)
    assert said in str(raised.value)


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.touch()
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="others than its owner may write it"):
        load_policy(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't read"):
        load_policy(tmp_path / "policy.toml")
