"""play: plays, roles, blocks and tasks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from pybible.server.engine.model.bridged import BridgedModule
from pybible.server.engine.model.keywords import NO_KEYWORDS, Keywords
from pybible.wire.errors import Origin

_ids = itertools.count(1)


def new_id(prefix: str) -> str:
    """Return an identifier that is unique in this process and rises in the order of making."""
    return f"{prefix}{next(_ids):06}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleMetadata:
    """What meta/main.yml says. `argument_specs` maps an entry point to its specification, as written."""

    allow_duplicates: bool = False
    collections: tuple[str, ...] = ()
    argument_specs: Mapping[str, object] = field(default_factory=dict)


NO_METADATA = RoleMetadata()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Role:
    """One use of a role in a play. Two uses with equal `key` are the same role, run once unless it allows duplicates.

    `name` as banners show it; `path` the role's folder; `defaults` and `vars` the merged files; `params` what the
    play (or a dependency, or an include) passes as keys of its own, `entry_vars` what the entry's `vars:` gives: as
    `vars`, above them, but never seen by the rest of the play; `parents` the chain of roles that brought it in,
    outermost first; `dependencies` run before it.
    """

    id: str
    name: str
    path: Path
    origin: Origin
    key: tuple[object, ...] = ()
    collection: str = ""
    defaults: Mapping[str, object] = field(default_factory=dict)
    vars: Mapping[str, object] = field(default_factory=dict)
    params: Mapping[str, object] = field(default_factory=dict)
    entry_vars: Mapping[str, object] = field(default_factory=dict)
    metadata: RoleMetadata = NO_METADATA
    parents: tuple[Role, ...] = ()
    dependencies: tuple[Role, ...] = ()
    # Its defaults and vars are visible to the whole play (roles:, import_role, public: true).
    public: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopControl:
    """`loop_control`, as written."""

    loop_var: object = "item"
    index_var: object = None
    label: object = None
    pause: object = 0
    extended: object = False
    extended_allitems: object = True
    break_when: tuple[object, ...] = ()


PLAIN_LOOP = LoopControl()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """One task or handler. Values are as written; `keywords` is all that applies, its own included.

    `action` is the module's canonical name: short for ansible.builtin and ansible.legacy (`command`), fully qualified
    for anything else; `action_written` is what the file says. `args` holds the arguments after free-form and k=v text
    was taken apart (free-form text under `_raw_params`); `args_template` is the one template of `module: "{{ x }}"` or
    `args: "{{ x }}"`, merged under them. `loop` is the value of loop:/with_X:, `loop_with` the X.
    `static` marks import_*; imported children replace it at load, so that a Task of that kind never runs.
    """

    id: str
    origin: Origin
    name: str = ""
    action: str
    action_written: str
    args: Mapping[str, object] = field(default_factory=dict)
    args_template: object = None
    # The module when it is not native.
    bridged: BridgedModule | None = None
    # The keys of the groups in module_defaults that the action is in.
    default_groups: tuple[str, ...] = ()
    keywords: Keywords = NO_KEYWORDS
    # Of include_tasks and include_role: what surrounds them. Their own keywords do not reach what they include.
    enclosing: Keywords = NO_KEYWORDS
    role: Role | None = None
    loop: object = None
    loop_with: str = ""
    has_loop: bool = False
    loop_control: LoopControl = PLAIN_LOOP
    register: str = ""
    until: tuple[object, ...] = ()
    has_until: bool = False
    retries: object = None
    delay: object = 5
    async_: object = 0
    # None: how often is asked for a job is the run's to say.
    poll: object = None
    changed_when: tuple[object, ...] = ()
    failed_when: tuple[object, ...] = ()
    # Folders in which relative files of this task are looked up, innermost first (language: part 5, file lookups).
    search_path: tuple[Path, ...] = ()
    # Handlers.
    is_handler: bool = False
    listen: tuple[str, ...] = ()
    # Made by the engine (flush between sections, fact gathering): it has no banner of its own, or a fixed one.
    implicit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """A block with its rescue and always parts. A list of tasks outside any block is an implicit one."""

    id: str
    origin: Origin
    name: str = ""
    keywords: Keywords = NO_KEYWORDS
    role: Role | None = None
    block: tuple[Node, ...] = ()
    rescue: tuple[Node, ...] = ()
    always: tuple[Node, ...] = ()
    implicit: bool = False


Node: TypeAlias = Task | Block


@dataclass(frozen=True, slots=True, kw_only=True)
class VarsPrompt:
    """One entry of `vars_prompt`."""

    name: str
    prompt: str = ""
    default: object = None
    private: bool = True
    confirm: bool = False
    encrypt: str = ""
    salt: str = ""
    salt_size: int | None = None
    unsafe: bool = False
    origin: Origin | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Play:
    """One play. `hosts`, `vars_files`, `serial`, ... are as written (they may be templates).

    `blocks` is the whole play in order: pre_tasks, flush, roles, tasks, flush, post_tasks, flush, the flushes as
    implicit `meta` tasks. `handlers` holds the roles' handlers first, in the order of the roles, then the play's own.
    `gather_facts` None means that the keyword is not set.
    """

    id: str
    origin: Origin
    name: str = ""
    hosts: object
    keywords: Keywords = NO_KEYWORDS
    vars: Mapping[str, object] = field(default_factory=dict)
    vars_files: tuple[object, ...] = ()
    vars_prompt: tuple[VarsPrompt, ...] = ()
    roles: tuple[Role, ...] = ()
    blocks: tuple[Block, ...] = ()
    handlers: tuple[Node, ...] = ()
    gather_facts: object = None
    gather_subset: object = None
    gather_timeout: object = None
    fact_path: object = None
    force_handlers: object = None
    max_fail_percentage: object = None
    serial: tuple[object, ...] = ()
    strategy: object = None
    order: object = None
    # The folder of the playbook file that holds the play.
    directory: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Playbook:
    """A playbook file with every import_playbook in its place."""

    path: Path
    plays: tuple[Play, ...]
