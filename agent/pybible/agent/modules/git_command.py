"""git_command: the git program, told what a task asks for."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pybible.agent.modules.api import Context, ModuleError
from pybible.agent.modules.programs import Answer, call, need
from pybible.wire.values import JsonValue

if TYPE_CHECKING:
    from pybible.agent.modules.git import Args

_FULL = re.compile(r"^[0-9a-f]{40}$")
_SIGNED = re.compile(r"^\[GNUPG:\] (?:VALIDSIG|GOODSIG) ([0-9A-F]+)", re.MULTILINE)


class Git:
    """git in the working copy of a task."""

    def __init__(self, args: Args, context: Context) -> None:
        self._program = args.executable or need("git", context)
        self._args = args
        self._context = context
        self._environment = _environment(args, context)

    def run(self, *words: str, inside: bool = True, failing: str = "") -> Answer:
        """Run git; `failing`: what a failure is called."""
        directory = self._args.dest if inside else None
        command = [self._program, *words]
        done = call(command, self._context, directory=directory, also=self._environment)
        if done.rc and failing:
            raise ModuleError(
                f"{failing}: {done.stdout} {done.stderr}".strip(), cmd=command, rc=done.rc, stdout=done.stdout,
                stderr=done.stderr,
            )  # fmt: skip
        return done

    def head(self) -> str | None:
        """Return the commit that is checked out, None when there is none yet."""
        done = self.run("rev-parse", "HEAD")
        return done.stdout.strip() if done.rc == 0 else None

    def remote_url(self) -> str | None:
        """Return where the working copy comes from."""
        done = self.run("config", "--get", f"remote.{self._args.remote}.url")
        return done.stdout.strip() if done.rc == 0 else None

    def dirty(self) -> bool:
        """Return whether tracked files were changed by hand."""
        lines = self.run("status", "--porcelain").stdout.splitlines()
        return any(not line.startswith("??") for line in lines)

    def on_wrong_branch(self) -> bool:
        """Return whether a branch is asked for and another one, or none, is checked out."""
        args = self._args
        if args.bare or args.version == "HEAD" or not self._is_remote_branch(args.version):
            return False
        current = self.run("symbolic-ref", "-q", "--short", "HEAD").stdout.strip()
        return current != args.version

    def _listed(self) -> dict[str, str]:
        words = ["ls-remote", self._args.repo]
        done = self.run(*words, inside=False)
        if done.rc:
            raise ModuleError(
                f"Failed to list remote references: {done.stderr.strip()}", cmd=[self._program, *words], rc=done.rc,
                stdout=done.stdout, stderr=done.stderr,
            )  # fmt: skip
        return {name: sha for sha, _, name in (line.partition("\t") for line in done.stdout.splitlines())}

    def remote_version(self) -> str | None:
        """Return the commit that the version means in the repository; None when only a fetch can tell."""
        version = self._args.version
        if _FULL.match(version):
            return version
        listed = self._listed()
        names = ["HEAD"] if version == "HEAD" else [
            f"refs/heads/{version}", f"refs/tags/{version}^{{}}", f"refs/tags/{version}", version,
        ]  # fmt: skip
        return next((listed[name] for name in names if name in listed), None)

    def _is_remote_branch(self, version: str) -> bool:
        ref = f"refs/remotes/{self._args.remote}/{version}"
        return self.run("rev-parse", "-q", "--verify", ref).rc == 0

    def clone(self) -> None:
        """Make the working copy."""
        args = self._args
        words = ["clone", "--bare"] if args.bare else ["clone", "--origin", args.remote]
        named = args.version != "HEAD" and not _FULL.match(args.version)
        listed = self._listed() if named else {}
        is_branch = f"refs/heads/{args.version}" in listed or f"refs/tags/{args.version}" in listed
        if named and is_branch and (args.depth or args.single_branch):
            words += ["--branch", args.version]
        if args.depth:
            words += ["--depth", str(args.depth)]
        if args.single_branch:
            words.append("--single-branch")
        if args.reference:
            words += ["--reference", args.reference]
        if args.separate_git_dir:
            words.append(f"--separate-git-dir={args.separate_git_dir}")
        self.run(*words, args.repo, args.dest, inside=False, failing="Failed to clone")
        if args.refspec or (args.depth and named and not is_branch):
            self.fetch()
        if not args.bare:
            self.checkout()

    def set_remote(self) -> None:
        """Have the working copy come from the task's repository."""
        url = self.remote_url()
        if url is None:
            self.run("remote", "add", self._args.remote, self._args.repo, failing="Failed to set a new url")
        elif url != self._args.repo:
            self.run("remote", "set-url", self._args.remote, self._args.repo, failing="Failed to set a new url")

    def fetch(self) -> None:
        """Get what is new, tags included."""
        args = self._args
        failing = "Failed to download remote objects and refs"
        depth = ["--depth", str(args.depth)] if args.depth else []
        refs = [args.refspec] if args.refspec else []
        if args.bare:
            refs += ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
        elif args.version != "HEAD" and args.depth:
            branches = f"+refs/heads/*:refs/remotes/{args.remote}/*"
            refs.append(args.version if _FULL.match(args.version) else branches)
        self.run("fetch", *depth, "--tags", "--force", args.remote, *refs, failing=failing)
        if not args.bare and not args.depth:
            self.run("fetch", args.remote, failing=failing)

    def checkout(self) -> None:
        """Go to the version."""
        args = self._args
        failing = f"Failed to checkout {args.version}"
        version = args.version
        if version == "HEAD":
            version = self._default_branch()
        if self._is_remote_branch(version):
            remote = f"{args.remote}/{version}"
            words = ["checkout", *(["--force"] if args.force else []), "-B", version, remote]
            self.run(*words, failing=f"Failed to checkout branch {version}")
            self.run("reset", "--hard", remote, "--", failing=failing)
            return
        if self.run("rev-parse", "-q", "--verify", f"{version}^{{commit}}").rc:
            self.run("fetch", args.remote, version)
        self.run("checkout", "--force", version, failing=failing)

    def _default_branch(self) -> str:
        args = self._args
        done = self.run("ls-remote", "--symref", args.repo, "HEAD", inside=False)
        found = re.search(r"^ref: refs/heads/(\S+)\tHEAD", done.stdout, re.MULTILINE)
        return found[1] if found else "HEAD"

    def submodules(self) -> bool:
        """Bring submodules up to date; return whether any moved."""
        args = self._args
        if args.bare or not args.recursive or not (Path(args.dest) / ".gitmodules").exists():
            return False
        before = self.run("submodule", "status", "--recursive").stdout
        words = ["submodule", "update", "--init", "--recursive", *(["--force"] if args.force else [])]
        if args.track_submodules:
            words.append("--remote")
        self.run("submodule", "sync")
        self.run(*words, failing="Failed to init/update submodules")
        return self.run("submodule", "status", "--recursive").stdout != before

    def verify(self) -> None:
        """Fail unless the version's signature is good, where that is asked."""
        args = self._args
        if not args.verify_commit:
            return
        is_tag = self.run("rev-parse", "-q", "--verify", f"refs/tags/{args.version}").rc == 0
        done = self.run("verify-tag" if is_tag else "verify-commit", args.version, "--raw")
        signed = _SIGNED.findall(done.stderr)
        if done.rc or (args.gpg_allowlist and not set(signed) & set(args.gpg_allowlist)):
            raise ModuleError(
                f'Failed to verify GPG signature of commit/tag "{args.version}"', stdout=done.stdout,
                stderr=done.stderr,
                rc=done.rc or 1,
            )  # fmt: skip

    def archive(self, target: str, kind: str) -> None:
        """Pack the version into a file."""
        words = ["archive", f"--format={kind}", f"--output={target}"]
        if self._args.archive_prefix:
            words.append(f"--prefix={self._args.archive_prefix}")
        self.run(*words, "HEAD", failing="Failed to perform archive operation")

    @contextlib.contextmanager
    def umask(self) -> Iterator[None]:
        """Write with the task's umask."""
        wanted = _umask(self._args.umask)
        if wanted is None:
            yield
            return
        old = os.umask(wanted)
        try:
            yield
        finally:
            os.umask(old)


def _umask(value: JsonValue) -> int | None:
    if value is None:
        return None
    if isinstance(value, int):
        return value
    if not str(value).startswith("0"):
        raise ModuleError("umask must be defined as a quoted octal integer")
    try:
        return int(str(value), 8)
    except ValueError as error:
        raise ModuleError("umask must be an octal integer", details=str(error)) from error


def _environment(args: Args, context: Context) -> dict[str, str]:
    environment = {"LC_ALL": "C.UTF-8", "GIT_TERMINAL_PROMPT": "0"}
    options = shlex.split(args.ssh_opts or "")
    if args.accept_hostkey:
        options += ["-o", "StrictHostKeyChecking=no"]
    elif args.accept_newhostkey:
        options += ["-o", "StrictHostKeyChecking=accept-new"]
    if args.key_file:
        options += ["-i", args.key_file, "-o", "IdentitiesOnly=yes"]
    environment["GIT_SSH_COMMAND"] = shlex.join(
        [*shlex.split(context.environment.get("GIT_SSH_COMMAND", "ssh")), "-o", "BatchMode=yes", *options]
    )
    return environment
