"""test_agent_workers: the pool with real worker processes, and modules that do what no module should."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from pybible.agent.become import WorkerIdentity
from pybible.agent.workers import ContentError, Finished, WorkerPool
from pybible.wire.outcomes import Reason
from pybible.wire.tasks import Attachment, Become, TaskSpec
from pybible.wire.values import JsonObject, loads_object
from tests.support import odd_worker
from tests.support.processes import alive, pid_written_to, until, until_dead

ODD = (sys.executable, odd_worker.__file__)
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user here")


class Told:
    """What the pool said (Sink)."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.outputs: list[tuple[str, str, int, bytes, int]] = []
        self.results: dict[str, Finished] = {}
        self.begun: list[str] = []
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def started(self, attempt_id: str) -> None:
        self.begun.append(attempt_id)

    def output(self, attempt_id: str, stream: str, offset: int, data: bytes, dropped: int) -> None:
        self.outputs.append((attempt_id, stream, offset, data, dropped))

    def finished(self, attempt_id: str, result: Finished) -> None:
        assert attempt_id not in self.results
        self.results[attempt_id] = result
        self.order.append(attempt_id)

    async def result(self, attempt_id: str) -> tuple[JsonObject, str]:
        await until(lambda: attempt_id in self.results)
        found = self.results[attempt_id]
        return loads_object(found.content), found.reason


class Store:
    """The contents of tasks, at hand or not (ContentSource)."""

    async def locate(self, attachment: Attachment) -> Attachment:
        if attachment.inline is None and not attachment.path:
            raise ContentError("no such content")
        return attachment

    def release(self, attachment: Attachment) -> None:
        pass

    async def take(self, attachment: Attachment, parts: AsyncIterator[bytes]) -> None:
        raise ContentError("nothing is taken here")


def odd(become: Become | None) -> WorkerIdentity:
    """Odd workers, which drop to the user if there is one."""
    return WorkerIdentity("", ODD) if become is None else WorkerIdentity(become.user, (*ODD, become.user))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def pool(told: Told) -> AsyncIterator[WorkerPool]:
    async with WorkerPool(told, slots=2, contents=Store(), identify=odd) as started:
        yield started


def task(module: str, **more: object) -> TaskSpec:
    return TaskSpec(module=module, args=b"{}", **more)  # type: ignore[arg-type]


async def still_works(pool: WorkerPool, told: Told) -> JsonObject:
    pool.submit("after", task("looks"))
    result, reason = await told.result("after")
    assert reason == ""
    return result


async def test_one_worker_serves_task_after_task(pool: WorkerPool, told: Told) -> None:
    pids = set()
    for number in range(5):
        pool.submit(f"a{number}", task("looks"))
        result, _ = await told.result(f"a{number}")
        pids.add(result["pid"])
    assert len(pids) == 1
    assert pids != {os.getpid()}


async def test_what_a_module_prints_is_no_frame_and_is_not_lost(pool: WorkerPool, told: Told) -> None:
    pool.submit("a", task("prints"))
    result, reason = await told.result("a")
    assert (result["mine"], reason) == (True, "")
    [warning] = result["warnings"]
    assert "this is no result" in warning
    assert "on stderr" in warning
    await still_works(pool, told)


async def test_what_a_secret_module_prints_stays_secret(pool: WorkerPool, told: Told) -> None:
    pool.submit("a", task("prints", no_log=True))
    result, _ = await told.result("a")
    assert "warnings" not in result


@pytest.mark.parametrize(
    ("module", "reason", "words"),
    [
        ("exits", Reason.INTERNAL_ERROR, "SystemExit: 3"),
        ("interrupts", Reason.INTERNAL_ERROR, "KeyboardInterrupt"),
        ("raises", Reason.INTERNAL_ERROR, "IndexError: list index out of range"),
        ("dies", Reason.WORKER_DIED, "exit status 7"),
        ("not_json", Reason.BAD_RESULT, "a value of type Unprintable can't be sent"),
        ("not_a_dict", Reason.BAD_RESULT, "the module returned str, not a dictionary"),
        ("unheard_of", Reason.UNKNOWN_MODULE, "no module 'unheard_of'"),
    ],
)
async def test_a_module_that_goes_wrong_is_that_tasks_failure(
    pool: WorkerPool, told: Told, module: str, reason: Reason, words: str
) -> None:
    pool.submit("a", task(module))
    result, why = await told.result("a")
    assert (result["failed"], result["reason"], why) == (True, reason, reason)
    assert words in result["msg"]
    await still_works(pool, told)


async def test_the_last_words_of_a_dead_worker_are_in_the_result(pool: WorkerPool, told: Told) -> None:
    pool.submit("a", task("dies"))
    result, _ = await told.result("a")
    assert result["module_stderr"] == "last words"


async def test_text_that_is_not_utf8_survives(pool: WorkerPool, told: Told) -> None:
    pool.submit("a", task("nan"))
    result, _ = await told.result("a")
    assert result["text"] == "\udcff"


