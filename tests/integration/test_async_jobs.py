"""Tests of tasks that nobody waits for: a job of the host outlives its task, its worker and its agent's pool."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pybible.agent.modules import async_status, async_wrapper, runner
from pybible.agent.modules.api import Context

SECONDS = 30


def context(**values: Any) -> Context:
    contents: dict[str, Path] = values.pop("contents", {})
    return Context(content=lambda sha256: contents[sha256], emit=lambda _stream, _data: None, **values)


def start(folder: Path, module: str, limit: int = SECONDS, **arguments: Any) -> dict[str, Any]:
    """Start a job and return what the task that started it gives."""
    told = {"module": module, "arguments": arguments, "limit": limit, "directory": str(folder)}
    return runner.run(async_wrapper.MODULE, told, context())


def status(folder: Path, job_id: str, mode: str = "status") -> dict[str, Any]:
    told = {"jid": job_id, "mode": mode, "_async_dir": str(folder)}
    return runner.run(async_status.MODULE, told, context())


def ended(folder: Path, job_id: str) -> dict[str, Any]:
    """Wait for a job's end by the processes of it, found by the file that they have in their arguments."""
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and job_id.encode() in (process / "cmdline").read_bytes():
                descriptor = os.pidfd_open(int(process.name))
                select.select([descriptor], [], [], SECONDS)
                os.close(descriptor)
        except OSError:
            continue
    return status(folder, job_id)


def test_a_job_is_started_and_not_waited_for(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    started = start(tmp_path, "shell", _raw_params=f"cat {gate}; echo told")
    assert (started["started"], started["finished"], started["changed"]) == (True, False, True)
    assert Path(started["results_file"]).parent == tmp_path
    job_id = started["ansible_job_id"]
    before = status(tmp_path, job_id)
    assert (before["started"], before["finished"]) == (True, False)
    gate.write_text("open\n")
    after = ended(tmp_path, job_id)
    assert (after["finished"], after["stdout"], after["rc"]) == (True, "open\ntold", 0)


def test_what_a_job_gives_is_for_its_owner_alone(tmp_path: Path) -> None:
    started = start(tmp_path, "ping")
    ended(tmp_path, started["ansible_job_id"])
    assert Path(started["results_file"]).stat().st_mode & 0o777 == 0o600


def test_a_job_that_is_forgotten_can_not_be_found(tmp_path: Path) -> None:
    job_id = start(tmp_path, "ping")["ansible_job_id"]
    ended(tmp_path, job_id)
    assert status(tmp_path, job_id, "cleanup")["erased"] == f"{tmp_path}/{job_id}"
    assert not list(tmp_path.iterdir())
    gone = status(tmp_path, job_id)
    assert (gone["failed"], gone["msg"], gone["finished"]) == (True, "could not find job", True)


def test_a_job_s_name_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text('{"a": 1}')
    folder = tmp_path / "jobs"
    folder.mkdir()
    assert status(folder, "../secret")["msg"] == "could not find job"


def test_a_job_is_ended_when_its_time_is_over(tmp_path: Path) -> None:
    job_id = start(tmp_path, "shell", limit=1, _raw_params=f"setsid sleep 1000 & echo $! > {tmp_path}/pid; sleep 1000")[
        "ansible_job_id"
    ]
    result = ended(tmp_path, job_id)
    assert (result["failed"], result["msg"], result["finished"]) == (True, "Timeout exceeded", True)
    assert isinstance(result["child_pid"], int)
    with pytest.raises(ProcessLookupError):
        os.kill(result["child_pid"], 0)


def test_a_module_that_takes_its_process_along_leaves_a_result(tmp_path: Path) -> None:
    job_id = start(tmp_path, "shell", _raw_params="kill -9 $PPID; sleep 1")["ansible_job_id"]
    result = ended(tmp_path, job_id)
    assert (result["failed"], result["msg"]) == (True, "the job ended without a result: signal 9")


def test_a_job_s_module_is_unknown_here(tmp_path: Path) -> None:
    job_id = start(tmp_path, "no_such")["ansible_job_id"]
    assert ended(tmp_path, job_id)["msg"] == "this agent has no module 'no_such'"


def test_a_file_that_holds_no_result(tmp_path: Path) -> None:
    (tmp_path / "j1.1").write_text("{")
    assert status(tmp_path, "j1.1")["msg"] == "Could not parse job output"


def test_content_goes_along_with_a_job_and_is_removed_with_it(tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_text("text")
    folder, dest = tmp_path / "jobs", tmp_path / "dest"
    told = {
        "module": "copy",
        "arguments": {"dest": str(dest), "_content": "abc", "_original_basename": "content", "_size": 4},
        "limit": SECONDS,
        "contents": ["abc"],
        "directory": str(folder),
    }
    started = runner.run(async_wrapper.MODULE, told, context(contents={"abc": content}))
    content.unlink()
    result = ended(folder, started["ansible_job_id"])
    assert result.get("failed") is not True, result
    assert dest.read_text() == "text"
    assert [path.name for path in folder.iterdir()] == [started["ansible_job_id"]]


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    failed = start(tmp_path / "file" / "jobs", "ping")
    assert failed["failed"]
    assert failed["msg"].startswith(f"could not create directory: {tmp_path}/file/jobs - ")


def test_a_job_outlives_whoever_started_it(tmp_path: Path) -> None:
    """The starter leads a session and is killed with all of its group, as a worker is."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    program = (
        "import json, sys, time\n"
        "from pybible.agent.modules import async_wrapper, runner\n"
        "from pybible.agent.modules.api import Context\n"
        "told = json.loads(sys.argv[1])\n"
        "context = Context(content=None, emit=None)\n"
        "print(json.dumps(runner.run(async_wrapper.MODULE, told, context)), flush=True)\n"
        "time.sleep(1000)\n"
    )
    told = {"module": "shell", "arguments": {"_raw_params": f"cat {gate}"}, "limit": 60, "directory": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", program, json.dumps(told)], stdout=subprocess.PIPE, start_new_session=True
    ) as starter:
        assert starter.stdout is not None
        job_id = json.loads(starter.stdout.readline())["ansible_job_id"]
        os.killpg(starter.pid, signal.SIGKILL)
    assert status(tmp_path, job_id)["finished"] is False
    gate.write_text("still here")
    assert ended(tmp_path, job_id)["stdout"] == "still here"
