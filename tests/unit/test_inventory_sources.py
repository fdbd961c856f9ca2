"""sources: inventories in INI and YAML, scripts, folders and lists of hosts."""

from __future__ import annotations

import contextlib
import json
import random
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybible.server.engine.inventory.addresses import BadAddress, expand_hosts, expand_ranges, parse_address
from pybible.server.engine.inventory.ini import IniReader
from pybible.server.engine.inventory.inventory import Inventory
from pybible.server.engine.inventory.sources import load_inventory
from pybible.server.engine.model.text import Trusted
from pybible.wire.errors import Origin, ParseError
from tests.support.playbooks import write


def from_ini(text: str) -> Inventory:
    inventory = Inventory()
    IniReader(inventory, "hosts").read(text)
    inventory.reconcile()
    return inventory


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("web", "web", None),
        ("web:22", "web", 22),
        ("10.0.0.1:2222", "10.0.0.1", 2222),
        ("::1", "::1", None),
        ("[::1]:22", "::1", 22),
        ("a-b_c.example.com", "a-b_c.example.com", None),
    ],
)
def test_an_address_may_have_a_port(text: str, host: str, port: int | None) -> None:
    assert parse_address(text) == (host, port)


@pytest.mark.parametrize("text", ["", "a b", "a..b", "-a", "a[1:2]", "a:b", "{{ x }}"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(BadAddress):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("web", ["web"]),
        ("web[1:3]", ["web1", "web2", "web3"]),
        ("web[01:10:3].x", ["web01.x", "web04.x", "web07.x", "web10.x"]),
        ("[a:c]", ["a", "b", "c"]),
        ("[a:e:2]x", ["ax", "cx", "ex"]),
        ("r[1:2]n[a:b]", ["r1na", "r1nb", "r2na", "r2nb"]),
        ("x[:2]", ["x0", "x1", "x2"]),
        ("x[9:11]", ["x9", "x10", "x11"]),
        ("x[3:1]", []),
    ],
)
def test_ranges_expand(text: str, names: list[str]) -> None:
    assert expand_ranges(text) == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x[1:]", "host range must specify end value"),
        ("x[1]", "host range must be begin:end or begin:end:step"),
        ("x[1:2:3:4]", "host range must be begin:end or begin:end:step"),
        ("x[1:2", "host range must be begin:end or begin:end:step"),
        ("x[01:9]", "host range must specify equal-length begin and end formats"),
        ("x[c:a]", "host range must have begin <= end"),
        ("x[1:5:0]", "a step of at least 1"),
        ("x[1:y]", "invalid literal"),
        ("x[0:9999999999]", "at most"),
        ("x[1:1000][1:1000]", "at most"),
    ],
)
def test_bad_ranges_are_told(text: str, message: str) -> None:
    with pytest.raises(BadAddress, match=message):
        expand_ranges(text)


@given(st.integers(0, 500), st.integers(0, 60), st.integers(1, 9), st.integers(1, 4))
def test_a_numeric_range_is_pythons(begin: int, count: int, step: int, width: int) -> None:
    end = begin + count
    numbers = range(begin, end + 1, step)
    assert expand_ranges(f"h[{begin}:{end}:{step}]") == [f"h{number}" for number in numbers]
    if len(str(end)) <= width and len(str(begin)) < width:
        text = f"h[{begin:0{width}}:{end:0{width}}:{step}]"
        assert expand_ranges(text) == [f"h{number:0{width}}" for number in numbers]


@given(st.text("ab019[]:.-_ ", max_size=14))
def test_no_text_breaks_the_expander(text: str) -> None:
    with contextlib.suppress(BadAddress):
        names, _ = expand_hosts(text)
        assert all("[" not in name for name in names)


