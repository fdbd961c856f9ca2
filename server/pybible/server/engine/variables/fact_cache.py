"""fact_cache: facts that are kept from one run to the next. What is read back is data, as facts are."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from pybible.wire.errors import ConfigError

# A host's facts are some ten kilobytes.
MAX_BYTES: Final = 64 * 1024 * 1024


class FactCache(Protocol):
    """Where facts are kept, by host, with the names that modules gave them."""

    def load(self, host: str) -> dict[str, object] | None:
        """Return what is kept of a host and not too old, None for nothing."""

    def save(self, host: str, facts: Mapping[str, object]) -> None:
        """Keep it."""

    def forget(self, host: str) -> None:
        """Keep nothing of a host any more."""


class JsonFileCache:
    """A file for each host in a folder: PREFIX and the host's name. Raises ConfigError for a folder of no use."""

    def __init__(self, folder: Path, *, prefix: str = "", timeout: float = 0, warn: Callable[[str], None]) -> None:
        self._folder = folder
        self._prefix = prefix
        # In seconds; 0: facts are never too old.
        self._timeout = timeout
        self._warn = warn
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"Error in 'jsonfile' cache plugin while trying to create cache dir {str(folder)!r}.",
                hint=str(error.strerror),
            ) from error
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise ConfigError(
                f"error in 'jsonfile' cache, configured path ({folder}) does not have necessary permissions (rwx), "
                "disabling plugin"
            )

    def load(self, host: str) -> dict[str, object] | None:
        """Return what is kept of a host and not too old, None for nothing. A file that can't be read is removed."""
        path = self._path(host)
        try:
            status = path.stat()
            if self._timeout and time.time() - status.st_mtime > self._timeout:
                return None
            if status.st_size > MAX_BYTES:
                raise ValueError(f"it is larger than {MAX_BYTES // 1024 // 1024} MiB")
            facts = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(facts, dict):
                raise ValueError("it is no mapping")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            self._warn(f"error in 'jsonfile' cache plugin while trying to read {path}: {error}. The file is removed.")
            self.forget(host)
            return None
        return facts

    def save(self, host: str, facts: Mapping[str, object]) -> None:
        """Keep it: the file is there as a whole or as it was. What goes wrong is a warning."""
        path = self._path(host)
        try:
            number, name = tempfile.mkstemp(dir=self._folder, prefix=".")
            temporary = Path(name)
            try:
                with os.fdopen(number, "w", encoding="utf-8", errors="surrogatepass") as stream:
                    json.dump(facts, stream, default=str)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        except (OSError, ValueError) as error:
            self._warn(f"Error in 'jsonfile' cache plugin while trying to write to {str(path)!r}: {error}")

    def forget(self, host: str) -> None:
        """Keep nothing of a host any more."""
        try:
            self._path(host).unlink(missing_ok=True)
        except OSError as error:
            self._warn(f"Error in 'jsonfile' cache plugin while trying to remove facts of {host}: {error}")

    def _path(self, host: str) -> Path:
        # A host's name comes from the inventory, or from add_host: it must not lead out of the folder.
        name = host.replace("%", "%25").replace("/", "%2F")
        return self._folder / f"{self._prefix}{name}" if name not in (".", "..") else self._folder / f"%{name}"
