"""apt_command: apt-get's command line, the wait for its lock, and what its output says."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pybible.agent.modules.api import Context, ModuleError
from pybible.agent.modules.programs import Answer, call, need
from pybible.wire.values import JsonObject

if TYPE_CHECKING:
    from pybible.agent.modules.apt import Args

# The words that are looked for are English.
ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive",
    "DEBIAN_PRIORITY": "critical",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "LC_MESSAGES": "C.UTF-8",
}
_NOTHING = re.compile(r"^0 upgraded, 0 newly installed, 0 to remove", re.MULTILINE)
_SUMMARY = re.compile(r"^\d+ (packages )?upgraded, ")
_LOCKED = re.compile(r"Could not get lock (\S+?)\.? It is held by process (\d+)(?: \(([^)]*)\))?")
_POLICY = Path("/usr/sbin/policy-rc.d")


class AptGet:
    """apt-get with the options that a task asks for."""

    def __init__(self, args: Args, context: Context) -> None:
        self.program = need("apt-get", context)
        self._args = args
        self._context = context

    def run(self, words: Sequence[str], *, install: bool = False, quiet: bool = False) -> tuple[Answer, str]:
        """Run apt-get (simulate in check mode); return its answer and the command as failures show it."""
        command = [self.program, *(["-q"] if quiet else []), "-y", *self._dpkg_options(), *self._options(install)]
        if self._context.check:
            command.append("--simulate")
        command += words
        if self._args.default_release:
            command += ["-t", self._args.default_release]
        with self._policy():
            done = self.call(command)
        return done, shlex.join(command)

    def call(self, command: Sequence[str]) -> Answer:
        """Run a command of apt's, waiting for its lock. ModuleError, which names who has it, after lock_timeout."""
        waiting = ["-o", f"DPkg::Lock::Timeout={self._args.lock_timeout}"]
        done = call([command[0], *waiting, *command[1:]], self._context, also=ENVIRONMENT, live=True)
        held = _LOCKED.search(done.stderr) if done.rc else None
        if held is not None:
            who = f"process {held[2]}" + (f" ({held[3]})" if held[3] else "")
            raise ModuleError(
                f"Failed to lock apt for exclusive operation: {held[1]} is held by {who},"
                f" waited {self._args.lock_timeout} seconds",
                rc=done.rc, stdout=done.stdout, stderr=done.stderr,
            )  # fmt: skip
        return done

    def _dpkg_options(self) -> list[str]:
        words: list[str] = []
        for option in self._args.dpkg_options.split(","):
            if option.strip():
                words += ["-o", f"Dpkg::Options::=--{option.strip()}"]
        return words

    def _options(self, install: bool) -> list[str]:
        args = self._args
        words = [
            option
            for wanted, option in (
                (args.force, "--force-yes"),
                (args.allow_unauthenticated, "--allow-unauthenticated"),
                (args.allow_downgrade, "--allow-downgrades"),
                (args.allow_change_held_packages, "--allow-change-held-packages"),
                (args.fail_on_autoremove, "--no-remove"),
                (install and args.autoremove, "--auto-remove"),
                (install and args.only_upgrade, "--only-upgrade"),
            )
            if wanted
        ]
        if args.install_recommends is not None:
            words += ["-o", f"APT::Install-Recommends={'yes' if args.install_recommends else 'no'}"]
        return words

    @contextlib.contextmanager
    def _policy(self) -> Iterator[None]:
        status = self._args.policy_rc_d
        if status is None or self._context.check:
            yield
            return
        old = _POLICY.read_bytes() if _POLICY.exists() else None
        mode = _POLICY.stat().st_mode & 0o7777 if old is not None else 0o755
        try:
            _POLICY.write_text(f"#!/bin/sh\nexit {status}\n", encoding="ascii")
            _POLICY.chmod(0o755)
            yield
        finally:
            if old is None:
                _POLICY.unlink(missing_ok=True)
            else:
                _POLICY.write_bytes(old)
                _POLICY.chmod(mode)

    def tidy(self, verb: str) -> JsonObject:
        """Run autoremove or autoclean."""
        words = [*(["--purge"] if self._args.purge else []), verb]
        done, _ = self.run(words)
        if done.rc:
            raise ModuleError(
                f"'apt-get {verb}' failed: {done.stderr}", stdout=done.stdout, stderr=done.stderr, rc=done.rc
            )
        sign = "The following packages will be REMOVED" if verb == "autoremove" else "Del "
        diff = shown_diff(done.stdout) if self._context.diff else {}
        return {"changed": sign in done.stdout, "stdout": done.stdout, "stderr": done.stderr, "diff": diff}

    def clean(self) -> JsonObject:
        """Clear the cache of packages."""
        words = [self.program, "clean", *(["--simulate"] if self._context.check else [])]
        done = self.call(words)
        if done.rc:
            raise ModuleError("apt-get clean failed", stdout=done.stdout, rc=done.rc)
        return {"changed": True, "stdout": done.stdout, "stderr": done.stderr}


def nothing_done(output: str) -> bool:
    """Return whether apt-get says that it changed nothing."""
    return _NOTHING.search(output) is not None


def shown_diff(output: str) -> JsonObject:
    """Return what apt-get said it would do, for a diff."""
    lines = output.splitlines()
    start = next((index for index, line in enumerate(lines) if line.startswith("The following ")), None)
    end = next((index for index, line in enumerate(lines) if _SUMMARY.match(line)), None)
    if start is None or end is None:
        return {}
    return {"prepared": "\n".join(lines[start:end])}


def lock_holder(path: str) -> str:
    """Return the program of the process that has a lock on the file, empty when nobody has."""
    try:
        inode = os.stat(path).st_ino  # noqa: PTH116
    except OSError:
        return ""
    for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
        fields = line.split()
        if len(fields) > 5 and fields[5].rsplit(":", 1)[-1] == str(inode):
            comm = Path(f"/proc/{fields[4]}/comm")
            name = comm.read_text(encoding="utf-8").strip() if comm.exists() else "?"
            return f"process {fields[4]} ({name})"
    return ""
