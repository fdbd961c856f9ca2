"""inventory: the hosts and groups of a run, their variables by layer, and which hosts a pattern means."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from pybible.server.engine.inventory import patterns
from pybible.server.engine.inventory.addresses import is_address
from pybible.server.engine.inventory.groups import LOCALHOST, Group, Host, has_odd_characters, safe_name
from pybible.server.engine.inventory.options import DEFAULTS, InventoryOptions
from pybible.server.engine.inventory.patterns import BadOrder, BadPattern
from pybible.server.engine.inventory.vars_files import VarsFiles
from pybible.server.engine.model.keywords import VarsLayer
from pybible.server.engine.parsing.yaml_source import Decrypter, Warn
from pybible.server.engine.watch import OutOfTime, Watch
from pybible.wire.errors import PybibleError

# Layers of a host's inventory variables, low to high. One level may come several times (a group, a file each).
LEVELS: Final = (
    "inventory_all",  # variables of `all` in the inventory itself
    "inventory_groups",  # variables of the other groups in the inventory itself
    "inventory_group_vars_all",  # group_vars/all beside the inventory
    "playbook_group_vars_all",  # group_vars/all beside the playbook
    "inventory_group_vars",  # group_vars/* beside the inventory
    "playbook_group_vars",  # group_vars/* beside the playbook
    "inventory_host",  # the host's variables in the inventory itself, and add_host's
    "inventory_host_vars",  # host_vars/* beside the inventory
    "playbook_host_vars",  # host_vars/* beside the playbook
)

# Far more than a controller can reach, and than anybody nests.
MAX_HOSTS: Final = 1_000_000
MAX_DEPTH: Final = 100

ORDERS: Final = ("inventory", "reverse_inventory", "sorted", "reverse_sorted", "shuffle")


class InventoryError(PybibleError):
    """An inventory, or a change of it, that can't be."""


