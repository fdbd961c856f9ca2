"""inventory: groups and layers, patterns and limits, and what a run adds."""

from __future__ import annotations

import contextlib
import fnmatch
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybible.server.engine.inventory.inventory import LEVELS, Inventory, InventoryError, ordered
from pybible.server.engine.inventory.patterns import BadOrder, BadPattern, order_patterns, split_patterns
from pybible.server.engine.inventory.sources import load_inventory
from pybible.wire.errors import ParseError
from tests.support.playbooks import write

HOSTS = """
lone
www[1:3].ex.com
[web]
db[a:c]
www1.ex.com
[db:children]
sub
[sub]
db2
[db]
dbx
[east:children]
web
db
[multi]
db2
dba
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    write(tmp_path, {"hosts": HOSTS})
    return load_inventory([str(tmp_path / "hosts")])


@pytest.mark.parametrize(
    ("pattern", "pieces"),
    [
        ("a", ["a"]),
        ("a,b , c", ["a", "b", "c"]),
        ("a:b:&c:!d", ["a", "b", "&c", "!d"]),
        ("a[1:2]", ["a[1:2]"]),
        ("a[1:2]:b", ["a[1:2]", "b"]),
        ("::1", ["::1"]),
        ("a,b:c", ["a", "b:c"]),
        (["a:b", "c,d"], ["a", "b", "c", "d"]),
        ("", []),
    ],
)
def test_patterns_are_split_at_commas_or_else_at_colons(pattern: object, pieces: list[str]) -> None:
    assert split_patterns(pattern) == pieces


def test_unions_come_before_intersections_before_exclusions() -> None:
    assert order_patterns(["!a", "&b", "c", "d"]) == ["c", "d", "&b", "!a"]
    assert order_patterns(["!a"]) == ["all", "!a"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("lone", ["lone"]),
        ("web", ["dba", "dbb", "dbc", "www1.ex.com"]),
        ("web:lone", ["dba", "dbb", "dbc", "www1.ex.com", "lone"]),
        ("lone:web", ["lone", "dba", "dbb", "dbc", "www1.ex.com"]),
        ("db", ["dbx", "db2"]),
        ("east:&multi", ["dba", "db2"]),
        ("web:!multi", ["dbb", "dbc", "www1.ex.com"]),
        ("!web:!db", ["lone", "www2.ex.com", "www3.ex.com"]),
        ("*.ex.com", ["www1.ex.com", "www2.ex.com", "www3.ex.com"]),
        ("~www[12]", ["www1.ex.com", "www2.ex.com"]),
        ("db?", ["dba", "dbb", "dbc", "db2", "dbx"]),
        ("web[0]", ["dba"]),
        ("web[-1]", ["www1.ex.com"]),
        ("web[1:2]", ["dbb", "dbc"]),
        ("web[2:]", ["dbc", "www1.ex.com"]),
        ("web[1:2],lone", ["dbb", "dbc", "lone"]),
        ("ungrouped", ["lone", "www2.ex.com", "www3.ex.com"]),
        (["web", "!dba"], ["dbb", "dbc", "www1.ex.com"]),
        ("dba,dba", ["dba"]),
        ("nope", []),
        ("localhost", ["localhost"]),
        ("127.0.0.1", ["127.0.0.1"]),
    ],
)
def test_a_pattern_means_hosts(inventory: Inventory, pattern: object, names: list[str]) -> None:
    assert sorted(inventory.match(pattern)) == sorted(names)
    if pattern != "db?":
        assert inventory.match(pattern) == names


def test_all_is_every_host_but_never_the_implicit_localhost(inventory: Inventory) -> None:
    assert inventory.match("localhost") == ["localhost"]
    assert sorted(inventory.match("all")) == sorted(inventory.hosts)
    assert inventory.match("*") == inventory.match("all")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("web[9]", "No hosts matched the subscripted pattern 'web\\[9\\]'"), ("~w(", "Invalid host list pattern: ~w\\(")],
)
def test_a_pattern_that_can_not_be_used(inventory: Inventory, pattern: str, message: str) -> None:
    with pytest.raises(BadPattern, match=message):
        inventory.match(pattern)


def test_a_pattern_that_means_nothing_is_warned_of_once() -> None:
    warnings: list[str] = []
    inventory = load_inventory(["a,b"], warn=warnings.append)
    assert inventory.match("nope") == inventory.match("nope") == []
    assert warnings == ["Could not match supplied host pattern, ignoring: nope"]


def test_a_limit_holds_for_every_match_that_does_not_ignore_it(inventory: Inventory, tmp_path: Path) -> None:
    inventory.set_limit("db:dba:!db2")
    assert inventory.match("east") == ["dba", "dbx"]
    assert inventory.match("web", ignore_limit=True)[0] == "dba"
    (tmp_path / "retry").write_text("dba\n\nlone\n", encoding="utf-8")
    inventory.set_limit(f"@{tmp_path}/retry")
    assert inventory.match("all") == ["lone", "dba"]
    inventory.set_limit(None)
    assert len(inventory.match("all")) == len(inventory.hosts)


def test_a_limit_file_that_is_not_there_is_an_error(inventory: Inventory, tmp_path: Path) -> None:
    with pytest.raises(BadPattern, match="Unable to find limit file"):
        inventory.set_limit(f"@{tmp_path}/nope")
    with pytest.raises(BadPattern, match="must be a file, not a directory"):
        inventory.set_limit(f"@{tmp_path}")


@pytest.mark.parametrize(
    ("order", "names"),
    [(None, ["b", "c", "a"]), ("inventory", ["b", "c", "a"]), ("reverse_inventory", ["a", "c", "b"]),
     ("sorted", ["a", "b", "c"]), ("reverse_sorted", ["c", "b", "a"])],
)  # fmt: skip
def test_hosts_come_in_the_order_that_a_play_asks_for(order: str | None, names: list[str]) -> None:
    assert load_inventory(["b,c,a"]).match("all", order=order) == names


def test_shuffled_and_unknown_orders() -> None:
    assert ordered(["a", "b"], "shuffle", shuffle=list.reverse) == ["b", "a"]
    with pytest.raises(BadOrder, match="Invalid 'order' specified for inventory hosts: x"):
        ordered([], "x")


# No glob below matches `all` or `ungrouped` themselves.
NAMES = ["b", "bc", "bcd", "c", "cb", "h1", "h2"]


@given(st.lists(st.tuples(st.sampled_from(["", "&", "!"]), st.sampled_from(["b*", "c", "?", "h?", "*c*", "all"])),
                min_size=1, max_size=5))  # fmt: skip
def test_patterns_are_sets(pieces: list[tuple[str, str]]) -> None:
    inventory = load_inventory([",".join(NAMES) + ","])

    def meant(glob: str) -> set[str]:
        return {name for name in NAMES if glob == "all" or fnmatch.fnmatch(name, glob)}

    unions = [glob for sign, glob in pieces if not sign] or ["all"]
    expected = set[str]().union(*(meant(glob) for glob in unions))
    for sign, glob in pieces:
        if sign == "&":
            expected &= meant(glob)
    for sign, glob in pieces:
        if sign == "!":
            expected -= meant(glob)
    found = inventory.match([sign + glob for sign, glob in pieces])
    assert set(found) == expected
    assert len(found) == len(set(found))


@given(st.text("ab*?[]!&~:,.0-", max_size=12))
def test_no_pattern_breaks_the_matcher(pattern: str) -> None:
    with contextlib.suppress(BadPattern):
        Inventory().match(pattern)


# -- variables ----------------------------------------------------------------------------------------------------


def test_each_source_of_variables_is_a_layer_of_its_own(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "inv/hosts": "[g]\nh x=host\n[all:vars]\nx=all\n[g:vars]\nx=g\n",
            "inv/group_vars/all.yml": "x: inv all\n",
            "inv/group_vars/g/a.yml": "x: inv g a\n",
            "inv/group_vars/g/b/c.json": '{"x": "inv g b c"}',
            "inv/group_vars/g/.hidden.yml": "x: no\n",
            "inv/group_vars/g/old.yml~": "x: no\n",
            "inv/group_vars/g/note.txt": "x: no\n",
            "inv/host_vars/h": "x: inv host\n",
            "pb/group_vars/all": "x: pb all\n",
            "pb/group_vars/g.yaml": "x: pb g\n",
            "pb/host_vars/h.yml": "x: pb host\n",
        },
    )
    inventory = load_inventory([str(tmp_path / "inv" / "hosts")])
    layers = inventory.host_layers("h", tmp_path / "pb")
    assert [(layer.level, layer.values["x"]) for layer in layers] == [
        ("inventory_all", "all"),
        ("inventory_groups", "g"),
        ("inventory_group_vars_all", "inv all"),
        ("playbook_group_vars_all", "pb all"),
        ("inventory_group_vars", "inv g a"),
        ("inventory_group_vars", "inv g b c"),
        ("playbook_group_vars", "pb g"),
        ("inventory_host", "host"),
        ("inventory_host_vars", "inv host"),
        ("playbook_host_vars", "pb host"),
    ]
    assert [level for level in LEVELS if level not in {layer.level for layer in layers}] == []


def test_deeper_groups_win_then_priority_then_the_alphabet(tmp_path: Path) -> None:
    text = """
