"""synchronize: makes a folder like another one, with rsync: both on this host, or one on the control node."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, arg
from pybible.agent.modules.programs import call, need
from pybible.agent.modules.rsync_trees import names_to_send, pack, split_options, unpacked
from pybible.wire.values import JsonObject

_MARK = "<<CHANGED>>"
_REMOTE = re.compile(r"^(?:rsync://|[^/]+:)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of synchronize."""

    src: PathText = arg(doc="what is copied; with a slash at its end what is in it")
    dest: PathText = arg(doc="where it goes")
    mode: Literal["pull", "push"] = arg(default="push", doc="from the control node to the host, or back")
    archive: bool = arg(default=True, doc="recursive, links, perms, times, owner and group, unless said otherwise")
    checksum: bool = arg(default=False, doc="compare contents, not sizes and times")
    compress: bool = arg(default=True, doc="as rsync's option")
    existing_only: bool = arg(default=False, doc="make no new files")
    delete: bool = arg(default=False, doc="remove what the source does not have")
    dirs: bool = arg(default=False, doc="folders, without what is in them")
    recursive: bool | None = arg(default=None, doc="and everything below")
    links: bool | None = arg(default=None, doc="copy links as links")
    copy_links: bool = arg(default=False, doc="copy what links lead to")
    perms: bool | None = arg(default=None, doc="keep permissions")
    times: bool | None = arg(default=None, doc="keep times")
    owner: bool | None = arg(default=None, doc="keep owners")
    group: bool | None = arg(default=None, doc="keep groups")
    delay_updates: bool = arg(default=True, doc="put all files in place at the end")
    partial: bool = arg(default=False, doc="keep parts of files")
    link_dest: list[PathText] | None = arg(default=None, doc="folders from which unchanged files are linked")
    rsync_opts: list[str] = arg(default_factory=list, doc="more options of rsync")
    rsync_timeout: int = arg(default=0, doc="seconds without a sign of life")
    rsync_path: str | None = arg(default=None, doc="rsync at the other end")
    dest_port: int | None = arg(default=None, doc="of ssh: means nothing here")
    private_key: PathText | None = arg(default=None, doc="of ssh: means nothing here")
    set_remote_user: bool = arg(default=True, doc="of ssh: means nothing here")
    use_ssh_args: bool = arg(default=False, doc="of ssh: means nothing here")
    ssh_connection_multiplexing: bool = arg(default=False, doc="of ssh: means nothing here")
    verify_host: bool = arg(default=False, doc="of ssh: means nothing here")
    _local_rsync_path: PathText = arg(default="rsync", internal=True)
    _local_rsync_password: str | None = arg(default=None, no_log=True, internal=True)
    _ssh_args: str | None = arg(default=None, internal=True)
    _substitute_controller: bool = arg(default=False, internal=True)
    # This end sends: only pack what would be sent.
    _pack: bool = arg(default=False, internal=True)
    # This end receives: what the other one packed.
    _content: str | None = arg(default=None, internal=True)

    @property
    def program(self) -> str:
        """The name of rsync at this end."""
        return self._local_rsync_path

    @property
    def sends(self) -> bool:
        """Whether this is the sending end of two."""
        return self._pack

    @property
    def content(self) -> str | None:
        """What the other end packed, None when there is no other end."""
        return self._content


def plan(args: Args, context: Context) -> Plan:
    """Have rsync do it, or, in check mode, tell what it would do."""
    program = need(args.program, context)
    if args.sends or args.content is not None:
        for path in (args.src, args.dest):
            if _REMOTE.match(path):
                raise ModuleError(f"{path} is on yet another host: delegate the task to the host that is to run rsync")
    if args.sends:
        return Change(changed=False, apply=partial(_send, args, program, context))
    if context.check:
        found = _receive(args, program, context)
        return Change(changed=bool(found["changed"]), values=found, apply=lambda: None)
    return Change(apply=partial(_receive, args, program, context))


def _selection(args: Args) -> list[str]:
    """Return the words that say which files count, and what of them."""
    words = ["--copy-links"] if args.copy_links else []
    given = ((name, getattr(args, name)) for name in ("recursive", "links", "perms", "times", "owner", "group"))
    if args.archive:
        words += ["--archive", *(f"--no-{name}" for name, wanted in given if wanted is False)]
    else:
        words += [f"--{name}" for name, wanted in given if wanted]
    return [*words, "--dirs"] if args.dirs else words


def words_of(args: Args, program: str, *, check: bool) -> list[str]:
    """Return rsync's command line, in the order of the stock module's, without source and destination."""
    words = [program]
    words += ["--delay-updates", "-F"] if args.delay_updates else []
    words += ["--compress"] if args.compress else []
    words += [f"--timeout={args.rsync_timeout}"] if args.rsync_timeout else []
    words += ["--dry-run"] if check else []
    words += ["--delete-after"] if args.delete else []
    words += ["--existing"] if args.existing_only else []
    words += ["--checksum"] if args.checksum else []
    words += _selection(args)
    if args.content is None:
        words += [f"--rsync-path={args.rsync_path}"] if args.rsync_path else []
        words += args.rsync_opts
    else:
        words += split_options(args.rsync_opts)[1]
    words += ["--partial"] if args.partial else []
    if args.link_dest:
        words += ["-H", "-vv", *(f"--link-dest={path}" for path in args.link_dest)]
    return [*words, f"--out-format={_MARK}%i %n%L"]


def _send(args: Args, program: str, context: Context) -> JsonObject:
    selecting, _ = split_options(args.rsync_opts)
    words = [program, *(["-F"] if args.delay_updates else []), *_selection(args), *selecting]
    names = names_to_send(words, args.src, context)
    try:
        sha256, size, stream = pack(args.src, names, follow=args.copy_links)
    except OSError as error:
        raise ModuleError(f"could not pack {args.src}: {error}") from error
    with stream:
        context.give(sha256, size, stream)
    return {"sha256": sha256, "size": size}


def _receive(args: Args, program: str, context: Context) -> JsonObject:
    words = words_of(args, program, check=context.check)
    if args.content is None:
        return _run(args, words, args.src, context)
    try:
        with unpacked(context.content(args.content)) as tree:
            source = f"{tree}/" if args.src.endswith("/") else str(tree / Path(args.src).name)
            return _run(args, words, source, context)
    except OSError as error:
        raise ModuleError(f"could not unpack what is to be copied: {error}") from error


def _shown(word: str) -> str:
    """Return a word as the stock module shows it: quoted where it has spaces."""
    name, separator, value = word.partition("=")
    if not re.search(r"\s", word):
        return word
    return f"{name}={shlex.quote(value)}" if separator else shlex.quote(word)


def _run(args: Args, words: list[str], source: str, context: Context) -> JsonObject:
    done = call([*words, source, args.dest], context)
    cmd = " ".join(map(_shown, [*words, args.src, args.dest]))
    if done.rc:
        text = (done.stderr or done.stdout).replace(source, args.src)
        raise ModuleError(text, rc=done.rc, cmd=cmd)
    msg = done.stdout.replace(_MARK, "")
    # With links to other folders rsync tells of every file; a period says that it stays as it is.
    changed = f"{_MARK}." not in done.stdout if args.link_dest else _MARK in done.stdout
    lines = [line for line in msg.split("\n") if line]
    result: JsonObject = {"changed": changed, "msg": msg, "rc": done.rc, "cmd": cmd, "stdout_lines": lines}
    if context.diff:
        result["diff"] = {"prepared": msg}
    return result


MODULE = Module(name="ansible.posix.synchronize", args=Args, plan=plan)
