"""scope: which variables are visible to a host, a task, a play."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pybible.server.engine.inventory.inventory import Inventory
from pybible.server.engine.model.play import Block, Node, Play, Role, Task
from pybible.server.engine.model.text import origin_of
from pybible.server.engine.templating.engine import TemplateEngine
from pybible.server.engine.templating.templar import Templar
from pybible.server.engine.variables import magic as magic_variables
from pybible.server.engine.variables.fact_cache import FactCache
from pybible.server.engine.variables.facts import GATHERED, HostState
from pybible.server.engine.variables.hostvars import HostVars
from pybible.server.engine.variables.magic import NO_HOSTS, PlayHosts, RunMagic
from pybible.server.engine.variables.names import warn_reserved
from pybible.server.engine.variables.precedence import Layer, Layered, Layers, arranged, merged
from pybible.server.engine.variables.vars_files import VarsFiles
from pybible.wire.errors import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableOptions:
    """How variables are put together: `merge` is hash_behaviour=merge, `inject_facts` inject_facts_as_vars.

    Without a cache facts are kept for the run.
    """

    merge: bool = False
    inject_facts: bool = True
    fact_cache: FactCache | None = None
    connection: str | None = None


class VariableManager:
    """Knows every source of variables of a run. What it returns is layered, not merged, and not rendered."""

    def __init__(
        self,
        *,
        inventory: Inventory,
        engine: TemplateEngine,
        extra_vars: Mapping[str, object] | None = None,
        playbook_directory: Path,
        magic: RunMagic | None = None,
        options: VariableOptions | None = None,
    ) -> None:
        self._options = options or VariableOptions()
        self.inventory = inventory
        self.engine = engine
        self.extra_vars: Mapping[str, object] = extra_vars or {}
        self.playbook_directory = playbook_directory
        self._warned: set[tuple[str, Origin | None]] = set()
        self._run_magic = magic_variables.run_variables(magic or RunMagic(), inventory)
        self._hostvars = HostVars(inventory, self._hostvars_templar)
        # Files that hosts filled in this run: no template in them is the operator's.
        self.brought: set[Path] = set()
        self._vars_files = VarsFiles(engine.vault, engine.warn, self.brought)
        self._states: dict[str, HostState] = {}
        self._prompted: dict[str, dict[str, object]] = {}
        self._exposed: dict[str, list[Role]] = {}
        self._included: dict[str, list[Role]] = {}
        self._roles: dict[str, tuple[Role, ...]] = {}
        self._plays: dict[str, Layers] = {}
        self._role_layers: dict[tuple[str, str], Layers] = {}
        self._tasks: dict[Task, Layers] = {}
        self._reaches: dict[str, Layers] = {}
        self._inventory_layers: dict[str, tuple[object, int, Layers]] = {}
        self._groups: tuple[int, Layer] = (-1, {})
        engine.match_hosts = self._match_hosts
        engine.add_plugins(playbook_directory)
        self._warn_reserved(self.extra_vars)
        self._hosts: tuple[PlayHosts, Layer] = (NO_HOSTS, magic_variables.hosts_variables(NO_HOSTS))

    @property
    def injects_facts(self) -> bool:
        """Whether facts are variables of their own too."""
        return self._options.inject_facts

    def enter_playbook(self, directory: Path) -> None:
        """Begin another playbook of the command line: group_vars, host_vars and files beside it."""
        self.playbook_directory = directory
        self.engine.playbook_directory = directory
        self._inventory_layers.clear()
        self._tasks.clear()
        self.engine.add_plugins(directory)

    # -- what is visible ------------------------------------------------------------------------------------------

    def for_host(self, play: Play, host: str, task: Task | None = None, *, hosts: PlayHosts = NO_HOSTS) -> Layered:
        """Return what a host sees in a play, in a task when one is given."""
        role = None if task is None else task.role
        sources = [
            self._of_hosts(hosts),
            self._of_host(host),
            self._state(host).layers,
            self._of_role(play, role),
            self._of_play(play),
            self._of_run(),
        ]
        if task is not None:
            sources.insert(0, self._of_task(task))
            sources.append(self._of_reach(host))
        if play.vars_files:
            sources.append({"vars_files": self._files(play, sources, complete=self._complete(host, task))})
        return self._arranged(*sources)

    def for_play(self, play: Play, *, hosts: PlayHosts = NO_HOSTS) -> Layered:
        """Return what a play's own keywords see: no host's variables."""
        sources = [self._of_hosts(hosts), self._of_role(play, None), self._of_play(play), self._of_run()]
        if play.vars_files:
            sources.append({"vars_files": self._files(play, sources, complete=False)})
        return self._arranged(*sources)

    def for_run(self) -> Layered:
        """Return what holds everywhere: extra variables and what the engine says."""
        return self._arranged(self._of_run())

    def host_variables(self, host: str) -> dict[str, object]:
        """Return what a host has outside of plays, without what the engine says: for those who list inventories."""
        sources: list[Layers] = [
            {level: layers for level, layers in source.items() if level != "magic"}
            for source in (self._of_host(host), self._state(host).layers, self._of_run())
        ]
        seen = self._arranged(*sources)
        return {name: seen[name] for name in seen if name != "ansible_facts"}

    def templar(self, play: Play, host: str, task: Task | None = None, *, hosts: PlayHosts = NO_HOSTS) -> Templar:
        """Return a Templar with what the host sees; files are looked up along the task's search path."""
        search_path: Sequence[Path] = () if task is None else task.search_path
        return Templar(self.engine, self.for_host(play, host, task, hosts=hosts), search_path=search_path)

    def play_templar(self, play: Play, *, hosts: PlayHosts = NO_HOSTS) -> Templar:
        """Return a Templar for a play's own keywords."""
        return Templar(self.engine, self.for_play(play, hosts=hosts), search_path=(play.directory,))

    def delegated_host_vars(self, play: Play, target: str, task: Task | None = None) -> Layered:
        """Return the variables that say how to reach the host to which a task is delegated; it need not be known."""
        return self.for_host(play, target, task)

    def _arranged(self, *sources: Layers) -> Layered:
        return arranged(*sources, merge=self._options.merge)

    # -- what is learned ------------------------------------------------------------------------------------------

    def set_facts(self, host: str, facts: Mapping[str, object]) -> None:
        """Take facts that a module returned (level 11)."""
        self._learn(host, facts)

    def set_fact(self, host: str, values: Mapping[str, object], *, cacheable: bool = False) -> None:
        """Set variables as set_fact does (level 19); cacheable ones are facts too."""
        state = self._state(host)
        self._warn_reserved(values)
        state.set_facts.update(values)
        if cacheable:
            self._learn(host, values)

    def note_gathered(self, host: str) -> None:
        """All facts of a host were gathered."""
        self._learn(host, {GATHERED: True})

    def gathered(self, host: str) -> bool:
        """Whether all facts of a host were gathered, in this run or before it."""
        return bool(self._state(host).returned.get(GATHERED))

    def _learn(self, host: str, facts: Mapping[str, object]) -> None:
        state = self._state(host)
        state.add_facts(facts)
        if self._options.fact_cache is not None:
            self._options.fact_cache.save(host, state.returned)

    def register(self, host: str, name: str, value: object) -> None:
        """Keep a task's result (level 19)."""
        self._state(host).set_facts[name] = value

    def include_vars(self, host: str, values: Mapping[str, object]) -> None:
        """Take what include_vars read (level 18)."""
        included = self._state(host).include_vars
        for name, value in values.items():
            merges = self._options.merge and name in included
            included[name] = merged(included[name], value) if merges else value

    def facts(self, host: str) -> Mapping[str, object]:
        """Return `ansible_facts` of a host."""
        return self._state(host).namespace

    def clear_facts(self, host: str) -> None:
        """Do what `meta: clear_facts` does."""
        self._state(host).clear_facts()
        if self._options.fact_cache is not None:
            self._options.fact_cache.forget(host)

    def set_prompted(self, play: Play, values: Mapping[str, object]) -> None:
        """Take the answers to a play's vars_prompt (level 13)."""
        self._prompted.setdefault(play.id, {}).update(values)
        self._plays.pop(play.id, None)

    def expose_role(self, play: Play, role: Role) -> None:
        """Let the whole play see a role's defaults and vars from now on (include_role with `public`)."""
        exposed = self._exposed.setdefault(play.id, [])
        if role not in exposed:
            exposed.append(role)
            self._forget_roles(play)

    def note_included(self, play: Play, roles: Sequence[Role]) -> None:
        """Count roles that an include brought among the play's: by name only."""
        self._included.setdefault(play.id, []).extend(roles)
        self._plays.pop(play.id, None)

    def _play_magic(self, play: Play) -> Layer:
        included = self._included.get(play.id, ())
        found = {id(role): role for role in self._roles_of(play)}
        for role in included:
            _collect(role, found)
        return magic_variables.play_variables(play, tuple(found.values()), included)

    def _forget_roles(self, play: Play) -> None:
        self._roles.pop(play.id, None)
        self._plays.pop(play.id, None)
        for key in [key for key in self._role_layers if key[0] == play.id]:
            del self._role_layers[key]

    def _warn_reserved(self, names: Iterable[str]) -> None:
        # Each place counts for itself.
        fresh = [name for name in names if (name, origin_of(name)) not in self._warned]
        self._warned.update((name, origin_of(name)) for name in fresh)
        warn_reserved(fresh, self.engine.warn)

    def _match_hosts(self, pattern: str) -> list[str]:
        return self.inventory.match(pattern, ignore_limit=True)

    # -- sources, each kept as long as it holds -------------------------------------------------------------------

    def _state(self, host: str) -> HostState:
        state = self._states.get(host)
        if state is None:
            state = self._states[host] = HostState(inject=self._options.inject_facts)
            kept = None if self._options.fact_cache is None else self._options.fact_cache.load(host)
            if kept:
                state.add_facts(kept)
        return state

    def _complete(self, host: str, task: Task | None) -> bool:
        return task is not None and bool(self._state(host).namespace.get("module_setup"))

    def _files(self, play: Play, sources: Iterable[Layers], *, complete: bool) -> tuple[Layer, ...]:
        below = list(sources)

        def templar(found: Sequence[Layer]) -> Templar:
            return Templar(self.engine, self._arranged(*below, {"vars_files": found}), search_path=(play.directory,))

        return self._vars_files.layers(play, templar, complete=complete)

    def _of_run(self) -> Layers:
        run = {"playbook_dir": str(self.playbook_directory), "hostvars": self._hostvars}
        return {"extra": (self.extra_vars,), "magic": (self._run_magic, self._of_groups(), run)}

    def _of_groups(self) -> Layer:
        generation, groups = self._groups
        if generation != self.inventory.generation:
            groups = {"groups": self.inventory.group_hosts()}
            self._groups = self.inventory.generation, groups
        return groups

    def _of_hosts(self, hosts: PlayHosts) -> Layers:
        if self._hosts[0] is not hosts:
            self._hosts = hosts, magic_variables.hosts_variables(hosts)
        return {"magic": (self._hosts[1],)}

    def _of_host(self, host: str) -> Layers:
        found = self.inventory.host_layers(host, self.playbook_directory)
        generation = self.inventory.generation
        kept = self._inventory_layers.get(host)
        if kept is not None and kept[0] is found and kept[1] == generation:
            return kept[2]
        layers: dict[str, tuple[Layer, ...]] = {}
        for layer in found:
            layers[layer.level] = (*layers.get(layer.level, ()), layer.values)
        layers["magic"] = (magic_variables.host_variables(host, self.inventory),)
        self._inventory_layers[host] = found, generation, layers
        return layers

    def _of_play(self, play: Play) -> Layers:
        layers = self._plays.get(play.id)
        if layers is None:
            self._warn_reserved(play.vars)
            layers = self._plays[play.id] = {
                "play": (play.vars,),
                "vars_prompt": (self._prompted.get(play.id, {}),),
                "magic": (self._play_magic(play),),
            }
        return layers

    def _roles_of(self, play: Play) -> tuple[Role, ...]:
        """Return the roles that the play sees, each after what it depends on."""
        roles = self._roles.get(play.id)
        if roles is None:
            found: dict[int, Role] = {}
            own = (role for role in play.roles if role.public)
            for role in (*own, *_static_roles(play.blocks), *self._exposed.get(play.id, ())):
                _collect(role, found)
            roles = self._roles[play.id] = tuple(found.values())
        return roles

    def _of_role(self, play: Play, role: Role | None) -> Layers:
        key = play.id, "" if role is None else role.id
        layers = self._role_layers.get(key)
        if layers is None:
            layers = self._role_layers[key] = self._make_role_layers(play, role)
        return layers

    def _make_role_layers(self, play: Play, role: Role | None) -> Layers:
        exposed = self._exposed.get(play.id, ())
        seen = [each for each in self._roles_of(play) if each.public or each in exposed]
        for each in seen if role is None else (*seen, role):
            self.engine.add_plugins(each.path)
        if role is not None:
            self._warn_reserved(role.params)
        if role is None:
            return {
                "role_defaults": _non_empty(each.defaults for each in seen),
                "role": _non_empty(each.vars for each in seen),
            }
        own: dict[int, Role] = {}
        for parent in role.parents:
            own[id(parent)] = parent
        _collect(role, own)
        chain = [*seen, *own.values()]
        return {
            "role_defaults": _non_empty(each.defaults for each in chain),
            "role": _non_empty([*(each.vars for each in seen), *_own_role_vars(role, own.values())]),
            "role_params": _non_empty(each.params for each in (*role.parents, role)),
            "magic": (magic_variables.role_variables(role),),
        }

    def _of_task(self, task: Task) -> Layers:
        layers = self._tasks.get(task)
        if layers is None:
            made: dict[str, tuple[Layer, ...]] = {}
            for layer in task.keywords.vars:
                self._warn_reserved(layer.values)
                made[layer.level] = (*made.get(layer.level, ()), layer.values)
            made["reach"] = _non_empty([magic_variables.reach_keywords(task)])
            made["magic"] = (magic_variables.task_variables(task, self.playbook_directory),)
            layers = self._tasks[task] = made
        return layers

    def _of_reach(self, host: str) -> Layers:
        layers = self._reaches.get(host)
        if layers is None:
            layers = {"reach": (magic_variables.reach_variables(host, self._options.connection),)}
            self._reaches[host] = layers
        return layers

    def _hostvars_templar(self, host: str) -> Templar:
        return Templar(self.engine, self._arranged(self._of_host(host), self._state(host).layers, self._of_run()))


def _non_empty(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    return tuple(layer for layer in layers if layer)


def _own_role_vars(role: Role, chain: Iterable[Role]) -> Iterator[Layer]:
    """Yield the vars of a role's parents, dependencies and itself; `vars:` of an entry is not for dependents' eyes."""
    for each in chain:
        if each in role.parents:
            yield each.entry_vars
        yield each.vars
    yield role.entry_vars


def _collect(role: Role, found: dict[int, Role]) -> None:
    for dependency in role.dependencies:
        _collect(dependency, found)
    found.pop(id(role), None)
    found[id(role)] = role


def _static_roles(nodes: Iterable[Node]) -> Iterable[Role]:
    """Yield the roles whose tasks stand in the play (roles:, import_role), if they are for all to see."""
    for node in nodes:
        if node.role is not None and node.role.public:
            yield node.role
        if isinstance(node, Block):
            yield from _static_roles((*node.block, *node.rescue, *node.always))