class Inventory:
    """Hosts and groups. Parsers and add_host/group_by fill it; everything else only asks.

    Values stay as written: text of the operator's is Trusted and not rendered here.
    """

    def __init__(
        self,
        *,
        vault: Decrypter | None = None,
        warn: Warn = lambda text: None,
        options: InventoryOptions = DEFAULTS,
    ) -> None:
        self.options = options
        self.vault = vault
        self.warn = warn
        self.hosts: dict[str, Host] = {}
        self.groups: dict[str, Group] = {}
        # The sources that could be read, as they were given.
        self.sources: list[str] = []
        # Folders beside which group_vars and host_vars are looked for, in the order of the sources.
        self.source_folders: list[Path] = []
        # Rises with every change, so that others know when what they kept is old.
        self.generation = 0
        self._localhost: Host | None = None
        # Reads the sources again, into this inventory; what the run added is done again after that.
        self._reader: Callable[[], None] | None = None
        self._added: list[Callable[[], object]] = []
        self._limit: tuple[str, ...] | None = None
        self._vars_files = VarsFiles(vault=vault, warn=warn)
        self._matches: dict[str, list[str]] = {}
        # Ends a pattern that is matched for too long, where it is installed.
        self.watch = Watch()
        self._layers: dict[tuple[str, Path | None], tuple[VarsLayer, ...]] = {}
        self._begin()

    def _begin(self) -> None:
        for name in ("all", "ungrouped"):
            self.add_group(name)
        self.add_child("all", "ungrouped")

    def read(self, reader: Callable[[], None]) -> None:
        """Fill the inventory by `reader`, which `refresh` calls again."""
        self._reader = reader
        reader()

    def refresh(self) -> None:
        """Read the sources and the vars files again, and add what the run has added. Raises PybibleError."""
        self._vars_files.forget()
        self._changed()
        if self._reader is None:
            return
        for known in (self.hosts, self.groups):
            known.clear()
        for listed in (self.sources, self.source_folders):
            listed.clear()
        self._localhost = None
        self._begin()
        self._reader()
        added, self._added = self._added, []
        for again in added:
            again()

    @classmethod
    def from_fleet(cls, fleet: Mapping[str, Mapping[str, str]], *, warn: Warn = lambda text: None) -> Inventory:
        """Return the inventory that the enrolled agents make: a group `label_value` for each label."""
        inventory = cls(warn=warn)
        for name in sorted(fleet):
            host = inventory.add_host(name)
            host.vars["pybible_agent"] = name
            host.vars["pybible_labels"] = dict(fleet[name])
            for label, value in sorted(fleet[name].items()):
                group = re.sub(r"\W", "_", f"{label}_{value}" if value else label)
                inventory._put(inventory.add_group(group), host)
        inventory.sources.append("the fleet")
        inventory.reconcile()
        return inventory

    # -- making ---------------------------------------------------------------------------------------------------

    def add_group(self, name: str) -> Group:
        """Return the group of that name, made if it is new. Raises InventoryError for an empty name."""
        if not isinstance(name, str) or not name:
            raise InventoryError(f"Invalid group name supplied: {name!r}")
        name = self.group_name(name)
        group = self.groups.get(name)
        if group is None:
            if self.options.group_characters == "never" and has_odd_characters(name):
                self.warn("Invalid characters were found in group names but not replaced, use -vvvv to see details")
            group = self.groups[name] = Group(name)
            self._changed()
        return group

    def group_name(self, name: str) -> str:
        """Return under which name a group is kept."""
        if self.options.group_characters in ("never", "ignore") or not has_odd_characters(name):
            return str(name)
        if self.options.group_characters == "always":
            self.warn(
                "Invalid characters were found in group names and automatically replaced, use -vvvv to see details"
            )
        return safe_name(name)

    def add_host(self, name: str, *, group: str | None = None, port: int | None = None) -> Host:
        """Return the host of that name, made if it is new, and put it into `group`. Raises InventoryError."""
        if not isinstance(name, str) or not name:
            raise InventoryError(f"Invalid host name supplied: {name!r}")
        name = str(name)
        host = self.hosts.get(name)
        if host is None:
            if len(self.hosts) >= MAX_HOSTS:
                raise InventoryError(f"an inventory may hold at most {MAX_HOSTS} hosts")
            host = self.hosts[name] = Host(name)
            if port:
                host.vars["ansible_port"] = port
            self._changed()
            if name in LOCALHOST:
                if self._localhost is None or self._localhost.implicit:
                    self._localhost = host
                else:
                    self.warn(
                        f"A duplicate localhost-like entry was found ({name})."
                        f" First found localhost was {self._localhost.name}"
                    )
        if group is not None:
            self._put(self._group(group), host)
        return host

    def add_child(self, group_name: str, child: str) -> bool:
        """Put a group or a host into a group; True when it was not there. Raises InventoryError."""
        group = self._group(group_name)
        if child in self.groups:
            return self._add_child_group(group, self.groups[child])
        if child not in self.hosts:
            raise InventoryError(f"{child} is not a known host nor group")
        return self._put(group, self.hosts[child])

    def _group(self, name: str) -> Group:
        group = self.groups.get(name)
        if group is None:
            raise InventoryError(f"{name} is not a known group")
        return group

    def _put(self, group: Group, host: Host) -> bool:
        """Put a host into a group, whatever else has its name; True when it was not there."""
        if host.name in group.hosts:
            return False
        group.hosts[host.name] = host
        host.groups.append(group)
        self._changed()
        return True

    def _add_child_group(self, group: Group, child: Group) -> bool:
        if group is child:
            raise InventoryError("can't add group to itself")
        if child in group.children:
            return False
        if child in group.ancestors():
            raise InventoryError(
                f"Adding group '{child.name}' as child to '{group.name}' creates a recursive dependency loop."
            )
        group.children.append(child)
        child.parents.append(group)
        if child.depth <= group.depth:
            child.depth = group.depth + 1
            if child.deepen() > MAX_DEPTH:
                raise InventoryError(f"groups are nested more than {MAX_DEPTH} levels deep")
        self._changed()
        return True

    def set_variable(self, name: str, key: str, value: object) -> None:
        """Set a variable of a group, or else of a host. Raises InventoryError when there is neither."""
        group = self.groups.get(name)
        if group is not None:
            if key == "ansible_group_priority":
                try:
                    group.priority = int(str(value))
                except ValueError:
                    raise InventoryError(f"Invalid group priority value: {value!r}") from None
            else:
                group.vars[key] = value
        elif name in self.hosts:
            self.hosts[name].vars[key] = value
        else:
            raise InventoryError(f"Could not identify group or host named {name}")
        self._changed()

    def reconcile(self) -> None:
        """Bring about what always holds: all groups are in `all`, hosts of no other group in `ungrouped`."""
        top, ungrouped = self.groups["all"], self.groups["ungrouped"]
        for group in list(self.groups.values()):
            if group is not top and not group.parents:
                self._add_child_group(top, group)
        for host in self.hosts.values():
            others = [group for group in host.groups if group is not top and group is not ungrouped]
            if others and ungrouped in host.groups:
                del ungrouped.hosts[host.name]
                host.groups.remove(ungrouped)
            elif not others and ungrouped not in host.groups:
                ungrouped.hosts[host.name] = host
                host.groups.append(ungrouped)
        for name in sorted(self.groups.keys() & self.hosts.keys()):
            self.warn(f"Found both group and host with same name: {name}")
        self._changed()

    def add_dynamic_host(self, name: str, *, groups: Sequence[str] = (), variables: Mapping[str, object]) -> bool:
        """Do what add_host asks for; True when anything changed."""
        self._added.append(partial(self.add_dynamic_host, name, groups=groups, variables=variables))
        changed = name not in self.hosts
        host = self.add_host(name, group="all" if changed else None)
        for key, value in variables.items():
            if key not in host.vars or host.vars[key] != value:
                host.vars[key] = value
                changed = True
        for group in groups:
            changed = group not in self.groups or changed
            changed = self._put(self.add_group(group), host) or changed
        if changed:
            self.reconcile()
        return changed

    def add_dynamic_group(self, host_name: str, group: str, *, parents: Sequence[str] = ("all",)) -> bool:
        """Do what group_by asks for; True when anything changed. Raises InventoryError."""
        self._added.append(partial(self._regroup, host_name, group, parents))
        changed = group not in self.groups
        self.add_group(group)
        for parent in parents:
            changed = parent not in self.groups or changed
            self.add_group(parent)
            changed = self._add_child_group(self.groups[parent], self.groups[group]) or changed
        host = self.host(host_name)
        if host is None:
            raise InventoryError(f"{host_name} cannot be matched in inventory")
        if host_name in self.hosts:
            changed = self._put(self.groups[group], host) or changed
        if changed:
            self.reconcile()
        return changed

    def _regroup(self, host_name: str, group: str, parents: Sequence[str]) -> None:
        """Do group_by again after a refresh, unless its host is gone."""
        if self.host(host_name) is not None:
            self.add_dynamic_group(host_name, group, parents=parents)

    # -- asking ---------------------------------------------------------------------------------------------------

    def host(self, name: str) -> Host | None:
        """Return the host; localhost is made when it is asked for and in no source. None for an unknown name."""
        known = self.hosts.get(name)
        if known is not None or name not in LOCALHOST:
            return known
        if self._localhost is None:
            variables: dict[str, object] = {
                "ansible_connection": "local",
                "ansible_python_interpreter": sys.executable or "/usr/bin/python3",
            }
            self._localhost = Host(str(name), vars=variables, implicit=True)
        return self._localhost

    def host_groups(self, name: str) -> list[Group]:
        """Return every group that the host is in, `all` too, in the order in which their variables are merged."""
        host = self.host(name)
        found: dict[str, Group] = {}
        for group in host.groups if host is not None else ():
            found[group.name] = group
            for above in group.ancestors():
                found[above.name] = above
        return sorted(found.values(), key=lambda group: group.merge_key)

    def group_names(self, name: str) -> list[str]:
        """Return the names of the host's groups, sorted, without `all`."""
        return sorted(group.name for group in self.host_groups(name) if group.name != "all")

    def group_hosts(self) -> dict[str, list[str]]:
        """Return group -> names of its hosts: the variable `groups`."""
        return {name: [host.name for host in group.all_hosts()] for name, group in self.groups.items()}

    def host_layers(self, name: str, playbook_dir: Path | None = None) -> tuple[VarsLayer, ...]:
        """Return the host's inventory variables as layers, low to high; `level` is one of LEVELS.

        Raises ParseError or VaultError for a host_vars or group_vars file that can't be read.
        """
        key = (name, playbook_dir)
        known = self._layers.get(key)
        if known is None:
            known = self._layers[key] = tuple(self._make_layers(name, playbook_dir))
        return known

    def _make_layers(self, name: str, playbook_dir: Path | None) -> Iterable[VarsLayer]:
        top = [self.groups["all"]]
        groups = [group for group in self.host_groups(name) if group.name != "all"]
        host = self.host(name)
        playbook = [] if playbook_dir is None else [playbook_dir]
        yield from _layers("inventory_all", (group.vars for group in top))
        yield from _layers("inventory_groups", (group.vars for group in groups))
        for level, folders, chosen in (
            ("inventory_group_vars_all", self.source_folders, top),
            ("playbook_group_vars_all", playbook, top),
            ("inventory_group_vars", self.source_folders, groups),
            ("playbook_group_vars", playbook, groups),
        ):
            for folder in folders:
                for group in chosen:
                    yield from _layers(level, self._vars_files.read(folder / "group_vars", group.name))
        yield from _layers("inventory_host", () if host is None else (host.vars,))
        for level, folders in (("inventory_host_vars", self.source_folders), ("playbook_host_vars", playbook)):
            for folder in folders:
                yield from _layers(level, self._vars_files.read(folder / "host_vars", name))

    def own_host_variables(self, name: str, playbook_dir: Path | None = None) -> dict[str, object]:
        """Return the variables that stand at a host itself, and in its host_vars."""
        host = self.host(name)
        values: dict[str, object] = {} if host is None else dict(host.vars)
        for folder in (*self.source_folders, *([] if playbook_dir is None else [playbook_dir])):
            for layer in self._vars_files.read(folder / "host_vars", name):
                values.update(layer)
        return values

    def own_group_variables(self, name: str, playbook_dir: Path | None = None) -> dict[str, object]:
        """Return the variables that stand at a group itself, and in its group_vars. InventoryError for no group."""
        group = self._group(name)
        values = dict(group.vars)
        for folder in (*self.source_folders, *([] if playbook_dir is None else [playbook_dir])):
            for layer in self._vars_files.read(folder / "group_vars", name):
                values.update(layer)
        if group.priority != 1:
            values["ansible_group_priority"] = group.priority
        return values

    def host_magic(self, name: str) -> dict[str, object]:
        """Return the variables that say what and where a host is in the inventory."""
        variables: dict[str, object] = {
            "inventory_hostname": name,
            "inventory_hostname_short": name if is_address(name) else name.partition(".")[0],
            "group_names": self.group_names(name),
        }
        host = self.host(name)
        source = None if host is None or host.source is None else Path(host.source)
        if source is not None and source.exists():
            place = source.absolute()
            variables["inventory_file"] = str(place)
            variables["inventory_dir"] = str(place if place.is_dir() else place.parent)
        return variables

    def add_source_folder(self, folder: Path) -> None:
        """Look for group_vars and host_vars beside another source too."""
        if folder not in self.source_folders:
            self.source_folders.append(folder)
            self._changed()

    def set_limit(self, limit: str | None) -> None:
        """Keep later `match` calls within a --limit text. Raises BadPattern for an `@file` that is not there."""
        self._limit = None if limit is None else tuple(patterns.read_limit(limit))

    def match(self, pattern: object, *, ignore_limit: bool = False, order: str | None = None) -> list[str]:
        """Return the names of the hosts that a pattern (text, or list of texts) means, within the limit.

        `order` is one of ORDERS. An implicit localhost is among them only when it is named. An empty list means nobody.
        Raises BadPattern.
        """
        if isinstance(pattern, list | tuple) and not pattern:
            return []
        names = self._evaluate(patterns.split_patterns(pattern))
        if self._limit is not None and not ignore_limit:
            allowed = set(self._evaluate(self._limit))
            names = [name for name in names if name in allowed]
        return ordered(names, order)

    def _evaluate(self, pieces: Iterable[str]) -> list[str]:
        chosen: dict[str, None] = {}
        for piece in patterns.order_patterns(pieces):
            if piece in self.hosts:
                chosen[piece] = None
                continue
            matched = self._match_one(piece.lstrip("&!") if piece[0] in "&!" else piece)
            if piece[0] == "!":
                for name in matched:
                    chosen.pop(name, None)
            elif piece[0] == "&":
                within = set(matched)
                chosen = {name: None for name in chosen if name in within}
            else:
                chosen.update(dict.fromkeys(matched))
        return list(chosen)

    def _match_one(self, pattern: str) -> list[str]:
        known = self._matches.get(pattern)
        if known is None:
            expression, subscript = patterns.split_subscript(pattern)
            names = self._enumerate(expression)
            if subscript is not None and names:
                names = subscript.pick(names, pattern)
            known = self._matches[pattern] = names
        return known

    def _enumerate(self, pattern: str) -> list[str]:
        try:
            with self.watch.over():
                return self._found(pattern)
        except OutOfTime as error:
            raise BadPattern(f"The host pattern {pattern!r}: {error.message}. {error.hint}") from error

    def _found(self, pattern: str) -> list[str]:
        match = patterns.matcher(pattern).match
        groups = [group for name, group in self.groups.items() if match(name)]
        names: dict[str, None] = {}
        for group in groups:
            names.update(dict.fromkeys(host.name for host in group.all_hosts()))
        if not groups or patterns.is_glob(pattern):
            names.update(dict.fromkeys(name for name in self.hosts if match(name)))
        if not names and pattern in LOCALHOST:
            localhost = self.host(pattern)
            if localhost is not None:
                names[localhost.name] = None
        if not names and not groups and pattern != "all":
            text = f"Could not match supplied host pattern, ignoring: {pattern}"
            if self.options.pattern_mismatch == "error":
                raise BadPattern(text)
            if self.options.pattern_mismatch == "warning":
                self.warn(text)
        return list(names)

    def _changed(self) -> None:
        self.generation += 1
        self._matches.clear()
        self._layers.clear()


def _layers(level: str, mappings: Iterable[Mapping[str, object]]) -> Iterable[VarsLayer]:
    return (VarsLayer(level=level, values=values) for values in mappings if values)


def ordered(names: list[str], order: str | None, *, shuffle: Callable[[list[str]], None] = random.shuffle) -> list[str]:
    """Return `names` in the order that a play asks for. Raises BadOrder."""
    if order is None or order == "inventory":
        return names
    if order == "reverse_inventory":
        return names[::-1]
    if order in ("sorted", "reverse_sorted"):
        return sorted(names, reverse=order == "reverse_sorted")
    if order == "shuffle":
        mixed = list(names)
        shuffle(mixed)
        return mixed
    raise BadOrder(f"Invalid 'order' specified for inventory hosts: {order}")