def test_an_ini_inventory() -> None:
    inventory = from_ini(
        """
; a comment
lone:2222 a="True" b='x y' c=[1,2] d="{{ t }}" # the rest is not read

[web]
web[1:2] x=1
[web:vars]
v=a b # c
n = 23
q="quoted"
f=0.5
[all:children]  # known
site
[site:children]
web
db
[db]
web2
"""
    )
    assert list(inventory.hosts) == ["lone", "web1", "web2"]
    assert inventory.hosts["lone"].vars == {
        "ansible_port": 2222, "a": True, "b": "x y", "c": [1, 2], "d": "{{ t }}",
    }  # fmt: skip
    assert isinstance(inventory.hosts["lone"].vars["d"], Trusted)
    assert inventory.groups["web"].vars == {"v": "a b # c", "n": 23, "q": "quoted", "f": 0.5}
    assert inventory.group_names("web2") == ["db", "site", "web"]
    assert inventory.group_names("lone") == ["ungrouped"]
    assert inventory.group_hosts() == {
        "all": ["lone", "web1", "web2"],
        "ungrouped": ["lone"],
        "web": ["web1", "web2"],
        "site": ["web1", "web2"],
        "db": ["web2"],
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("01", "01"), ("1.0", 1.0), ("True", True), ("true", "true"), ("None", None), ("'5'", "5"),
     ("(1, 2)", [1, 2]), ("{'a': 'b'}", {"a": "b"}), ("1j", "1j"), ("...", "..."), ("a\\b", "a\\b"), ("[1", "[1"),
     ("b'x'", "x")],
)  # fmt: skip
def test_values_in_an_ini_inventory_are_python_literals(text: str, value: object) -> None:
    assert from_ini(f"[g:vars]\nx={text}\n[g]\n").groups["g"].vars == {"x": value}


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("a\n[x:vars]\ny=1", "Section [x:vars] not valid for undefined group 'x'.", 2),
        ("[x:children]\ny", "Section [x:children] includes undefined group 'y'.", 2),
        ("[x:foo]", "Section [x:foo] has unknown type: foo", 1),
        ("[x y]", "Invalid section entry: '[x y]'.", 1),
        ("a b", "Expected key=value host variable assignment, got: b", 1),
        ("[x]\n[x:vars]\nfoo", "Expected key=value, got: foo", 3),
        ("a 'b", "Error parsing host definition 'a 'b': No closing quotation", 1),
        ("---", "Invalid host pattern '---' supplied, '---' is normally a sign this is a YAML file.", 1),
        ("a:", "Invalid host pattern 'a:' supplied, ending in ':' is not allowed", 1),
        ("[x]\n[y]\n[x:children]\ny\n[y:children]\nx", "Adding group 'x' as child to 'y' creates a recursive", 6),
        ("a[1:x]", "invalid literal", 1),
    ],
)
def test_what_is_wrong_in_an_ini_inventory_is_told_with_its_line(text: str, message: str, line: int) -> None:
    with pytest.raises(ParseError) as caught:
        from_ini(text)
    assert caught.value.message.startswith(message)
    assert caught.value.origin == Origin("hosts", line, 1)


def test_groups_may_be_used_before_they_are_made() -> None:
    inventory = from_ini("[x:vars]\nv=1\n[y:children]\nz\n[z:children]\nx\n[x]\na\n")
    assert inventory.group_names("a") == ["x", "y", "z"]


_VALUES = st.one_of(
    st.integers(),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text("ab =#;:[]{},.-é", max_size=8),
    st.lists(st.integers() | st.text("ab '\"", max_size=4), max_size=3),
    st.dictionaries(st.text("ab", max_size=2), st.integers(), max_size=2),
)
_VARIABLES = st.dictionaries(st.sampled_from(["v", "w", "long_name"]), _VALUES, max_size=3)
_SECTIONS = st.dictionaries(
    st.sampled_from("abcde"),
    st.tuples(
        st.lists(st.sampled_from(["h1", "h2", "x.example.com", "10.0.0.1"]), unique=True, max_size=3),
        _VARIABLES,
        _VARIABLES,
    ),
    min_size=1,
)


