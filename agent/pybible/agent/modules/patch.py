"""patch: applies a patch file, or takes one back, with the host's GNU patch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, arg
from pybible.agent.modules.programs import call, need


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of patch."""

    src: PathText = arg(aliases=("patchfile",), doc="the patch")
    dest: PathText | None = arg(default=None, aliases=("originalfile",), doc="the one file that is patched")
    basedir: PathText | None = arg(default=None, doc="the folder to which the patch's file names are relative")
    strip: int = arg(default=0, doc="how many folders of the patch's file names are left out")
    remote_src: bool = arg(default=False, doc="the patch is on the host, not on the control node")
    backup: bool = arg(default=False, doc="keep numbered copies of the old files")
    binary: bool = arg(default=False, doc="leave ends of lines as they are")
    ignore_whitespace: bool = arg(default=False, doc="white space in the patch and the files may differ")
    state: Literal["absent", "present"] = arg(default="present", doc="apply the patch, or take it back")
    _content: str | None = arg(default=None, internal=True)

    def source(self, context: Context) -> str:
        """Return where the patch is on this host."""
        return self.src if self._content is None else str(context.content(self._content))


def plan(args: Args, context: Context) -> Plan:
    """Try whether the patch could be taken back (or applied, to take it back): then it is there already."""
    src = args.source(context)
    if not os.access(src, os.R_OK):
        raise ModuleError(f"src {args.src} doesn't exist or not readable")
    if args.dest is not None and not os.access(args.dest, os.W_OK):
        raise ModuleError(f"dest {args.dest} doesn't exist or not writable")
    if args.basedir is not None and not Path(args.basedir).exists():
        raise ModuleError(f"basedir {args.basedir} doesn't exist")
    words = _words(args, src, need("patch", context))
    trial = [*words, "--dry-run", *([] if args.state == "absent" else ["--reverse"])]
    if call(trial, context).rc == 0:
        return None
    words += ["--batch", "--reject-file=-", *(["--reverse"] if args.state == "absent" else [])]
    if context.check:
        _run([*words, "--dry-run"], context)
    elif args.backup:
        words += ["--backup", "--version-control=numbered"]
    return Change(apply=partial(_run, words, context))


def _words(args: Args, src: str, program: str) -> list[str]:
    folder = args.basedir or os.path.dirname(os.path.abspath(str(args.dest)))  # noqa: PTH100,PTH120  a path as given
    words = [program, "--quiet", "--forward", f"--strip={args.strip}", f"--directory={folder}", f"--input={src}"]
    if args.binary:
        words.append("--binary")
    if args.ignore_whitespace:
        words.append("--ignore-whitespace")
    if args.dest is not None:
        words.append(args.dest)
    return words


def _run(words: list[str], context: Context) -> None:
    done = call(words, context)
    if done.rc:
        raise ModuleError(done.stderr or done.stdout)


MODULE = Module(name="ansible.posix.patch", args=Args, plan=plan, required_one_of=(("dest", "basedir"),))