[b]
h
[a]
h
[z]
h
[z:vars]
ansible_group_priority=0
[top:children]
deep
[deep]
h
"""
    write(tmp_path, {"hosts": text})
    inventory = load_inventory([str(tmp_path / "hosts")])
    assert [group.name for group in inventory.host_groups("h")] == ["all", "z", "a", "b", "top", "deep"]
    assert "ansible_group_priority" not in inventory.groups["z"].vars


def test_a_vars_file_that_holds_no_mapping_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, {"hosts": "h\n", "group_vars/all.yml": "- 1\n", "host_vars": "not a folder"})
    warnings: list[str] = []
    inventory = load_inventory([str(tmp_path / "hosts")], warn=warnings.append)
    with pytest.raises(ParseError, match="must hold a mapping of variables"):
        inventory.host_layers("h")


def test_the_implicit_localhost_has_the_variables_of_all(tmp_path: Path) -> None:
    write(tmp_path, {"hosts": "a\n", "group_vars/all.yml": "x: 1\n", "host_vars/localhost.yml": "y: 2\n"})
    inventory = load_inventory([str(tmp_path / "hosts")])
    merged: dict[str, object] = {}
    for layer in inventory.host_layers("localhost"):
        merged.update(layer.values)
    assert (merged["x"], merged["y"], merged["ansible_connection"]) == (1, 2, "local")
    localhost = inventory.host("localhost")
    assert localhost is not None
    assert localhost.implicit
    assert inventory.group_names("localhost") == []
    assert inventory.host("nope") is None


def test_a_localhost_of_the_inventory_is_an_ordinary_host() -> None:
    warnings: list[str] = []
    inventory = load_inventory(["localhost,127.0.0.1"], warn=warnings.append)
    localhost = inventory.host("localhost")
    assert localhost is not None
    assert not localhost.implicit
    assert inventory.match("all") == ["localhost", "127.0.0.1"]
    assert warnings == ["A duplicate localhost-like entry was found (127.0.0.1). First found localhost was localhost"]


def test_names_that_are_group_and_host_and_odd_group_names_are_warned_of(tmp_path: Path) -> None:
    warnings: list[str] = []
    write(tmp_path, {"hosts": "[web]\nweb\n[a-b]\nc\n"})
    load_inventory([str(tmp_path / "hosts")], warn=warnings.append)
    assert warnings == [
        "Invalid characters were found in group names but not replaced, use -vvvv to see details",
        "Found both group and host with same name: web",
    ]


# -- what a run adds ----------------------------------------------------------------------------------------------


def test_add_host_makes_hosts_and_groups_at_once(inventory: Inventory) -> None:
    assert inventory.match("new*") == []
    assert inventory.add_dynamic_host("new1", groups=["fresh", "web"], variables={"a": 1}) is True
    assert inventory.match("new*") == ["new1"]
    assert inventory.group_names("new1") == ["east", "fresh", "web"]
    assert [layer.values for layer in inventory.host_layers("new1")] == [{"a": 1}]
    assert inventory.add_dynamic_host("new1", groups=["fresh", "web"], variables={"a": 1}) is False
    assert inventory.add_dynamic_host("new1", variables={"a": 2}) is True
    assert [layer.values for layer in inventory.host_layers("new1")] == [{"a": 2}]


def test_a_host_added_to_no_group_is_ungrouped(inventory: Inventory) -> None:
    inventory.add_dynamic_host("new", variables={})
    assert inventory.group_names("new") == ["ungrouped"]
    inventory.add_dynamic_host("new", groups=["g"], variables={})
    assert inventory.group_names("new") == ["g"]


def test_group_by_makes_groups_with_parents(inventory: Inventory) -> None:
    assert inventory.add_dynamic_group("dba", "os_x", parents=["os"]) is True
    assert inventory.add_dynamic_group("dbb", "os_x", parents=["os"]) is True
    assert inventory.add_dynamic_group("dbb", "os_x", parents=["os"]) is False
    assert inventory.match("os") == ["dba", "dbb"]
    with pytest.raises(InventoryError, match="nope cannot be matched in inventory"):
        inventory.add_dynamic_group("nope", "x")


def test_the_fleet_is_an_inventory() -> None:
    inventory = Inventory.from_fleet({"web2": {"role": "web"}, "web1": {"role": "web", "dc": "eu-1"}, "db": {}})
    assert inventory.match("all") == ["db", "web1", "web2"]
    assert inventory.match("role_web:&dc_eu_1") == ["web1"]
    assert inventory.hosts["web1"].vars == {
        "pybible_agent": "web1", "pybible_labels": {"role": "web", "dc": "eu-1"},
    }  # fmt: skip


def test_a_refresh_reads_the_sources_again_and_keeps_what_the_run_added(tmp_path: Path) -> None:
    write(tmp_path, {"hosts": "a\nb\n", "host_vars/a.yml": "x: 1\n"})
    inventory = load_inventory([str(tmp_path / "hosts")])
    inventory.add_dynamic_host("new", groups=["g"], variables={"v": 1})
    inventory.add_dynamic_group("b", "by")
    assert inventory.host_layers("a")[0].values == {"x": 1}
    write(tmp_path, {"hosts": "a\nc\n", "host_vars/a.yml": "x: 2\n"})
    inventory.refresh()
    inventory.refresh()
    assert inventory.match("all") == ["new", "a", "c"]
    assert inventory.group_names("new") == ["g"]
    assert "by" not in inventory.groups
    assert inventory.host_layers("a")[0].values == {"x": 2}
    assert inventory.sources == [str(tmp_path / "hosts")]
