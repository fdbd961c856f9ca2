"""acl: tells, sets or removes an entry of a file's access control list."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, Unchanged, arg
from pybible.agent.modules.programs import must, need
from pybible.wire.values import JsonObject

_KINDS = {"u": "user", "g": "group", "o": "other", "m": "mask"}
# Every NFSv4 entry may read attributes, the list itself, and synchronise.
_NFS_ALWAYS = "tcy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of acl."""

    path: PathText = arg(aliases=("name",), doc="the file")
    entry: str | None = arg(default=None, doc="the entry in setfacl's form, `KIND:NAME:PERMISSIONS`")
    entity: str = arg(default="", doc="the user or group")
    etype: Literal["group", "mask", "other", "user"] | None = arg(default=None, doc="of what kind the entry is")
    permissions: str | None = arg(default=None, doc="letters of r, w, x and X")
    state: Literal["absent", "present", "query"] = arg(default="query", doc="set, remove, or only tell")
    follow: bool = arg(default=True, doc="follow a link")
    default: bool = arg(default=False, doc="the entry is what files made in this folder get")
    recursive: bool = arg(default=False, aliases=("recurse",), doc="and everything below")
    recalculate_mask: Literal["default", "mask", "no_mask"] = arg(default="default", doc="when the mask is made anew")
    use_nfsv4_acls: bool = arg(default=False, doc="an NFSv4 list, with nfs4_setfacl")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it is asked for."""

    kind: str
    name: str
    permissions: str | None
    default: bool

    def text(self, *, nfs: bool) -> str:
        """Return it in the form of setfacl, or of nfs4_setfacl."""
        if nfs:
            if self.permissions is None:
                raise ModuleError("'permissions' are needed to name an NFSv4 entry")
            return f"A:{'g' if self.kind == 'group' else ''}:{self.name}:{self.permissions}{_NFS_ALWAYS}"
        parts = [self.kind, self.name] if self.permissions is None else [self.kind, self.name, self.permissions]
        return ":".join(parts)


def plan(args: Args, context: Context) -> Plan:
    """Have setfacl try what is asked."""
    path = Path(args.path)
    if not path.exists():
        raise ModuleError("Path not found or not accessible.")
    entry = entry_of(args)
    if args.state == "query":
        return Unchanged(values={"msg": "current acl", "acl": _current(args, args.default, context)})
    text = entry.text(nfs=args.use_nfsv4_acls)
    words = _set_words(args, entry, text, context)
    trial = must([words[0], "--test", *words[1:]], context).stdout
    before = _current(args, entry.default, context)
    values: JsonObject = {"msg": f"{text} is {args.state}", "acl": before}
    if not (_nfs_differs(trial, before) if args.use_nfsv4_acls else differs(trial)):
        return Unchanged(values=values, described=False)
    return Change(values=values, apply=partial(_apply, args, entry, words, context))


def entry_of(args: Args) -> Entry:
    """Return the entry that the arguments mean. ModuleError where they don't go together."""
    if args.state == "query":
        if args.recursive:
            raise ModuleError("'recursive' MUST NOT be set when 'state=query'.")
        if args.recalculate_mask != "default":
            raise ModuleError("'recalculate_mask' MUST NOT be set to 'mask' or 'no_mask' when 'state=query'.")
    if not args.entry:
        if args.state == "absent" and args.permissions and not args.use_nfsv4_acls:
            raise ModuleError("'permissions' MUST NOT be set when 'state=absent'.")
        if args.state != "query" and args.etype is None:
            raise ModuleError(f"'etype' MUST be set when 'state={args.state}'.")
        return Entry(args.etype or "", args.entity, args.permissions, args.default)
    if args.etype or args.entity or args.permissions:
        raise ModuleError("'entry' MUST NOT be set when 'entity', 'etype' or 'permissions' are set.")
    if args.state == "present" and args.entry.count(":") not in (2, 3):
        raise ModuleError("'entry' MUST have 3 or 4 sections divided by ':' when 'state=present'.")
    if args.state == "absent" and args.entry.count(":") not in (1, 2):
        raise ModuleError("'entry' MUST have 2 or 3 sections divided by ':' when 'state=absent'.")
    if args.state == "query":
        raise ModuleError("'entry' MUST NOT be set when 'state=query'.")
    return split_entry(args.entry, default=args.default)


def split_entry(text: str, *, default: bool = False) -> Entry:
    """Take apart `[default:]KIND:NAME[:PERMISSIONS]`."""
    parts = text.split(":")
    if parts[0].lower().startswith("d"):
        default = True
        del parts[0]
    if len(parts) not in (2, 3):
        raise ModuleError(f"'entry' is not of the form [default:]KIND:NAME[:PERMISSIONS]: {text}")
    kind = _KINDS.get(parts[0].lower()[:1], parts[0])
    return Entry(kind, parts[1], parts[2] if len(parts) == 3 else None, default)


def _set_words(args: Args, entry: Entry, text: str, context: Context) -> list[str]:
    add, program = ("-a", "nfs4_setfacl") if args.use_nfsv4_acls else ("-m", "setfacl")
    words = [need(program, context)]
    if entry.default:
        words.append("-d")
    words += [add if args.state == "present" else "-x", text]
    if args.recursive:
        words.append("-R" if args.use_nfsv4_acls else "--recursive")
    if not args.use_nfsv4_acls:
        words += {"mask": ["--mask"], "no_mask": ["--no-mask"]}.get(args.recalculate_mask, [])
        if not args.follow:
            words.append("--physical")
    return [*words, args.path]


def _current(args: Args, default: bool, context: Context) -> list[str]:
    if args.use_nfsv4_acls:
        lines = must([need("nfs4_getfacl", context), args.path], context).stdout.splitlines()
        return [line for line in lines if line and not line.startswith("#")]
    words = [need("getfacl", context), *(["-d"] if default else []), "--absolute-names", "--omit-header"]
    if args.recursive:
        words.append("--recursive")
    if not args.follow:
        words.append("--physical")
    lines = must([*words, args.path], context, also={"LC_ALL": "C"}).stdout.splitlines()
    while lines and not lines[-1]:
        del lines[-1]
    return lines


def differs(trial: str) -> bool:
    """Tell from what `setfacl --test` prints whether it would change anything: `*,*` means that a file stays.

    It says nothing of a link that is not followed; the stock module takes that for a change.
    """
    return not trial or any(not line.endswith("*,*") for line in trial.splitlines())


def _nfs_differs(trial: str, before: list[str]) -> bool:
    return [line for line in trial.splitlines() if line and not line.startswith("#")] != before


def _apply(args: Args, entry: Entry, words: list[str], context: Context) -> JsonObject:
    must(words, context)
    return {"acl": _current(args, entry.default, context)}


MODULE = Module(name="ansible.posix.acl", args=Args, plan=plan)
