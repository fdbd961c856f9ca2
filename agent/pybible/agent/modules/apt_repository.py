"""apt_repository: makes sure that a repository is, or is not, among apt's sources."""

from __future__ import annotations

import re
import shlex
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, FileAttributes, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.apt_command import ENVIRONMENT
from pybible.agent.modules.files import beside, replace
from pybible.agent.modules.programs import call, need
from pybible.wire.values import JsonObject

_LINE = re.compile(r"^(?P<off>(?:\s*#+\s*)*)(?P<source>(?:deb|deb-src)\s.+?)\s*(?:#\s*(?P<comment>.*))?$")
_SOURCE = re.compile(r"^(deb|deb-src)\s+(\[[^\]]*\]\s+)?(\S+)\s+(\S+)(.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of apt_repository."""

    repo: str = arg(doc="the line of the source")
    state: Literal["absent", "present"] = arg(default="present", doc="whether it is to be there")
    mode: str | int | None = arg(default=None, raw=True, doc="permissions of the file")
    update_cache: bool = arg(default=True, aliases=("update-cache",), doc="update apt's lists after a change")
    update_cache_retries: int = arg(default=5, doc="how often that is tried again")
    update_cache_retry_max_delay: int = arg(default=12, doc="longest time between two tries, in seconds")
    filename: str | None = arg(default=None, doc="name of the file in sources.list.d")
    install_python_apt: bool = arg(default=True, doc="nothing to install here: accepted as it is")
    validate_certs: bool = arg(default=True, doc="of a PPA's key")
    codename: str | None = arg(default=None, doc="the distribution's name, for a PPA")


@dataclass(slots=True)
class Sources:
    """The files of sources: each its lines."""

    main: Path
    parts: Path
    files: dict[Path, list[str]] = field(default_factory=dict)

    def read(self) -> Sources:
        """Read all of them."""
        for path in (self.main, *sorted(self.parts.glob("*.list"))):
            if path.exists():
                self.files[path] = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines(keepends=True)
        return self


def normal(line: str) -> str | None:
    """Return a source line with one space between its words, None when it is none."""
    matched = _SOURCE.match(line.strip())
    if matched is None:
        return None
    kind, options, address, suite, rest = matched.groups()
    words = [kind, *(["[" + " ".join(options.strip()[1:-1].split()) + "]"] if options else []), address, suite]
    return " ".join([*words, *rest.split()])


def file_name(source: str) -> str:
    """Return the file's name that is made of a repository's address."""
    matched = _SOURCE.match(source)
    address = matched[3] if matched else source
    address = re.sub(r"^.*?://", "", address)
    address = re.sub(r"^[^/@]*@", "", address)
    return re.sub(r"[^a-zA-Z0-9]+", "_", address).strip("_")


def plan(args: Args, context: Context) -> Plan:
    """Compare apt's sources with what is asked."""
    if args.repo.strip().startswith("ppa:"):
        raise ModuleError("apt_repository: a ppa: needs its key from Launchpad, which is not supported: give the line")
    source = normal(args.repo)
    if source is None:
        raise ModuleError(f"Invalid repository string: {args.repo}")
    sources = _sources(context).read()
    after = present(sources, source, args) if args.state == "present" else absent(sources, source)
    changed = {path: text for path, text in after.items() if text != _text(sources.files.get(path))}
    values: JsonObject = {"repo": args.repo, "state": args.state, "sources_added": [], "sources_removed": []}
    if not changed:
        return Unchanged(values=values)
    added = [str(path) for path, text in changed.items() if path not in sources.files and text]
    removed = [str(path) for path, text in changed.items() if not text and path != sources.main]
    values |= {"sources_added": added, "sources_removed": removed}
    diff = [_diff(path, sources, text) for path, text in changed.items()]
    return Change(values=values, diff=diff, apply=partial(_apply, args, context, sources, changed))


def _sources(context: Context) -> Sources:
    words = ["shell", "main", "Dir::Etc::sourcelist/f", "parts", "Dir::Etc::sourceparts/d"]
    done = call([need("apt-config", context), *words], context)
    found = dict(item.split("=", 1) for item in shlex.split(done.stdout))
    main, parts = found.get("main", "/etc/apt/sources.list"), found.get("parts", "/etc/apt/sources.list.d")
    return Sources(Path(main), Path(parts))


def _text(lines: list[str] | None) -> str:
    return "".join(lines or ())


def _diff(path: Path, sources: Sources, text: str) -> JsonObject:
    header = str(path)
    before = _text(sources.files.get(path))
    return {
        "before": before, "before_header": header if path in sources.files else "/dev/null", "after": text,
        "after_header": header if text else "/dev/null",
    }  # fmt: skip


def present(sources: Sources, source: str, args: Args) -> dict[Path, str]:
    """Return the files' texts with the source among them; one that is a comment is taken out of it."""
    for path, lines in sources.files.items():
        for index, line in enumerate(lines):
            matched = _LINE.match(line.rstrip("\n"))
            if matched is None or normal(matched["source"]) != source:
                continue
            if not matched["off"].strip():
                return {}
            comment = f" # {matched['comment']}" if matched["comment"] else ""
            return {path: "".join([*lines[:index], f"{source}{comment}\n", *lines[index + 1 :]])}
    if args.filename is not None and "/" in args.filename:
        path = Path(args.filename)
    else:
        name = args.filename or file_name(source)
        path = sources.parts / (name if name.endswith(".list") else f"{name}.list")
    before = _text(sources.files.get(path))
    return {path: before + ("\n" if before and not before.endswith("\n") else "") + f"{source}\n"}


def absent(sources: Sources, source: str) -> dict[Path, str]:
    """Return the files' texts without the source."""
    changed = {}
    for path, lines in sources.files.items():
        kept = []
        for line in lines:
            matched = _LINE.match(line.rstrip("\n"))
            if matched is None or matched["off"].strip() or normal(matched["source"]) != source:
                kept.append(line)
        if len(kept) != len(lines):
            changed[path] = "".join(kept)
    return changed


def _apply(args: Args, context: Context, sources: Sources, changed: dict[Path, str]) -> None:
    for path, text in changed.items():
        if not text and path != sources.main:
            path.unlink()
            continue
        new = path not in sources.files
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside(str(path)) as temporary:
            Path(temporary).write_text(text, encoding="utf-8", errors="surrogateescape")
            replace(temporary, str(path), FileAttributes(mode=args.mode), mode=0o644 if new else None)
    if args.update_cache:
        try:
            _update(args, context)
        except ModuleError:
            _restore(sources, changed)
            raise


def _update(args: Args, context: Context) -> None:
    error = ""
    for attempt in range(max(args.update_cache_retries, 1)):
        if attempt:
            time.sleep(min(2 ** (attempt - 1), args.update_cache_retry_max_delay))
        done = call([need("apt-get", context), "-q", "update"], context, also=ENVIRONMENT, live=True)
        if done.rc == 0:
            return
        error = done.stderr.strip()
    raise ModuleError(f"Failed to update apt cache after {args.update_cache_retries} retries: {error}")


def _restore(sources: Sources, changed: dict[Path, str]) -> None:
    """Put the files back as they were: a source that can't be read would stop apt altogether."""
    for path in changed:
        if path in sources.files:
            path.write_text(_text(sources.files[path]), encoding="utf-8", errors="surrogateescape")
        else:
            path.unlink(missing_ok=True)


MODULE = Module(name="apt_repository", args=Args, plan=plan, exclusive=True)
