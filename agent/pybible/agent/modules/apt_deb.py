"""apt_deb: installs a package from a file of its own, or from an address."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pybible.agent.modules.api import Context, ModuleError
from pybible.agent.modules.apt_command import AptGet, shown_diff
from pybible.agent.modules.programs import call, need
from pybible.wire.values import JsonObject

if TYPE_CHECKING:
    from pybible.agent.modules.apt import Args


def install_file(args: Args, context: Context, apt: AptGet) -> JsonObject:
    """Install the file with what it needs, unless that version is installed."""
    if args.state != "present":
        raise ModuleError("deb only supports state=present")
    with _local(str(args.deb)) as path:
        fields = call([need("dpkg-deb", context), "-f", path, "Package", "Version"], context)
        if fields.rc:
            raise ModuleError(f"Unable to install package: {fields.stderr.strip()}")
        found = dict(line.split(": ", 1) for line in fields.stdout.splitlines() if ": " in line)
        query = ["-W", "-f", "${db:Status-Status} ${Version}", found["Package"]]
        installed = call([need("dpkg-query", context), *query], context).stdout
        if installed == f"installed {found['Version']}" and not args.force:
            return {"changed": False, "stdout": "", "stderr": "", "diff": ""}
        done, shown = apt.run(["install", path], install=True)
    if done.rc:
        raise ModuleError(f"{shown} failed", stdout=done.stdout, stderr=done.stderr)
    diff = shown_diff(done.stdout) if context.diff else {}
    return {"changed": True, "stdout": done.stdout, "stderr": done.stderr, "diff": diff}


@contextlib.contextmanager
def _local(path: str) -> Iterator[str]:
    if "://" not in path:
        if not Path(path).exists():
            raise ModuleError(
                f"Unable to install package: E:Could not open file {path} - open (2: No such file or directory)"
            )
        yield str(Path(path).absolute())
        return
    raise ModuleError("apt: a package's address as deb is not supported: use get_url, then deb")
