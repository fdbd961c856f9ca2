"""test_inventory_plugins: constructed, generator, auto, TOML, advanced_host_list, and in which order they are tried."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pybible.server.engine.inventory.inventory import Inventory, InventoryError
from pybible.server.engine.inventory.options import InventoryOptions
from pybible.server.engine.inventory.patterns import BadPattern
from pybible.server.engine.inventory.sources import load_inventory
from pybible.server.engine.inventory_plugins.registry import plugins
from pybible.server.engine.model.text import Trusted
from pybible.server.engine.templating.engine import TemplateEngine
from tests.support.playbooks import write

HOSTS = """\
h1 ansible_port=22 env=prod num=3 tags_='{"role": "web", "empty": ""}' lst='["a","","b c"]'
h2 env=dev os=Debian-12
[g]
h1
[g:vars]
gv=1
[all:vars]
av=2
[parent:children]
g
"""


def read(
    folder: Path, files: dict[str, str], *sources: str, options: InventoryOptions | None = None, **extra: object
) -> tuple[Inventory, list[str]]:
    write(folder, files)
    warnings: list[str] = []
    inventory = load_inventory(
        [source if "," in source else str(folder / source) for source in sources or files],
        warn=warnings.append,
        options=options or InventoryOptions(),
        plugins=plugins(TemplateEngine(playbook_directory=folder), extra),
    )
    return inventory, warnings


def constructed(folder: Path, text: str, **extra: object) -> tuple[Inventory, list[str]]:
    return read(folder, {"01.ini": HOSTS, "02.yml": "plugin: constructed\n" + text}, **extra)  # type: ignore[arg-type]


# What ansible-core 2.19.14 made of the same files.


@pytest.mark.parametrize(
    ("expression", "h1", "h2"),
    [
        ("num | default(0) | int + 1", 4, 1),
        ("'x' ~ env", "xprod", "xdev"),
        ("nope", None, None),
        ("av", 2, 2),
        ("gv", 1, None),
        ("group_names", ["g", "parent", "ungrouped"], ["ungrouped"]),
        ("inventory_hostname", "h1", "h2"),
        ("inventory_file is defined", True, True),
    ],
)
def test_variables_are_composed(tmp_path: Path, expression: str, h1: object, h2: object) -> None:
    inventory, warnings = constructed(tmp_path, f"compose:\n  new: {json.dumps(expression)}\n")
    assert (inventory.hosts["h1"].vars.get("new"), inventory.hosts["h2"].vars.get("new")) == (h1, h2)
    assert warnings == []


def test_what_is_composed_is_data(tmp_path: Path) -> None:
    inventory, _ = constructed(tmp_path, "compose:\n  new: \"'{{' ~ ' 1 }}'\"\n")
    assert type(inventory.hosts["h1"].vars["new"]) is str


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("groups:\n  prods: env == 'prod'\n", {"prods": ["h1"]}),
        ("groups:\n  bad-name: true\n", {"bad_name": ["h1", "h2"]}),
        ("groups:\n  broken: nope == 1\n", {}),
        ("groups:\n  two: \"'g' in group_names\"\n", {"two": ["h1"]}),
        ("compose: {a: env}\ngroups:\n  new: a == 'prod'\n", {"new": ["h1"]}),
        ("keyed_groups:\n- {key: env, prefix: env}\n", {"env_prod": ["h1"], "env_dev": ["h2"]}),
        ("keyed_groups:\n- {key: env}\n", {"_prod": ["h1"], "_dev": ["h2"]}),
        ("leading_separator: false\nkeyed_groups:\n- {key: env}\n", {"prod": ["h1"], "dev": ["h2"]}),
        ("keyed_groups:\n- {key: env, separator: ''}\n", {"prod": ["h1"], "dev": ["h2"]}),
        (
            "keyed_groups:\n- key: os | default('')\n  default_value: unknown\n  prefix: os\n"
            "  parent_group: all_{{ env }}\n",
            {"os_unknown": ["h1"], "all_prod": ["h1"], "os_Debian_12": ["h2"], "all_dev": ["h2"]},
        ),
        (
            "keyed_groups:\n- {key: 'tags_ | default({})', prefix: tag, trailing_separator: false}\n",
            {"tag_role_web": ["h1"], "tag_empty": ["h1"]},
        ),
        (
            "keyed_groups:\n- key: tags_ | default({})\n  separator: '-'\n",
            {"_role_web": ["h1"], "_empty_": ["h1"]},
        ),
        (
            "keyed_groups:\n- {key: 'tags_ | default({})', prefix: t, default_value: no}\n",
            {"t_role_web": ["h1"], "t_empty_False": ["h1"]},
        ),
        (
            "keyed_groups:\n- {key: 'lst | default([])', prefix: l, default_value: none}\n",
            {"l_a": ["h1"], "l_none": ["h1"], "l_b_c": ["h1"]},
        ),
        ("keyed_groups:\n- {key: nope, prefix: x}\n", {}),
        ("keyed_groups:\n- {key: env, parent_group: envs}\n", {"_prod": ["h1"], "_dev": ["h2"], "envs": ["h1", "h2"]}),
    ],
)
def test_groups_follow_from_variables(tmp_path: Path, text: str, groups: dict[str, list[str]]) -> None:
    inventory, warnings = constructed(tmp_path, text)
    known = {"all", "ungrouped", "g", "parent"}
    assert {name: hosts for name, hosts in inventory.group_hosts().items() if name not in known} == groups
    assert warnings == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("compose: {a: nope}", "Could not set a for host h1: 'nope' is undefined"),
        ("groups: {a: nope}", "Could not add host h1 to group a: "),
        ("keyed_groups: [{key: nope}]", "Could not generate group for host h1 from nope entry: 'nope' is undefined"),
        ("keyed_groups: [{key: \"''\"}]", "No key or key resulted empty for '' in host h1, invalid entry"),
        ("keyed_groups: [{key: num}]", "Invalid group name format, expected a string or a list of them or dictionary"),
        ("keyed_groups: [5]", "Invalid keyed group entry, it must be a dictionary: 5"),
        (
            "keyed_groups: [{key: env, default_value: a, trailing_separator: true}]",
            "parameters are mutually exclusive for keyed groups: default_value|trailing_separator",
        ),
        ("compose: [a]", "compose must be a dictionary, not a list"),
    ],
)
def test_strict_says_what_can_not_be(tmp_path: Path, text: str, message: str) -> None:
    _, warnings = constructed(tmp_path, f"strict: true\n{text}\n")
    assert len(warnings) == 2
    assert warnings[0].startswith("Failed to parse inventory with 'auto' plugin: ")
    assert message in warnings[0]
    assert f"{tmp_path}/02.yml" in warnings[0]
    assert warnings[1] == f"Unable to parse {tmp_path / '02.yml'} as an inventory source"


def test_vars_files_are_seen_when_asked_for(tmp_path: Path) -> None:
    files = {
        "one/hosts": "[g]\nh1\n",
        "one/group_vars/g.yml": "fv: 7\n",
        "two/c.yml": "plugin: constructed\nuse_vars_plugins: USE\ncompose: {a: fv}\n",
    }
    for use, expected in (("true", 7), ("false", None)):
        text = {**files, "two/c.yml": files["two/c.yml"].replace("USE", use)}
        inventory, _ = read(tmp_path, text, "one/hosts", "two/c.yml")
        assert inventory.hosts["h1"].vars.get("a") == expected


def test_extra_variables_are_seen_when_asked_for(tmp_path: Path) -> None:
    text = "plugin: ansible.builtin.constructed\nuse_extra_vars: true\ncompose: {a: env ~ x}\n"
    inventory, _ = read(tmp_path, {"01": HOSTS, "02.yaml": text}, env="extra", x=1)
    assert inventory.hosts["h1"].vars["a"] == "extra1"


def test_kept_facts_are_seen(tmp_path: Path) -> None:
    write(tmp_path, {"01": "h1\nh2\n", "02.yml": "plugin: constructed\nkeyed_groups: [{key: ansible_os_family}]\n"})
    kept = {"h1": {"ansible_os_family": "Debian"}}
    made = plugins(TemplateEngine(playbook_directory=tmp_path), {}, facts=kept.get)
    inventory = load_inventory([str(tmp_path / "01"), str(tmp_path / "02.yml")], plugins=made)
    assert inventory.group_hosts()["_Debian"] == ["h1"]


def test_a_generator_makes_hosts_of_all_combinations(tmp_path: Path) -> None:
    text = """\
