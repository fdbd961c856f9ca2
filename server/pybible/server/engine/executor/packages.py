"""packages: modules that are not native, packed once, however many tasks, hosts and runs use them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pybible.server.engine.actions.call import Packed
from pybible.server.engine.bridge.kept import Kept, KeptPackage, Looks, write
from pybible.server.engine.bridge.places import Places
from pybible.server.engine.model.bridged import BridgedModule
from pybible.wire.errors import PybibleError
from pybible.wire.protocol import package_version
from pybible.wire.tasks import Attachment

if TYPE_CHECKING:
    from pybible.server.engine.bridge.packer import Packer


@dataclass(frozen=True, slots=True)
class _Failed:
    """Why a module can't be packed: every host of the task has the same."""

    error: PybibleError


class Packages:
    """The packages of a run. `folder` is where they are written for whoever sends them, and kept for later runs."""

    def __init__(self, places: Places, folder: Path) -> None:
        self._places = places
        self._packer: Packer | None = None
        self._folder = folder
        self._kept = Kept(folder, f"{package_version()} {places.core} {places.version}")
        self._known: dict[tuple[str, Path], Packed | _Failed] = {}
        self._lock = asyncio.Lock()
        self.version = places.version

    async def get(self, module: BridgedModule) -> Packed:
        """Return a module ready to be sent. BridgeError when it can't be packed."""
        key = module.name, module.path
        known = self._known.get(key)
        if known is None:
            async with self._lock:
                known = self._known.get(key)
                if known is None:
                    known = self._known[key] = await asyncio.to_thread(self._pack, module)
        if isinstance(known, _Failed):
            raise known.error
        return known

    def _pack(self, module: BridgedModule) -> Packed | _Failed:
        package = self._kept.find(module)
        if package is None:
            try:
                package = self._packed(module)
            except PybibleError as error:
                return _Failed(error)
        # Never inside the task, however small: an agent gets it once.
        attachment = Attachment(sha256=package.sha256, size=package.size, path=str(package.path))
        return Packed(
            attachment=attachment,
            style=package.style,
            entry=package.entry,
            interpreter=package.interpreter,
            version=self.version,
        )

    def _packed(self, module: BridgedModule) -> KeptPackage:
        from pybible.server.engine.bridge.packer import Packer  # most runs have nothing to pack

        if self._packer is None:
            self._packer = Packer(self._places)
        looks = Looks()
        package = self._packer.pack(module, looks)
        path = self._folder / package.sha256
        made = KeptPackage(
            path=path,
            sha256=package.sha256,
            size=len(package.content),
            style=package.style.value,
            entry=package.entry,
            interpreter=package.interpreter,
        )
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write(path, package.content)
            self._kept.keep(module, made, looks)
        except OSError as error:
            raise PybibleError(
                f"module '{module.name}' can't be packed into {self._folder}: {error.strerror}"
            ) from error
        return made
