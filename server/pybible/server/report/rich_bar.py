"""rich_bar: a progress bar by rich. Imported on a terminal only: it takes longer to load than a short run takes."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text


def _unguarded() -> TextIO:
    """Return standard output for the one who has to move the cursor; what it draws is text that was made visible."""
    return open(1, "w", encoding="utf-8", closefd=False)


class RichBar:
    """A bar and a text on the last line of standard output."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, file=_unguarded())
        self._live: Live | None = None

    def draw(self, text: str, *, done: int, total: int) -> None:
        """Show it, or show it anew."""
        row = Table.grid(padding=(0, 1))
        row.add_row(ProgressBar(total=total, completed=done, width=20), Text(text, overflow="ellipsis", no_wrap=True))
        if self._live is None:
            self._live = Live(row, console=self._console, transient=True, auto_refresh=False, redirect_stdout=False)
            self._live.start()
        self._live.update(row, refresh=True)

    def clear(self) -> None:
        """Take it away."""
        if self._live is not None:
            self._live.stop()
            self._live = None
