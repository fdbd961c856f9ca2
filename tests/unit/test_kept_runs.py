"""test_kept_runs: what the control node keeps of commands, and which of them it gives back."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pybible.server.cli import kept, resuming
from pybible.server.cli.kept import KeptCommand, KeptCommands, StillRunning, Told, digest_of_values, locked, told_events
from pybible.server.results.events import HostResult, HostStarted, Message, MessageLevel, RunEvent, Status
from pybible.wire.errors import PybibleError, UsageError

SALT = "00" * 16
COMMAND = KeptCommand(runs=("1111-aaaa",), directory="/srv", options={}, files={})
DONE = HostResult(task_id="t1", host="h1", status=Status.OK, result={"changed": True})


def test_a_command_is_found_by_its_runs_and_latest_is_the_newest(tmp_path: Path) -> None:
    commands = KeptCommands(tmp_path / "runs")
    commands.keep(COMMAND)
    commands.keep(replace(COMMAND, runs=("1122-bbbb", "1133-cccc"), resumes="1111-aaaa"))

    def found(name: str) -> str:
        command = commands.find(name)
        return "" if command is None else command[1].runs[0]

    assert [found(name) for name in ("1111-aaaa", "1111", "cccc", "bbbb", "latest", "dddd")] == [
        *("1111-aaaa", "1111-aaaa", "1122-bbbb", "1122-bbbb", "1122-bbbb", ""),
    ]
    with pytest.raises(PybibleError, match="more than one run begins or ends with '11'"):
        found("11")
    assert commands.resumed_by(COMMAND) == "1122-bbbb"


def test_what_is_kept_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = KeptCommands(tmp_path / "runs").keep(COMMAND)
    told = Told(folder)
    told(DONE)
    told.close(forget=False)

    assert [path.stat().st_mode & 0o777 for path in (folder.parent, folder)] == [0o700, 0o700]
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "before": 0o600,
        "command.json": 0o600,
        "told": 0o600,
    }


def test_results_are_written_as_they_come_and_a_torn_line_is_left_out(tmp_path: Path) -> None:
    folder = KeptCommands(tmp_path).keep(COMMAND)
    told = Told(folder)
    events: list[RunEvent] = [HostStarted(task_id="t1", host="h1"), DONE]
    for event in (*events, Message(level=MessageLevel.NOTICE, text="x")):
        told(event)

    # Not closed: it may be killed any time.
    assert list(told_events(folder)) == events
    os.truncate(folder / "told", (folder / "told").stat().st_size - 5)
    assert list(told_events(folder)) == events[:1]
    told.close(forget=True)
    assert list(told_events(folder)) == []


def test_a_run_that_goes_on_is_not_taken_up(tmp_path: Path) -> None:
    folder = KeptCommands(tmp_path).keep(COMMAND)
    told = Told(folder)
    with pytest.raises(StillRunning, match="is still running"), locked(folder):
        pass
    told.close(forget=False)
    with locked(folder):
        pass


def test_a_record_that_grows_too_large_is_not_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "TOLD_BYTES", 10)
    told = Told(KeptCommands(tmp_path).keep(COMMAND))
    told(DONE)
    told(DONE)

    assert not told.whole
    told.close(forget=False)


def test_only_the_newest_are_kept_and_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "KEPT_COMMANDS", 2)
    commands = KeptCommands(tmp_path)
    told = Told(commands.keep(replace(COMMAND, runs=("01",))))
    for name in ("02", "03", "04"):
        commands.keep(replace(COMMAND, runs=(name,)))

    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["01", "03", "04"]
    told.close(forget=False)


def test_files_that_became_others_are_named(tmp_path: Path) -> None:
    (tmp_path / "group_vars").mkdir()
    for name in ("site.yml", "group_vars/all.yml"):
        (tmp_path / name).write_text("x: 1\n")
    files = kept.digests_of([tmp_path / "site.yml", tmp_path / "group_vars", tmp_path / "none"])
    command = replace(COMMAND, files=files)

    assert command.changed_files() == []
    (tmp_path / "site.yml").write_text("x: 2\n")
    (tmp_path / "group_vars/all.yml").unlink()
    assert command.changed_files() == [f"{tmp_path}/site.yml", f"{tmp_path}/group_vars/all.yml"]


WITH_VARIABLES = replace(
    COMMAND,
    extra_vars=("", "@vars.yml", ""),
    inline=("port", "secret"),
    salt=SALT,
    inline_digest=digest_of_values({"port": "1", "secret": "xyzzy"}, salt=SALT),
)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ((), "whose values are not kept: port, secret"),
        (("port=1",), "had other variables on its command line: port, secret"),
        (("port=1", "secret=guess"), "are not those of run"),
        (("@vars.yml",), "are read again by themselves"),
    ],
)
def test_variables_of_the_command_line_have_to_be_given_again(given: tuple[str, ...], problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as raised:
        resuming.extra_vars_of(WITH_VARIABLES, given)
    assert "xyzzy" not in str(raised.value)


def test_variables_of_the_command_line_stand_where_they_stood() -> None:
    assert resuming.extra_vars_of(WITH_VARIABLES, ("port=1", "secret=xyzzy")) == ("port=1", "@vars.yml", "secret=xyzzy")
    assert resuming.extra_vars_of(WITH_VARIABLES, ("secret=xyzzy port=1",)) == ("@vars.yml", "secret=xyzzy port=1")
    assert resuming.extra_vars_of(COMMAND, ()) == ()
    with pytest.raises(UsageError, match="had no -e"):
        resuming.extra_vars_of(COMMAND, ("a=1",))
