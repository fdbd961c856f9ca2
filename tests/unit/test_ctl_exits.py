"""test_ctl_exits: what each kind of end means for the shell and for the operator."""

from __future__ import annotations

import click
import pytest

from pybible.server.cli.exits import RunCancelled, exit_status_of
from pybible.wire.errors import ConfigError, ConnectionFailed, ParseError, PybibleError, UsageError


def raising(error: BaseException) -> object:
    raise error


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (PybibleError("no"), 1, "[ERROR]: no\n"),
        (ConfigError("no", hint="do"), 1, "[ERROR]: no\ndo\n\n"),
        (UsageError("no"), 5, "[ERROR]: no\n"),
        (ParseError("no"), 4, "[ERROR]: no\n"),
        (RunCancelled("stopped"), 99, "[ERROR]: stopped\n"),
        (KeyboardInterrupt(), 99, "[ERROR]: User interrupted execution\n"),
        (
            ExceptionGroup("", [ExceptionGroup("", [ConnectionFailed("gone")]), ConnectionFailed("gone")]),
            1,
            "[ERROR]: gone\n",
        ),
        (click.exceptions.Exit(3), 3, ""),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_an_end(capsys: pytest.CaptureFixture[str], error: BaseException, status: int, text: str) -> None:
    assert exit_status_of(lambda: raising(error)) == status
    assert capsys.readouterr().err == text


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("x"), ExceptionGroup("", [UsageError("no"), ZeroDivisionError("x")])]
)
def test_a_bug_shows_its_traceback(capsys: pytest.CaptureFixture[str], error: Exception) -> None:
    assert exit_status_of(lambda: raising(error)) == 250
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "this is a bug in pybible: ZeroDivisionError: x" in shown


def test_a_wrong_command_line_shows_how_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status_of(lambda: raising(click.UsageError("No such option: --x"))) == 5
    assert "No such option: --x" in capsys.readouterr().err


@pytest.mark.parametrize(("result", "status"), [(None, 0), (0, 0), (2, 2), ("text", 0)])
def test_a_result_is_the_status(result: object, status: int) -> None:
    assert exit_status_of(lambda: result) == status
