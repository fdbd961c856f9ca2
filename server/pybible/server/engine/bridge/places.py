"""places: where modules that are not native may lie on the operator's machine."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from pybible.server.engine.model.paths import expanded


@dataclass(frozen=True, kw_only=True)
class Places:
    """The folders of the operator's settings.

    `library`, `module_utils` and `actions` (action plugins) hold files, `collections` folders that have (or are called)
    `ansible_collections`. `ansible` says where ansible-core is: an environment, a folder of packages, or the package
    itself; empty: it is looked for. `beside_core`: collections that lie beside it count too.
    """

    library: tuple[Path, ...] = ()
    module_utils: tuple[Path, ...] = ()
    actions: tuple[Path, ...] = ()
    collections: tuple[Path, ...] = ()
    ansible: str = ""
    beside_core: bool = True

    @cached_property
    def core(self) -> Path | None:
        """The folder of ansible-core's package, None when there is none. It is never imported."""
        if self.ansible:
            return _core_in(expanded(self.ansible))
        # Only the place of a package is asked for: nothing of it is run.
        spec = find_spec("ansible") if "ansible" not in sys.modules else sys.modules["ansible"].__spec__
        for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
            if (Path(folder) / "module_utils" / "basic.py").is_file():
                return Path(folder)
        return _core_of_command()

    @cached_property
    def version(self) -> str:
        """ansible-core's version, as modules are told it."""
        if self.core is not None:
            for line in _text(self.core / "release.py").splitlines():
                name, _, value = line.partition("=")
                if name.strip() == "__version__":
                    return value.strip().strip("'\"")
        return "2.19.0"

    def collection_roots(self, directories: Sequence[Path]) -> tuple[Path, ...]:
        """Return the folders called `ansible_collections`, those beside the playbook first."""
        roots = [directory / "collections" for directory in directories]
        roots += self.collections
        if self.core is not None and self.beside_core:
            roots.append(self.core.parent)
        named = (root if root.name == "ansible_collections" else root / "ansible_collections" for root in roots)
        return tuple(dict.fromkeys(root for root in named if root.is_dir()))


def _core_in(place: Path) -> Path | None:
    """Return the package in an environment, in a folder of packages, or where it is itself."""
    packages = sorted(place.glob("lib/python3*/site-packages"))
    for folder in (place, place / "ansible", *(package / "ansible" for package in packages)):
        if (folder / "module_utils" / "basic.py").is_file():
            return folder
    return None


def _core_of_command() -> Path | None:
    """Return the package that belongs to the `ansible-playbook` of PATH, as its first line tells."""
    command = shutil.which("ansible-playbook")
    if command is None:
        return None
    with Path(command).open("rb") as file:
        first = file.readline(4096).decode("utf-8", "replace")
    if not first.startswith("#!"):
        return None
    words = first[2:].split()
    python = Path(words[0]) if words else Path()
    environment = python.parent.parent
    found = _core_in(environment)
    if found is not None:
        return found
    # Distributions' own packages.
    return _core_in(environment / "lib" / "python3" / "dist-packages")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