async def test_what_a_dead_worker_had_started_is_killed(pool: WorkerPool, told: Told, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    pool.submit("a", task("dies_with_a_child", attachments=(Attachment(sha256="pid", size=0, path=str(pid_file)),)))
    child = await pid_written_to(pid_file)
    await told.result("a")
    await until_dead(child)


@pytest.mark.parametrize("module", ["spins", "swallows"])
async def test_a_task_without_end_is_ended_by_its_timeout(pool: WorkerPool, told: Told, module: str) -> None:
    pool.submit("a", task(module, timeout=0.3))
    result, reason = await told.result("a")
    assert (result["msg"], reason) == ("Timed out after 0.3 second(s).", Reason.TIMED_OUT)
    assert result["timedout"] == {"period": 0.3}
    await still_works(pool, told)


async def test_a_running_task_is_cancelled(pool: WorkerPool, told: Told) -> None:
    pool.submit("a", task("spins"))
    await until(lambda: bool(told.begun))
    assert pool.cancel("a", grace=1)
    _, reason = await told.result("a")
    assert reason == Reason.CANCELLED
    assert not pool.cancel("a", grace=1)
    await still_works(pool, told)


async def test_a_task_that_is_cancelled_at_once_never_begins(pool: WorkerPool, told: Told) -> None:
    pool.submit("a", task("spins"))
    pool.cancel("a", grace=0)
    _, reason = await told.result("a")
    assert reason == Reason.CANCELLED
    assert told.begun == []


async def test_a_waiting_task_is_cancelled_without_ever_running(pool: WorkerPool, told: Told) -> None:
    for name in ("a", "b", "c"):
        pool.submit(name, task("spins"))
    assert pool.waiting == 1
    pool.cancel("c", grace=1)
    _, reason = await told.result("c")
    assert reason == Reason.CANCELLED
    assert "c" not in told.begun


async def test_no_more_run_than_there_are_slots_and_the_first_come_first(pool: WorkerPool, told: Told) -> None:
    names = [f"a{number}" for number in range(20)]
    for name in names:
        pool.submit(name, task("looks"))
    assert (pool.running, pool.waiting) == (2, 18)
    await pool.idle()
    assert sorted(told.order) == sorted(names)
    assert told.begun == names


async def test_output_ends_at_its_limit_and_says_what_is_missing(pool: WorkerPool, told: Told) -> None:
    pool.submit("a", task("floods", output_limit=100_000))
    await told.result("a")
    sent = [(offset, len(data)) for _, _, offset, data, _ in told.outputs]
    assert sum(size for _, size in sent) == 100_000
    assert all(size <= 32 * 1024 for _, size in sent)
    assert sum(dropped for *_, dropped in told.outputs) == 900_000


async def test_output_that_is_not_wanted_is_not_sent(pool: WorkerPool, told: Told) -> None:
    pool.submit("a", task("floods"))
    await told.result("a")
    assert told.outputs == []


async def test_a_tasks_environment_directory_and_umask_are_its_own(
    pool: WorkerPool, told: Told, tmp_path: Path
) -> None:
    pool.submit("a", task("looks", environment={"LC_ALL": "C", "MINE": "1"}, directory=str(tmp_path)))
    first, _ = await told.result("a")
    assert (first["environment"]["MINE"], first["directory"]) == ("1", str(tmp_path))
    second = await still_works(pool, told)
    assert "MINE" not in second["environment"]
    assert second["environment"].get("LC_ALL") == os.environ.get("LC_ALL")
    assert second["directory"] == os.environ["HOME"]
    assert second["umask"] == first["umask"] != 0o777


async def test_content_comes_inline_or_by_path(pool: WorkerPool, told: Told, tmp_path: Path) -> None:
    (tmp_path / "c").write_text("from a file")
    pool.submit("a", task("reads", attachments=(Attachment(sha256="c0ffee", size=6, inline=b"inline"),)))
    pool.submit("b", task("reads", attachments=(Attachment(sha256="c0ffee", size=9, path=str(tmp_path / "c")),)))
    assert (await told.result("a"))[0]["content"] == "inline"
    assert (await told.result("b"))[0]["content"] == "from a file"


async def test_content_that_can_not_be_had_fails_the_task(pool: WorkerPool, told: Told) -> None:
    pool.submit("a", task("reads", attachments=(Attachment(sha256="c0ffee", size=6),)))
    result, reason = await told.result("a")
    assert (result["msg"], reason) == ("no such content", Reason.CONTENT_MISSING)


async def test_a_worker_killed_while_idle_is_replaced(pool: WorkerPool, told: Told) -> None:
    pool.submit("a", task("looks"))
    pid = (await told.result("a"))[0]["pid"]
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not alive(pid))
    await asyncio.sleep(0.05)
    assert (await still_works(pool, told))["pid"] != pid


async def test_idle_workers_are_let_go(told: Told) -> None:
    async with WorkerPool(told, slots=2, contents=Store(), identify=odd, idle_seconds=0.2) as pool:
        pool.submit("a", task("looks"))
        pid = (await told.result("a"))[0]["pid"]
        assert alive(pid)
        await until_dead(pid)
        assert (await still_works(pool, told))["pid"] != pid


