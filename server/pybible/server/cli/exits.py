"""exits: what a command's end means: the exit status, and what the operator reads. The only place for either."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator

import click

from pybible.wire.errors import ExitStatus, PybibleError, SourceError


class RunCancelled(Exception):
    """The operator ended the run with ^C. The text says what was out."""


def exit_status_of(command: Callable[[], object]) -> int:
    """Call `command` and return the exit status, having said on standard error what went wrong."""
    try:
        result = command()
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return ExitStatus.BAD_OPTIONS
    except (KeyboardInterrupt, click.Abort):
        _say("User interrupted execution")
        return ExitStatus.CANCELLED
    except BrokenPipeError:
        # Whoever read our output has gone.
        return ExitStatus.ERROR
    except Exception as error:
        return _failed(error)
    return result if isinstance(result, int) else ExitStatus.OK


def _failed(error: Exception) -> int:
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, RunCancelled):
            _say(str(cause))
            return ExitStatus.CANCELLED
    bugs = [cause for cause in causes if not isinstance(cause, PybibleError)]
    if bugs:
        traceback.print_exception(error)
        _say(f"this is a bug in pybible: {type(bugs[0]).__name__}: {bugs[0]}")
        return ExitStatus.BUG
    for text in dict.fromkeys(_told(cause) for cause in causes):
        _say(text)
    first = causes[0]
    return int(first.exit_status) if isinstance(first, PybibleError) else ExitStatus.ERROR


def _told(error: BaseException) -> str:
    """Return what the operator reads: of what went wrong in a file, all that led to it."""
    from pybible.server.engine.templating.errors import report_of

    led_to = isinstance(error, SourceError) and isinstance(error.__cause__, SourceError)
    return report_of(error) if isinstance(error, SourceError) and led_to else str(error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Return what a group of tasks failed with, one by one."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _causes(inner)
    else:
        yield error


def _say(text: str) -> None:
    from pybible.server.report.messages import Messages
    from pybible.server.report.terminal import standard_terminal

    sys.stdout.flush()
    Messages(standard_terminal()).error(text, standard_error=True)
