"""git: makes sure that a working copy is at a version of its repository."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, Unchanged, arg
from pybible.agent.modules.git_command import Git
from pybible.wire.values import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of git."""

    dest: PathText = arg(doc="the working copy")
    repo: str = arg(aliases=("name",), doc="the repository")
    version: str = arg(default="HEAD", doc="branch, tag or commit")
    remote: str = arg(default="origin", doc="what the repository is called there")
    refspec: str | None = arg(default=None, doc="more to fetch")
    reference: str | None = arg(default=None, doc="a repository from which objects are borrowed")
    force: bool = arg(default=False, doc="throw local changes away")
    depth: int | None = arg(default=None, doc="how much history to get")
    clone: bool = arg(default=True, doc="make the working copy when there is none")
    update: bool = arg(default=True, doc="get what is new")
    verify_commit: bool = arg(default=False, doc="check the version's signature")
    gpg_allowlist: list[str] = arg(
        default_factory=list, aliases=("gpg_whitelist",), doc="the keys that may have signed"
    )
    accept_hostkey: bool = arg(default=False, doc="trust any host key")
    accept_newhostkey: bool = arg(default=False, doc="trust a host key that is new")
    key_file: PathText | None = arg(default=None, doc="SSH key")
    ssh_opts: str | None = arg(default=None, doc="options of ssh")
    executable: PathText | None = arg(default=None, doc="the git program")
    bare: bool = arg(default=False, doc="a repository without working copy")
    recursive: bool = arg(default=True, doc="with submodules")
    single_branch: bool = arg(default=False, doc="get only the version's branch")
    track_submodules: bool = arg(default=False, doc="take submodules from the tip of their branch")
    archive: PathText | None = arg(default=None, doc="pack the version into this file")
    archive_prefix: str | None = arg(default=None, doc="folder inside the archive")
    separate_git_dir: PathText | None = arg(default=None, doc="where the repository is kept")
    umask: str | int | None = arg(default=None, raw=True, doc="umask of what is written")

    @property
    def git_dir(self) -> str:
        """Where the repository lies."""
        if self.bare:
            return self.dest
        dot = Path(self.dest) / ".git"
        if self.separate_git_dir is not None and Path(self.separate_git_dir).exists():
            return self.separate_git_dir
        if dot.is_file():
            pointed = dot.read_text(encoding="utf-8").partition(":")[2].strip()
            return str(Path(self.dest) / pointed)
        return str(dot)


def plan(args: Args, context: Context) -> Plan:
    """Compare the working copy with the version that is asked for."""
    if args.separate_git_dir is not None and args.bare:
        raise ModuleError("parameters are mutually exclusive: separate_git_dir|bare")
    if args.repo.startswith("/"):
        # git takes a path for a place to make hard links from, and knows no depth there.
        args = dataclasses.replace(args, repo=f"file://{args.repo}")
    git = Git(args, context)
    there = (Path(args.git_dir) / "config").exists()
    result: JsonObject = {"before": None}
    if not there:
        return _plan_new(args, context, git, result)
    result["before"] = git.head()
    url = git.remote_url()
    changed_url = url is not None and url != args.repo
    if not args.bare and (dirty := git.dirty()):
        if not args.force:
            raise ModuleError("Local modifications exist in the destination: " + args.dest + " (force=no).", **result)
        result["msg"] = "Local modifications exist in the destination: " + args.dest
    else:
        dirty = False
    if not args.update and not args.archive:
        result["after"] = result["before"]
        return Unchanged(values=result, described=False)
    target = git.remote_version()
    result["remote_url_changed"] = changed_url
    same = target == result["before"] and not changed_url and not dirty and not args.archive
    if same and not git.on_wrong_branch():
        result["after"] = result["before"]
        return Unchanged(values=result)
    if context.check:
        result["after"] = target or result["before"]
        return Change(
            values=result, changed=result["before"] != result["after"] or dirty or changed_url, apply=_nothing
        )
    return Change(values={}, changed=False, apply=partial(_update, args, git, result, dirty))


def _nothing() -> None:
    return None


def _plan_new(args: Args, context: Context, git: Git, result: JsonObject) -> Plan:
    if args.archive is None and not args.clone:
        result["after"] = git.remote_version()
        return Unchanged(values={**result, "changed": True})
    if context.check:
        result["after"] = git.remote_version()
        return Change(values=result, apply=_nothing)
    return Change(values={}, apply=partial(_clone, args, git, result))


def _clone(args: Args, git: Git, result: JsonObject) -> JsonObject:
    with git.umask():
        Path(args.dest).parent.mkdir(parents=True, exist_ok=True)
        git.clone()
        git.submodules()
        git.verify()
        result["after"] = git.head()
        if args.archive is not None:
            _archive(args, git, result)
    return result


def _update(args: Args, git: Git, result: JsonObject, dirty: bool) -> JsonObject:
    with git.umask():
        git.set_remote()
        git.fetch()
        if not args.bare:
            git.checkout()
        changed_modules = git.submodules()
        git.verify()
        result["after"] = git.head()
        changed = result["before"] != result["after"] or dirty or result["remote_url_changed"] or changed_modules
        if args.archive is not None:
            changed = _archive(args, git, result) or changed
    return {**result, "changed": bool(changed)}


def _archive(args: Args, git: Git, result: JsonObject) -> bool:
    """Pack the version; return whether the archive is another one than before."""
    target = str(args.archive)
    kind = next((name for name in ("tar.gz", "tgz", "tar", "zip") if target.endswith(f".{name}")), None)
    if kind is None:
        raise ModuleError("Failed to perform archive/checkout of repository", msg_detail="unsupported archive format")
    result["git_archive"] = target
    with tempfile.TemporaryDirectory() as folder:
        made = str(Path(folder) / f"archive.{kind}")
        git.archive(made, kind)
        if Path(target).exists() and Path(target).read_bytes() == Path(made).read_bytes():
            return False
        shutil.copyfile(made, target)
        os.chmod(target, 0o644)  # noqa: PTH101
    return True


MODULE = Module(
    name="git",
    args=Args,
    plan=plan,
    mutually_exclusive=(("separate_git_dir", "bare"), ("accept_hostkey", "accept_newhostkey")),
)
