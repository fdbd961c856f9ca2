"""subversion: makes sure that a working copy is at a revision of its repository."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, Unchanged, arg
from pybible.agent.modules.programs import Answer, call, locate, need
from pybible.wire.values import JsonObject

_VERSION = re.compile(r"^(\d+)\.(\d+)")
# Since this version a password can be given so that it is in no list of processes.
_READS_PASSWORD = (1, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of subversion."""

    dest: PathText | None = arg(default=None, doc="the working copy")
    repo: str = arg(aliases=("name", "repository"), doc="the repository's address")
    revision: str = arg(default="HEAD", aliases=("rev", "version"), doc="the revision")
    force: bool = arg(default=False, doc="throw local changes away")
    username: str | None = arg(default=None, doc="who asks")
    password: str | None = arg(default=None, no_log=True, doc="the password; given on stdin from svn 1.10 on")
    executable: PathText | None = arg(default=None, doc="the svn program")
    export: bool = arg(default=False, doc="without what makes it a working copy")
    checkout: bool = arg(default=True, doc="make the working copy when there is none")
    update: bool = arg(default=True, doc="get what is new")
    switch: bool = arg(default=True, doc="follow the repository's address when that is another one")
    in_place: bool = arg(default=False, doc="make a working copy of a folder that is there")
    validate_certs: bool = arg(default=False, doc="check the server's certificate")


class Svn:
    """The calls of svn about one working copy."""

    def __init__(self, args: Args, context: Context) -> None:
        self._args, self._context = args, context
        self._program = args.executable or need("svn", context)
        self._shown = args.executable or "svn"

    def _options(self) -> list[str]:
        """Return the options of every call, without the password."""
        args = self._args
        words = ["--non-interactive", "--no-auth-cache", *([] if args.validate_certs else ["--trust-server-cert"])]
        return [*words, *([] if args.username is None else ["--username", args.username])]

    def _password(self) -> tuple[list[str], str | None]:
        """Return the option that gives the password, and what is put into stdin."""
        password = self._args.password
        if password is None:
            return [], None
        version = _VERSION.match(call([self._program, "--version", "--quiet"], self._context).stdout)
        if version and (int(version[1]), int(version[2])) >= _READS_PASSWORD:
            return ["--password-from-stdin"], password
        return ["--password", password], None

    def run(self, *words: str, check: bool = True) -> Answer:
        """Call svn. ModuleError when it fails, unless `check` is False."""
        options = self._options()
        command = shlex.join([self._shown, *options, *words])
        if locate(self._program, self._context) is None:
            raise ModuleError("Error executing command.", cmd=command, rc=2, stdout="", stderr="")
        password, stdin = self._password()
        done = call(
            [self._program, *options, *password, *words], self._context, stdin=stdin, also={"LC_ALL": "C.UTF-8"}
        )
        if check and done.rc:
            raise ModuleError(done.stderr.rstrip(), cmd=command, rc=done.rc, stdout=done.stdout, stderr=done.stderr)
        return done

    @property
    def dest(self) -> str:
        """The working copy."""
        return str(self._args.dest)

    def is_copy(self) -> bool:
        """Return whether the folder is a working copy."""
        return self.run("info", self.dest, check=False).rc == 0

    def state(self) -> list[str]:
        """Return revision and address of the working copy, as svn says them."""
        return parse_info(self.run("info", self.dest).stdout)

    def is_changed(self) -> bool:
        """Return whether files differ from what was got."""
        text = self.run("status", "--quiet", "--ignore-externals", self.dest).stdout
        return any(line and line[0] not in "?X" and line[:7].strip() for line in text.split("\n"))

    def revision_of(self, *where: str) -> str:
        """Return what `svn info` says of a revision: `Revision: N`."""
        return next(iter(parse_info(self.run("info", *where).stdout)), "Unable to get revision")


def parse_info(text: str) -> list[str]:
    """Return the lines of `svn info` that say revision and address, in that order."""
    found = (re.search(rf"^{name}: .*$", text, re.MULTILINE) for name in ("Revision", "URL"))
    return [match[0] for match in found if match]


def plan(args: Args, context: Context) -> Plan:
    """Compare the working copy with the revision that is asked for."""
    if args.dest is None and (args.checkout or args.update or args.export):
        raise ModuleError("the destination directory must be specified unless checkout=no, update=no, and export=no")
    svn = Svn(args, context)
    if args.dest is None:
        return Unchanged(values={"after": svn.revision_of("-r", args.revision, args.repo)})
    there = Path(args.dest).exists()
    if args.export:
        return Change(apply=partial(_export, args, svn))
    if not there:
        return Change(apply=partial(_check_out, args, svn)) if args.checkout else None
    if not svn.is_copy():
        if not args.in_place:
            raise ModuleError(f"ERROR: {args.dest} folder already exists, but its not a subversion repository.")
        return Change(apply=partial(_check_out, args, svn))
    return _plan_update(args, context, svn)


def _plan_update(args: Args, context: Context, svn: Svn) -> Plan:
    if not args.update:
        return None
    changed = svn.is_changed()
    if changed and not args.force:
        raise ModuleError("ERROR: modified files exist in the repository.")
    if context.check:
        before, after = svn.revision_of(svn.dest), svn.revision_of("-r", args.revision, svn.dest)
        values: JsonObject = {"before": before, "after": after}
        return Change(values=values, changed=_number(after) > _number(before), apply=lambda: None)
    return Change(apply=partial(_update, args, svn, changed))


def _number(text: str) -> int:
    digits = text.rpartition(" ")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def _export(args: Args, svn: Svn) -> None:
    svn.run("export", *(["--force"] if args.force else []), "-r", args.revision, args.repo, svn.dest)


def _check_out(args: Args, svn: Svn) -> JsonObject:
    Path(svn.dest).parent.mkdir(parents=True, exist_ok=True)
    words = ["--force"] if args.in_place else []
    svn.run("checkout", *words, "-r", args.revision, args.repo, svn.dest)
    if args.in_place and args.force and svn.is_changed():
        svn.run("revert", "-R", svn.dest)
    return {"before": None, "after": list(svn.state())}


def _update(args: Args, svn: Svn, changed: bool) -> JsonObject:
    before = svn.state()
    # Before anything else: what is changed would get into conflict with what comes.
    if changed:
        svn.run("revert", "-R", svn.dest)
    if args.switch:
        svn.run("switch", "--revision", args.revision, args.repo, svn.dest)
    svn.run("update", "-r", args.revision, svn.dest)
    after = svn.state()
    return {"changed": before != after or changed, "before": list(before), "after": list(after)}


MODULE = Module(name="subversion", args=Args, plan=plan)