@given(_SECTIONS, st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("abcde")), max_size=4), st.randoms())
def test_what_an_ini_inventory_says_is_what_is_read(
    sections: dict[str, tuple[list[str], dict[str, object], dict[str, object]]],
    pairs: list[tuple[str, str]],
    choose: random.Random,
) -> None:
    below = sorted({(above, child) for above, child in pairs if above < child and {above, child} <= sections.keys()})
    parts = [f"[{above}:children]\n{child}\n" for above, child in below]
    host_variables: dict[str, dict[str, object]] = {}
    hosts = []
    for name, (members, of_hosts, of_group) in sections.items():
        given_here = " ".join(f"{key}={shlex.quote(repr(value))}" for key, value in of_hosts.items())
        hosts.append(f"[{name}]\n" + "".join(f"{host} {given_here}  # comment\n" for host in members))
        for host in members:
            host_variables.setdefault(host, {}).update(of_hosts)
        parts.append(f"[{name}:vars]\n" + "".join(f"{key} = {value!r}\n" for key, value in of_group.items()))
    # Sections that only add to groups may stand anywhere; those of hosts keep their order, as later ones win.
    choose.shuffle(parts)
    inventory = from_ini("; first\n" + "\n".join(hosts + parts))

    for name, (members, _, of_group) in sections.items():
        assert list(inventory.groups[name].hosts) == members
        assert inventory.groups[name].vars == of_group
        assert {child.name for child in inventory.groups[name].children} == {
            child for above, child in below if above == name
        }
    assert {name: host.vars for name, host in inventory.hosts.items()} == host_variables


@given(st.text("ab[]:=#; '\"\n,", max_size=60))
def test_no_text_breaks_the_ini_reader(text: str) -> None:
    with contextlib.suppress(ParseError):
        from_ini(text)


def test_a_yaml_inventory(tmp_path: Path) -> None:
    warnings: list[str] = []
    text = """
all:
  hosts:
    lone: {a: "{{ t }}"}
    w[1:2]:
  vars: {of_all: yes}
  children:
    web:
      hosts: w1
      vars: {v: 1}
      children: {inner: {hosts: {deep: }}}
  foo: bar
  baz: {}
other:
nonsense: 5
"""
    write(tmp_path, {"hosts.yml": text})
    inventory = load_inventory([str(tmp_path / "hosts.yml")], warn=warnings.append)
    assert list(inventory.hosts) == ["lone", "w1", "w2", "deep"]
    assert inventory.groups["all"].vars == {"of_all": True}
    assert inventory.group_names("deep") == ["inner", "web"]
    assert inventory.hosts["lone"].source == str(tmp_path / "hosts.yml")
    assert warnings == [
        "Skipping key (foo) in group (all) as it is not a mapping, it is a str",
        'Skipping unexpected key (baz) in group (all), only "vars", "children" and "hosts" are valid',
        "Skipping 'nonsense' as this is not a valid group definition",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("all: {hosts: [a]}", 'Invalid "hosts" entry for "all" group, requires a dictionary, found "list" instead.'),
        ("all: {hosts: {5: }}", "Host pattern 5 must be a string."),
        ("all: {hosts: {a: [1]}}", "the variables of host a must be a mapping, not a list"),
        ("5: {hosts: {a: }}", "Unable to add group 5"),
        ("a: {children: {b: {children: {a: }}}}", "creates a recursive dependency loop"),
        ("a: {hosts: {'x[1:y]': }}", "invalid literal"),
    ],
)
def test_what_is_wrong_in_a_yaml_inventory_is_a_warning(tmp_path: Path, text: str, message: str) -> None:
    warnings: list[str] = []
    write(tmp_path, {"hosts.yml": text})
    load_inventory([str(tmp_path / "hosts.yml")], warn=warnings.append)
    assert warnings[0].startswith("Failed to parse inventory with 'yaml' plugin: ")
    assert message in warnings[0]
    assert warnings[-2:] == [
        f"Unable to parse {tmp_path / 'hosts.yml'} as an inventory source",
        "No inventory was parsed, only implicit localhost is available",
    ]


def test_a_folder_holds_inventories_of_any_kind(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "10-ini": "[a]\nx\n",
            "20.yml": "a: {hosts: {y: }}\n",
            "30/more": "[a]\nz\n",
            "note.txt": "[[[",
            "old.bak": "[[[",
            ".hidden": "[[[",
            "group_vars/all.yml": "v: 1\n",
        },
    )
    warnings: list[str] = []
    inventory = load_inventory([str(tmp_path)], warn=warnings.append)
    assert inventory.group_hosts()["a"] == ["x", "y", "z"]
    assert inventory.source_folders == [tmp_path]
    assert warnings == []


