"""dnf_command: dnf's command line, the wait for its lock, and what rpm has installed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pybible.agent.modules.api import Context, ModuleError
from pybible.agent.modules.dnf_output import holder
from pybible.agent.modules.programs import Answer, call, locate, need

if TYPE_CHECKING:
    from pybible.agent.modules.dnf import Args

# The words that are looked for are English.
ENVIRONMENT = {"LC_ALL": "C.UTF-8", "LANGUAGE": "C"}
_QUERY = "%{NAME}\t%{ARCH}\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What the two generations of dnf call by other names."""

    module: str
    programs: tuple[str, ...]
    no_best: str = "--nobest"
    no_signatures: str = "--nogpgcheck"
    skip_broken: tuple[str, ...] = ("--skip-broken",)
    disable_excludes: str = "--disableexcludes={}"
    destination: str = "--downloaddir={}"
    exit_on_lock: tuple[str, ...] = ("--setopt=exit_on_lock=True",)
    end_of_line: str = ""
    keep_unused: str = "--noautoremove"


DNF4 = Dialect(module="dnf", programs=("dnf-3", "dnf"))
DNF5 = Dialect(
    module="dnf5",
    programs=("dnf5", "dnf"),
    no_best="--no-best",
    no_signatures="--no-gpgchecks",
    skip_broken=("--skip-broken", "--skip-unavailable"),
    disable_excludes="--setopt=disable_excludes={}",
    destination="--destdir={}",
    exit_on_lock=(),
    end_of_line="\\n",
    keep_unused="--no-autoremove",
)


class Dnf:
    """dnf with the options that a task asks for."""

    def __init__(self, args: Args, context: Context, dialect: Dialect) -> None:
        names = dialect.programs
        self.program = next(filter(None, (locate(name, context) for name in names)), None) or need(names[-1], context)
        self.args = args
        self.context = context
        self.dialect = dialect

    def run(self, verb: str, words: Sequence[str], *, preview: bool = False) -> Answer:
        """Run one of its commands; a preview stops where dnf would begin."""
        how = "--assumeno" if preview else "-y"
        live = not preview and verb not in ("repoquery", "repolist")
        return self._waiting([self.program, how, *self._options(verb), verb, *words], live=live)

    def _waiting(self, command: list[str], *, live: bool) -> Answer:
        """Run a command, again while another process has the lock. ModuleError, which names it, after lock_timeout."""
        deadline = time.monotonic() + self.args.lock_timeout
        while True:
            done = call(command, self.context, also=ENVIRONMENT, live=live)
            pid = holder(done.stdout + done.stderr) if done.rc else None
            if pid is None:
                return done
            if time.monotonic() >= deadline:
                waited = f"waited {self.args.lock_timeout} seconds"
                raise ModuleError(
                    f"dnf lockfile is held by another process: {_process(pid)}, {waited}",
                    rc=done.rc, results=[],
                )  # fmt: skip
            time.sleep(1)

    def _options(self, verb: str) -> list[str]:
        args, dialect = self.args, self.dialect
        words = [f"--config={args.conf_file}"] if args.conf_file else []
        words += [f"--installroot={args.installroot}"] if args.installroot != "/" else []
        words += [f"--releasever={args.releasever}"] if args.releasever else []
        words += [f"--disablerepo={name}" for name in args.disablerepo]
        words += [f"--enablerepo={name}" for name in args.enablerepo]
        words += [f"--exclude={name}" for name in args.exclude]
        words += [f"--disableplugin={name}" for name in args.disable_plugin]
        words += [f"--enableplugin={name}" for name in args.enable_plugin]
        words += [dialect.disable_excludes.format(args.disable_excludes)] if args.disable_excludes else []
        words += ["--setopt=sslverify=False"] if not args.sslverify else []
        words += ["--cacheonly"] if args.cacheonly else []
        words += dialect.exit_on_lock
        if verb in ("install", "upgrade", "downgrade"):
            words += self._install_options(verb)
        if verb == "remove" and not args.autoremove:
            words.append(dialect.keep_unused)
        return words

    def _install_options(self, verb: str) -> list[str]:
        args, dialect = self.args, self.dialect
        best = args.best if args.best is not None else None if args.nobest is None else not args.nobest
        signatures = dialect.no_signatures if args.disable_gpg_check else "--setopt=localpkg_gpgcheck=True"
        words = [] if best is None else ["--best" if best else dialect.no_best]
        words += [signatures]
        words += [] if args.install_weak_deps else ["--setopt=install_weak_deps=False"]
        words += ["--allowerasing"] if args.allowerasing else []
        words += dialect.skip_broken if args.skip_broken else ()
        words += ["--security"] if args.security and verb == "upgrade" else []
        words += ["--bugfix"] if args.bugfix and verb == "upgrade" else []
        if args.download_only:
            words += ["--downloadonly", *([dialect.destination.format(args.download_dir)] if args.download_dir else [])]
        return words

    def _rpm(self, words: Sequence[str]) -> Answer:
        root = [f"--root={self.args.installroot}"] if self.args.installroot != "/" else []
        return call([need("rpm", self.context), *root, *words], self.context, also=ENVIRONMENT)

    def installed(self) -> dict[tuple[str, str], list[str]]:
        """Return (name, architecture) -> its [epoch:]version-release of all installed packages."""
        return parse_installed(self._rpm(["-qa", "--queryformat", _QUERY]).stdout)

    def has(self, spec: str) -> bool:
        """Return whether rpm has what a specifier names: a package, with or without version, or what it provides."""
        return not self._rpm(["-q", spec]).rc or not self._rpm(["-q", "--whatprovides", spec]).rc

    def has_package(self, spec: str) -> bool:
        """Return whether rpm has a package of that name."""
        return not self._rpm(["-q", spec]).rc

    def file_name(self, path: str) -> str:
        """Return the whole name of the package in a file. ModuleError when it is none."""
        done = self._rpm(["-qp", "--queryformat", "%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}", path])
        if done.rc:
            raise ModuleError(
                f"Error occurred attempting remote rpm operation: Could not open: {path}", rc=1, results=[]
            )
        return done.stdout.strip()


def parse_installed(output: str) -> dict[tuple[str, str], list[str]]:
    """Return what lines `name TAB architecture TAB epoch:version-release` say."""
    found: dict[tuple[str, str], list[str]] = {}
    for line in output.split("\n"):
        fields = line.split("\t")
        if len(fields) == 3:
            found.setdefault((fields[0], fields[1]), []).append(fields[2].removeprefix("0:"))
    return found


def _process(pid: str) -> str:
    comm = Path(f"/proc/{pid}/comm")
    try:
        return f"pid {pid} ({comm.read_text(encoding='utf-8').strip()})"
    except OSError:
        return f"pid {pid}"