plugin: generator
hosts:
  name: "{{ operation }}_{{ application }}"
  parents:
    - name: "{{ operation }}_apps"
      parents:
        - name: "{{ operation }}"
          vars: {operation: "{{ operation }}", n: 1}
    - name: runner
layers:
  operation: [build, launch]
  application: [web, api]
"""
    inventory, warnings = read(tmp_path, {"g.yml": text})
    assert list(inventory.hosts) == ["build_web", "build_api", "launch_web", "launch_api"]
    assert inventory.group_hosts()["build"] == ["build_web", "build_api"]
    assert inventory.groups["launch"].vars == {"operation": "launch", "n": 1}
    assert inventory.group_names("launch_api") == ["launch", "launch_apps", "runner"]
    assert warnings == []


def test_a_generator_is_bounded(tmp_path: Path) -> None:
    layer = ", ".join(map(str, range(400)))
    text = f"plugin: generator\nhosts: {{name: '{{{{ a }}}}'}}\nlayers: {{a: [{layer}], b: [{layer}]}}\n"
    _, warnings = read(tmp_path, {"g.yml": text})
    assert "the layers make 160000 hosts, at most 100000 are allowed" in warnings[0]


def test_an_unknown_plugin_is_said_at_its_place(tmp_path: Path) -> None:
    _, warnings = read(tmp_path, {"c.yml": "plugin: amazon.aws.aws_ec2\n"})
    assert warnings[0].startswith(
        "Failed to parse inventory with 'auto' plugin: "
        f"inventory config '{tmp_path}/c.yml' specifies unknown plugin 'amazon.aws.aws_ec2'\n"
        f"Origin: {tmp_path}/c.yml:1:9"
    )


TOML = """\
[ungrouped.hosts]
h0 = {}
[web]
children = ["deep"]
[web.hosts]
"w[1:2]:2222" = { a = "{{ 1 }}", l = [1, "x"] }
[web.vars]
port = 80
[deep.hosts]
d1 = {}
[odd]
what = 1
"""


def test_toml_holds_groups(tmp_path: Path) -> None:
    inventory, warnings = read(tmp_path, {"hosts.toml": TOML})
    assert list(inventory.hosts) == ["h0", "w1", "w2", "d1"]
    assert inventory.hosts["w2"].vars == {"ansible_port": 2222, "a": "{{ 1 }}", "l": [1, "x"]}
    assert isinstance(inventory.hosts["w2"].vars["a"], Trusted)
    assert inventory.groups["web"].vars == {"port": 80}
    assert inventory.group_hosts()["web"] == ["w1", "w2", "d1"]
    assert warnings == ['Skipping unexpected key "what" in group "odd", only "vars", "children" and "hosts" are valid']


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = [", "TOML file"),
        ("", "Parsed empty TOML file"),
        ("plugin = 'x'", "Plugin configuration TOML file, not TOML inventory"),
        ("[a]\nchildren = 'b'", 'Invalid "children" entry for "a" group, requires a list, found "str" instead.'),
        ("[a]\nhosts = ['b']", 'Invalid "hosts" entry for "a" group, requires a dict, found "list" instead.'),
        ("[a.hosts]\n'b[1:x]' = {}", "invalid literal"),
    ],
)
def test_what_is_wrong_in_a_toml_inventory_is_a_warning(tmp_path: Path, text: str, message: str) -> None:
    _, warnings = read(tmp_path, {"hosts.toml": text})
    assert warnings[0].startswith("Failed to parse inventory with 'toml' plugin: ")
    assert message in warnings[0]


def test_plugins_are_tried_in_the_order_of_the_setting(tmp_path: Path) -> None:
    files = {"hosts": "h1\n"}
    for enabled, expected in ((("ini",), ["h1"]), (("yaml", "ini"), ["h1"]), (("yaml",), []), (("host_list",), [])):
        inventory, warnings = read(tmp_path, files, options=InventoryOptions(enabled=enabled))
        assert list(inventory.hosts) == expected
        assert bool(warnings) == (not expected)


def test_a_plugin_can_be_enabled_without_auto(tmp_path: Path) -> None:
    options = InventoryOptions(enabled=("ansible.builtin.constructed", "ini"))
    inventory, warnings = read(
        tmp_path, {"01": HOSTS, "02.config": "plugin: constructed\ngroups: {x: true}\n"}, options=options
    )
    assert inventory.group_hosts()["x"] == ["h1", "h2"]
    assert warnings == []


def test_a_plugin_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    inventory, warnings = read(tmp_path, {}, "a,", options=InventoryOptions(enabled=("nosuch", "host_list")))
    assert list(inventory.hosts) == ["a"]
    assert warnings == ["Failed to load inventory plugin, skipping nosuch"]


def test_an_advanced_host_list_has_ranges(tmp_path: Path) -> None:
    inventory, _ = read(tmp_path, {}, "h[1:3],x:22,", options=InventoryOptions(enabled=("advanced_host_list",)))
    assert list(inventory.hosts) == ["h1", "h2", "h3", "x"]
    assert inventory.hosts["x"].vars == {"ansible_port": 22}


def test_what_can_not_be_read_can_be_an_error(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="Completely failed to parse inventory source"):
        read(tmp_path, {}, "nope", "a,", options=InventoryOptions(any_unparsed_is_failed=True))
    with pytest.raises(InventoryError, match="No inventory was parsed, please check"):
        read(tmp_path, {}, "nope", options=InventoryOptions(unparsed_is_failed=True))
    _, warnings = read(tmp_path, {}, "nope", options=InventoryOptions(unparsed_warning=False))
    assert warnings == [f"Unable to parse {tmp_path / 'nope'} as an inventory source"]


def test_a_pattern_that_means_nobody_can_be_an_error_or_nothing(tmp_path: Path) -> None:
    inventory, _ = read(tmp_path, {}, "a,", options=InventoryOptions(pattern_mismatch="error"))
    with pytest.raises(BadPattern, match="Could not match supplied host pattern, ignoring: nope"):
        inventory.match("nope")
    inventory, warnings = read(tmp_path, {}, "a,", options=InventoryOptions(pattern_mismatch="ignore"))
    assert inventory.match("nope") == []
    assert warnings == []


@pytest.mark.parametrize(
    ("setting", "name", "warned"),
    [("never", "a-b", True), ("ignore", "a-b", False), ("always", "a_b", True), ("silently", "a_b", False)],
)
def test_odd_characters_of_group_names(tmp_path: Path, setting: str, name: str, warned: bool) -> None:
    text = "[a-b]\nh1\n[a-b:vars]\nx=1\n[c:children]\na-b\n"
    inventory, warnings = read(tmp_path, {"hosts": text}, options=InventoryOptions(group_characters=setting))
    assert inventory.groups[name].vars == {"x": 1}
    assert inventory.group_hosts()["c"] == ["h1"]
    assert bool(warnings) == warned


def test_what_was_constructed_is_made_anew_by_a_refresh(tmp_path: Path) -> None:
    inventory, _ = constructed(tmp_path, "keyed_groups:\n- {key: env}\n")
    (tmp_path / "01.ini").write_text("h3 env=test\n")
    inventory.refresh()
    assert inventory.group_hosts()["_test"] == ["h3"]
    assert "_prod" not in inventory.groups