def test_a_list_of_hosts_and_later_sources(tmp_path: Path) -> None:
    write(tmp_path, {"one": "a x=1\nb x=1\n", "two": "a x=2\n"})
    inventory = load_inventory([str(tmp_path / "one"), "c,d:22,[::1]:33, ", str(tmp_path / "two")])
    assert list(inventory.hosts) == ["a", "b", "c", "d", "::1"]
    assert inventory.hosts["a"].vars == {"x": 2}
    assert inventory.hosts["d"].vars == {"ansible_port": 22}
    assert inventory.hosts["a"].source == str(tmp_path / "one")
    assert len(inventory.sources) == 3


def test_a_source_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    warnings: list[str] = []
    load_inventory([str(tmp_path / "nope")], warn=warnings.append)
    assert warnings == [
        f"Unable to parse {tmp_path / 'nope'} as an inventory source",
        "No inventory was parsed, only implicit localhost is available",
    ]


def script(folder: Path, body: str) -> str:
    path = folder / "inventory.sh"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_a_script_prints_the_inventory(tmp_path: Path) -> None:
    data = {
        "web": {"hosts": ["a", "b"], "vars": {"v": "{{ x }}"}, "children": ["sub"]},
        "sub": ["c"],
        "d": {"only": "vars"},
        "_meta": {"hostvars": {"a": {"k": "{{ y }}"}}},
    }
    inventory = load_inventory([script(tmp_path, f"cat <<'EOF'\n{json.dumps(data)}\nEOF")])
    assert inventory.group_hosts()["web"] == ["a", "b", "c"]
    assert inventory.hosts["a"].vars == {"k": "{{ y }}"}
    assert isinstance(inventory.hosts["a"].vars["k"], Trusted)
    assert isinstance(inventory.groups["web"].vars["v"], Trusted)
    assert inventory.group_hosts()["d"] == ["d"]


def test_a_script_without_meta_is_asked_for_each_host(tmp_path: Path) -> None:
    body = """if [ "$1" = --list ]; then echo '{"g": ["a", "b"]}'; elif [ "$2" = a ]; then echo '{"k": 1}'; fi"""
    inventory = load_inventory([script(tmp_path, body)])
    assert inventory.hosts["a"].vars == {"k": 1}
    assert inventory.hosts["b"].vars == {}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("echo oops >&2; exit 3", "Inventory script returned non-zero exit code 3."),
        ("echo hello there", "Inventory script result could not be parsed as JSON"),
        ("echo '[]'", "Value is 'list' instead of 'dict'."),
        ("""echo '{"g": {"hosts": "a"}}'""", "Value contains 'g.hosts' which is 'str' instead of 'list'."),
        ("""echo '{"_meta": {"hostvars": []}}'""", "Value contains '_meta.hostvars' which is 'list'"),
    ],
)
def test_what_is_wrong_with_a_script_is_a_warning(tmp_path: Path, body: str, message: str) -> None:
    warnings: list[str] = []
    load_inventory([script(tmp_path, body)], warn=warnings.append)
    assert warnings[0].startswith("Failed to parse inventory with 'script' plugin: ")
    assert message in warnings[0]


def test_a_vaulted_inventory_is_opened(tmp_path: Path) -> None:
    class Opener:
        def decrypt(self, text: str, *, origin: Origin | None = None) -> bytes:
            return b"[g]\na\n"

    write(tmp_path, {"hosts": "$ANSIBLE_VAULT;1.1;AES256\n61\n"})
    assert list(load_inventory([str(tmp_path / "hosts")], vault=Opener()).hosts) == ["a"]


def test_a_list_of_hosts_may_be_longer_than_a_file_name() -> None:
    names = [f"press{number:04}.example.com" for number in range(500)]
    warnings: list[str] = []
    assert list(load_inventory([",".join(names)], warn=warnings.append).hosts) == names
    assert warnings == []


def test_a_source_too_long_to_be_a_file_is_a_warning() -> None:
    warnings: list[str] = []
    load_inventory(["x" * 300], warn=warnings.append)
    assert any("Unable to parse" in text for text in warnings)