async def test_leaving_the_pool_ends_everything(told: Told) -> None:
    began = time.monotonic()
    async with WorkerPool(told, slots=2, contents=Store(), identify=odd) as pool:
        for name in ("a", "b", "c"):
            pool.submit(name, task("swallows"))
        await until(lambda: len(told.begun) == 2)
    assert {name: result.reason for name, result in told.results.items()} == dict.fromkeys("abc", Reason.CANCELLED)
    assert time.monotonic() - began < 10


async def test_nothing_begins_while_the_pool_may_not(told: Told) -> None:
    allowed = False
    may_start: Callable[[], bool] = lambda: allowed  # noqa: E731
    async with WorkerPool(told, slots=2, contents=Store(), identify=odd, may_start=may_start) as pool:
        pool.submit("a", task("looks"))
        await asyncio.sleep(0.1)
        assert (pool.running, pool.waiting) == (0, 1)
        allowed = True
        pool.resume()
        await told.result("a")


async def test_a_user_that_can_not_be_become_is_said(pool: WorkerPool, told: Told) -> None:
    pool.submit("a", task("looks", become=Become(user="nobody-of-that-name")))
    result, reason = await told.result("a")
    assert (result["msg"], reason) == ("there is no user 'nobody-of-that-name' on this host", Reason.BECOME_FAILED)


@ROOT
async def test_root_becomes_another_user_with_all_that_goes_with_it(pool: WorkerPool, told: Told) -> None:
    attachment = Attachment(sha256="c0ffee", size=6, inline=b"inline")
    pool.submit("a", task("looks", become=Become(user="nobody")))
    result, reason = await told.result("a")
    assert (result["environment"]["USER"], result["environment"]["LOGNAME"], reason) == ("nobody", "nobody", "")
    pool.submit("b", task("reads", become=Become(user="nobody"), attachments=(attachment,)))
    assert (await told.result("b"))[0]["content"] == "inline"


@ROOT
async def test_another_user_gets_content_it_could_not_read_itself(pool: WorkerPool, told: Told, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x" * 3_000_000)
    secret.chmod(0o600)
    attachment = Attachment(sha256="c0ffee", size=3_000_000, path=str(secret))
    pool.submit("a", task("reads", become=Become(user="nobody"), attachments=(attachment,)))
    assert len((await told.result("a"))[0]["content"]) == 3_000_000


def through_sudo(become: Become | None) -> WorkerIdentity:
    """Odd workers of another user, started by sudo, with the system's own Python: nobody can read this one."""
    sudo = ("sudo", "-H", "-S", "-n", "-u", "nobody")
    roots = [str(Path(__file__).parents[2] / root) for root in ("agent", "protos")]
    python = ("env", f"PYTHONPATH={':'.join(roots)}", "/usr/bin/python3")
    return WorkerIdentity("nobody", (*sudo, *python, odd_worker.__file__), (*sudo, "kill", "-KILL"))


def sudo_works() -> bool:
    """Tell whether this host has what such a worker needs."""
    if os.geteuid() != 0 or shutil.which("sudo") is None:
        return False
    command = (*through_sudo(None).command[:-1], "-c", "import pybible.agent.worker")
    return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0


@pytest.mark.skipif(not sudo_works(), reason="needs root, sudo, and a Python that every user can run")
@pytest.mark.parametrize("module", ["spins", "swallows"])
async def test_sudo_brings_another_user_and_what_it_started_is_ended(told: Told, module: str) -> None:
    async with WorkerPool(told, slots=1, contents=Store(), identify=through_sudo) as pool:
        pool.submit("a", task("looks"))
        result, reason = await told.result("a")
        assert (result["environment"]["USER"], reason) == ("nobody", "")
        pool.submit("b", task(module, timeout=0.3))
        _, reason = await told.result("b")
        assert reason == Reason.TIMED_OUT
        await until_dead(result["pid"])
        await still_works(pool, told)


async def test_a_program_for_another_user_that_fails_is_quoted(told: Told) -> None:
    def refused(become: Become | None) -> WorkerIdentity:
        return WorkerIdentity("postgres", ("sh", "-c", "echo 'sudo: a password is required' >&2; exit 1"))

    async with WorkerPool(told, slots=1, contents=Store(), identify=refused) as pool:
        pool.submit("a", task("looks"))
        result, reason = await told.result("a")
    assert (result["msg"], reason) == (
        "can't become postgres: sudo: a password is required",
        Reason.BECOME_FAILED,
    )


async def test_a_program_that_is_not_there_is_named(told: Told) -> None:
    async with WorkerPool(
        told, slots=1, contents=Store(), identify=lambda _: WorkerIdentity("postgres", ("/no/such/sudo",))
    ) as pool:
        pool.submit("a", task("looks"))
        result, reason = await told.result("a")
    assert "/no/such/sudo" in result["msg"]
    assert reason == Reason.BECOME_FAILED
