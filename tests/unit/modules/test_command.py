"""test_command: command, shell and raw: what runs, what is said, and that nothing is left."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from tests.support.modules import context, run_module


def test_the_result_has_what_playbooks_read() -> None:
    result = run_module("command", {"_raw_params": "echo 'a b' c"})
    assert (result["rc"], result["stdout"], result["stderr"], result["changed"]) == (0, "a b c", "", True)
    assert result["cmd"] == ["echo", "a b", "c"]
    assert result["msg"] == ""
    assert result["start"] < result["end"]
    assert result["delta"].startswith("0:00:0")


def test_output_comes_while_the_command_runs(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    seen: list[tuple[str, bytes]] = []

    def emit(stream: str, data: bytes) -> None:
        seen.append((stream, data))
        if data == b"first\n":
            # The command waits for this: had the output come only at the end, nobody would ever write.
            fifo.write_text("second\n")

    result = run_module("shell", {"cmd": f"echo first; cat {fifo}; echo third >&2"}, context(emit=emit))
    assert result["stdout"] == "first\nsecond"
    assert seen[0] == ("stdout", b"first\n")
    assert ("stderr", b"third\n") in seen
    assert b"".join(data for stream, data in seen if stream == "stdout") == b"first\nsecond\n"


def test_much_output_on_both_streams_and_much_input_do_not_block() -> None:
    script = "import sys; d = sys.stdin.read(); sys.stdout.write(d); sys.stderr.write(d)"
    text = "x" * 1_000_000
    result = run_module("command", {"argv": [sys.executable, "-c", script], "stdin": text, "stdin_add_newline": False})
    assert (result["stdout"], result["stderr"]) == (text, text)


def test_a_command_that_does_not_read_its_input_is_no_failure() -> None:
    result = run_module("command", {"cmd": "true", "stdin": "x" * 1_000_000})
    assert result["rc"] == 0


def test_a_command_leads_a_group_of_its_own_in_the_workers_session() -> None:
    script = "import os; print(os.getpid(), os.getpgid(0), os.getsid(0))"
    own, group, session = run_module("command", {"argv": [sys.executable, "-c", script]})["stdout"].split()
    assert group == own
    assert session == str(os.getsid(0))


def test_what_is_left_in_the_background_is_not_waited_for() -> None:
    begun = time.monotonic()
    result = run_module("shell", {"cmd": "sleep 20 & echo $!"})
    assert result["rc"] == 0
    assert time.monotonic() - begun < 10
    os.kill(int(result["stdout"]), 9)


def open_descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_no_descriptors_are_left_open() -> None:
    run_module("command", {"cmd": "true"})
    before = open_descriptors()
    for _ in range(3):
        run_module("command", {"cmd": "echo x", "stdin": "y"})
        run_module("command", {"cmd": "nope-x"})
    assert open_descriptors() == before


def test_the_tasks_environment_reaches_the_command_and_its_words() -> None:
    how = context(environment={"COLOUR": "red"})
    assert run_module("command", {"cmd": "echo $COLOUR"}, how)["stdout"] == "red"
    assert run_module("shell", {"cmd": "echo $COLOUR"}, how)["stdout"] == "red"
    assert run_module("raw", {"_raw_params": "echo $COLOUR"}, how)["stdout"] == "red\n"
    assert "COLOUR" not in os.environ


def test_a_command_that_cannot_be_started_says_why() -> None:
    result = run_module("command", {"cmd": "nope-x 'a b'"})
    assert (result["failed"], result["rc"], result["cmd"]) == (True, 2, "nope-x 'a b'")
    assert result["_ansible_cause"] == "[Errno 2] No such file or directory: b'nope-x'"


@pytest.mark.parametrize("name", ["command", "shell"])
def test_creates_makes_the_second_time_a_skip(name: str, tmp_path: Path) -> None:
    args = {"cmd": f"touch {tmp_path}/made", "creates": f"{tmp_path}/ma*"}
    assert run_module(name, args)["changed"] is True
    second = run_module(name, args)
    assert (second["changed"], second["rc"]) == (False, 0)
    assert second["msg"] == f"Did not run command since '{tmp_path}/ma*' exists"


@pytest.mark.parametrize(("name", "key"), [("command", "cmd"), ("shell", "cmd"), ("raw", "_raw_params")])
def test_check_mode_runs_nothing(name: str, key: str, tmp_path: Path) -> None:
    result = run_module(name, {key: f"touch {tmp_path}/made"}, context(check=True))
    assert result["skipped"] is True
    assert list(tmp_path.iterdir()) == []


def test_raw_keeps_the_output_as_it_came() -> None:
    result = run_module("raw", {"_raw_params": "printf 'a\\n\\n'; echo e >&2; exit 3"})
    assert (result["rc"], result["stdout"], result["stderr"]) == (3, "a\n\n", "e\n")
    assert (result["failed"], result["msg"], result["changed"]) == (True, "non-zero return code", True)


def test_raw_takes_no_notice_of_what_it_does_not_know() -> None:
    assert run_module("raw", {"_raw_params": "echo x", "chdir": "/"})["stdout"] == "x\n"


def test_raw_with_another_shell() -> None:
    assert run_module("raw", {"_raw_params": "echo $0", "executable": "/bin/bash"})["stdout"] == "/bin/bash\n"
