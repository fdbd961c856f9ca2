"""Which variables a host sees: precedence, facts, magic variables, hostvars, vars_files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybible.server.engine.inventory.inventory import LEVELS as INVENTORY_LEVELS
from pybible.server.engine.inventory.inventory import Inventory
from pybible.server.engine.model.keywords import Keywords, VarsLayer
from pybible.server.engine.model.play import Play, Role, Task
from pybible.server.engine.model.text import Trusted
from pybible.server.engine.templating.engine import TemplateEngine
from pybible.server.engine.variables.facts import injectable
from pybible.server.engine.variables.magic import PlayHosts, RunMagic
from pybible.server.engine.variables.precedence import LEVELS, TABLE, arranged
from pybible.server.engine.variables.scope import VariableManager
from pybible.wire.errors import Origin, ParseError, TemplateError

ORIGIN = Origin("play.yml", 1, 1)
T = Trusted


def make_role(name: str, **fields: object) -> Role:
    return Role(id=f"role-{name}", name=name, path=Path("/roles") / name, origin=ORIGIN, **fields)  # type: ignore[arg-type]


def make_play(directory: Path, **fields: object) -> Play:
    return Play(id="play", origin=ORIGIN, hosts="all", directory=directory, **fields)  # type: ignore[arg-type]


def make_task(role: Role | None = None, layers: tuple[VarsLayer, ...] = ()) -> Task:
    return Task(
        id="t", origin=ORIGIN, action="debug", action_written="debug", role=role, keywords=Keywords(vars=layers)
    )


def make_manager(directory: Path, *hosts: str, extra: Mapping[str, object] | None = None) -> VariableManager:
    inventory = Inventory()
    for host in hosts or ("h1",):
        inventory.add_host(host, group="all")
    inventory.reconcile()
    return VariableManager(
        inventory=inventory,
        engine=TemplateEngine(playbook_directory=directory),
        extra_vars=extra,
        playbook_directory=directory,
        magic=RunMagic(forks=7, limit="h1", check=True),
    )


# -- precedence -------------------------------------------------------------------------------------------------------

# Ansible's page "Understanding variable precedence", low to high, in the words of this test.
DOCUMENTED = [
    "role defaults", "inventory file group vars", "inventory group_vars/all", "playbook group_vars/all",
    "inventory group_vars/*", "playbook group_vars/*", "inventory file host vars", "inventory host_vars/*",
    "playbook host_vars/*", "host facts", "play vars", "play vars_files", "role vars", "block vars", "task vars",
    "include_vars", "set_fact", "role params", "include params", "extra vars",
]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(chosen=st.sets(st.sampled_from(DOCUMENTED), min_size=1))
def test_the_highest_level_that_has_a_variable_wins(tmp_path_factory: pytest.TempPathFactory, chosen: set[str]) -> None:
    folder = tmp_path_factory.mktemp("precedence")
    inventory_folder, playbook_folder = folder / "inventory", folder / "playbook"

    def value(level: str) -> dict[str, object]:
        return {"x": level} if level in chosen else {}

    def write(path: Path, level: str) -> None:
        if level in chosen:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"x: {level}\n")

    write(inventory_folder / "group_vars" / "all.yml", "inventory group_vars/all")
    write(inventory_folder / "group_vars" / "web.yml", "inventory group_vars/*")
    write(inventory_folder / "host_vars" / "h1.yml", "inventory host_vars/*")
    write(playbook_folder / "group_vars" / "all.yml", "playbook group_vars/all")
    write(playbook_folder / "group_vars" / "web.yml", "playbook group_vars/*")
    write(playbook_folder / "host_vars" / "h1.yml", "playbook host_vars/*")
    playbook_folder.mkdir(exist_ok=True)
    (playbook_folder / "files.yml").write_text("x: play vars_files\n" if "play vars_files" in chosen else "y: 1\n")
    inventory = Inventory()
    inventory.source_folders.append(inventory_folder)
    inventory.add_group("web")
    inventory.add_host("h1", group="web")
    for name, each in value("inventory file group vars").items():
        inventory.set_variable("web", name, each)
    for name, each in value("inventory file host vars").items():
        inventory.set_variable("h1", name, each)
    inventory.reconcile()
    manager = VariableManager(
        inventory=inventory,
        engine=TemplateEngine(),
        extra_vars=value("extra vars"),
        playbook_directory=playbook_folder,
    )
    role = make_role("r", defaults=value("role defaults"), vars=value("role vars"), params=value("role params"))
    play = make_play(playbook_folder, vars=value("play vars"), vars_files=(T("files.yml"),), roles=(role,))
    manager.set_facts("h1", value("host facts"))
    manager.include_vars("h1", value("include_vars"))
    manager.set_fact("h1", value("set_fact"))
    task = make_task(
        role,
        (
            VarsLayer(level="block", values=value("block vars")),
            VarsLayer(level="include", values=value("include params")),
            VarsLayer(level="task", values=value("task vars")),
        ),
    )
    winner = max(chosen, key=DOCUMENTED.index)
    assert manager.for_host(play, "h1", task)["x"] == winner


def test_the_table_has_every_level_of_the_inventory_in_its_order() -> None:
    assert tuple(level for level in LEVELS if level in INVENTORY_LEVELS) == INVENTORY_LEVELS
    numbers = [number for _, number in TABLE]
    assert numbers == sorted(numbers)


@given(
    layers=st.lists(
        st.tuples(st.sampled_from(LEVELS), st.dictionaries(st.sampled_from("abc"), st.integers())), max_size=12
    )
)
def test_layers_read_as_if_they_were_merged(layers: list[tuple[str, dict[str, int]]]) -> None:
    by_level: dict[str, list[dict[str, int]]] = {}
    for level, values in layers:
        by_level.setdefault(level, []).append(values)
    merged: dict[str, int] = {}
    for level in LEVELS:
        for values in by_level.get(level, ()):
            merged.update(values)
    layered = arranged(by_level)
    assert dict(layered) == merged
    assert len(layered) == len(merged)
    assert [name in layered for name in "abcd"] == [name in merged for name in "abcd"]


def test_a_role_sees_its_own_defaults_before_those_of_others(tmp_path: Path) -> None:
    first = make_role("first", defaults={"x": "first", "only": 1}, vars={"v": "first"})
    second = make_role("second", defaults={"x": "second"}, vars={"v": "second"})
    play = make_play(tmp_path, roles=(first, second))
    manager = make_manager(tmp_path)
    assert manager.for_host(play, "h1", make_task(first))["x"] == "first"
    assert manager.for_host(play, "h1", make_task(first))["v"] == "first"
    assert manager.for_host(play, "h1", make_task(second))["x"] == "second"
    assert manager.for_host(play, "h1", make_task(second))["only"] == 1
    assert manager.for_host(play, "h1", make_task())["x"] == "second"


def test_what_a_role_depends_on_lends_its_defaults(tmp_path: Path) -> None:
    below = make_role("below", defaults={"x": "below", "y": "below"})
    above = make_role("above", defaults={"x": "above"}, dependencies=(below,))
    manager = make_manager(tmp_path)
    seen = manager.for_host(make_play(tmp_path, roles=(above,)), "h1", make_task(above))
    assert (seen["x"], seen["y"]) == ("above", "below")
    assert seen["ansible_play_role_names"] == ["above"]
    assert seen["ansible_dependent_role_names"] == ["below"]


def test_an_included_role_shows_its_variables_to_the_play_only_when_it_is_public(tmp_path: Path) -> None:
    role = make_role("r", defaults={"d": 1}, vars={"v": 2}, public=False)
    play = make_play(tmp_path)
    manager = make_manager(tmp_path)
    assert manager.for_host(play, "h1", make_task(role))["v"] == 2
    assert "v" not in manager.for_host(play, "h1", make_task())
    manager.expose_role(play, role)
    assert manager.for_host(play, "h1", make_task())["v"] == 2
    assert manager.for_host(play, "h1", make_task())["d"] == 1


# -- facts ------------------------------------------------------------------------------------------------------------


def test_facts_are_seen_twice(tmp_path: Path) -> None:
    manager, play = make_manager(tmp_path), make_play(tmp_path)
    manager.set_facts("h1", {"ansible_distribution": "Debian", "services": {"a": 1}})
    seen = manager.for_host(play, "h1")
    assert seen["ansible_distribution"] == "Debian"
    assert seen["services"] == {"a": 1}
    assert seen["ansible_facts"] == {"distribution": "Debian", "services": {"a": 1}}
    manager.clear_facts("h1")
    assert manager.for_host(play, "h1")["ansible_facts"] == {}
    assert "ansible_distribution" not in manager.for_host(play, "h1")


def test_local_facts_keep_their_whole_name(tmp_path: Path) -> None:
    manager, play = make_manager(tmp_path), make_play(tmp_path)
    manager.set_facts("h1", {"ansible_local": {"x": 1}})
    seen = manager.for_host(play, "h1")
    assert (seen["ansible_local"], seen["ansible_facts"]) == ({"x": 1}, {"ansible_local": {"x": 1}})


def test_that_facts_were_gathered_is_a_fact_and_no_variable(tmp_path: Path) -> None:
    manager, play = make_manager(tmp_path), make_play(tmp_path)
    manager.note_gathered("h1")
    seen = manager.for_host(play, "h1")
    assert seen["ansible_facts"] == {"_ansible_facts_gathered": True}
    assert "_ansible_facts_gathered" not in seen


@pytest.mark.parametrize(
    ("name", "becomes_a_variable"),
    [
        ("ansible_hostname", True),
        ("ansible_ssh_host_key_rsa_public", True),
        ("discovered_interpreter_python", True),
        ("ansible_connection", False),
        ("ansible_host", False),
        ("ansible_become", False),
        ("ansible_become_password", False),
        ("ansible_ssh_common_args", False),
        ("ansible_python_interpreter", False),
        ("ansible_user", False),
        ("ansible_facts", False),
        ("pybible_agent", False),
        ("lookup", False),
        ("omit", False),
        ("vars", False),
    ],
)
def test_a_host_cannot_say_how_its_tasks_run(name: str, becomes_a_variable: bool) -> None:
    assert injectable(name) is becomes_a_variable


def test_set_fact_and_register_stay_when_facts_are_cleared(tmp_path: Path) -> None:
    manager, play = make_manager(tmp_path), make_play(tmp_path)
    manager.set_fact("h1", {"a": 1}, cacheable=True)
    manager.register("h1", "r", {"rc": 0})
    assert manager.facts("h1") == {"a": 1}
    manager.clear_facts("h1")
    seen = manager.for_host(play, "h1")
    assert (seen["a"], seen["r"]) == (1, {"rc": 0})
    assert manager.facts("h1") == {}


def test_what_a_host_answers_is_not_rendered(tmp_path: Path) -> None:
    manager, play = make_manager(tmp_path, "h1", "h2", extra={"secret": "LEAKED"}), make_play(tmp_path)
    manager.set_facts("h1", {"ansible_x": "{{ secret }}"})
    manager.register("h1", "r", {"stdout": "{{ secret }}"})
    manager.include_vars("h1", {"passed": T("{{ r.stdout }}")})
    for host, prefix in (("h1", ""), ("h2", "hostvars.h1.")):
        templar = manager.templar(play, host)
        for name in ("ansible_x", "ansible_facts.x", "r.stdout", "passed"):
            assert templar.render(T("{{ " + prefix + name + " }}")) == "{{ secret }}"


# -- magic ------------------------------------------------------------------------------------------------------------


def test_the_engine_says_what_it_knows(tmp_path: Path) -> None:
    manager, play = make_manager(tmp_path, "h1.example.org", "h2"), make_play(tmp_path, name="first")
    hosts = PlayHosts(all=("h1.example.org", "h2"), live=("h2",), batch=("h2",))
    role = make_role("ns.coll.r", collection="ns.coll", parents=(make_role("outer"),))
    seen = manager.for_host(play, "h1.example.org", make_task(role), hosts=hosts)
    expected = {
        "inventory_hostname": "h1.example.org",
        "inventory_hostname_short": "h1",
        "group_names": ["ungrouped"],
        "groups": {"all": ["h1.example.org", "h2"], "ungrouped": ["h1.example.org", "h2"]},
        "ansible_play_hosts_all": ["h1.example.org", "h2"],
        "ansible_play_hosts": ["h2"],
        "ansible_play_batch": ["h2"],
        "ansible_play_name": "first",
        "ansible_forks": 7,
        "ansible_limit": "h1",
        "ansible_check_mode": True,
        "ansible_diff_mode": False,
        "ansible_run_tags": ["all"],
        "playbook_dir": str(tmp_path),
        "role_name": "r",
        "ansible_role_name": "ns.coll.r",
        "ansible_collection_name": "ns.coll",
        "role_path": "/roles/ns.coll.r",
        "ansible_parent_role_names": ["outer"],
        "ansible_search_path": [str(tmp_path)],
    }
    assert {name: seen[name] for name in expected} == expected
    assert manager.templar(play, "h2").render(T("{{ ansible_version.full is version('2.19', '>=') }}")) is True


def test_magic_variables_win_over_extra_ones(tmp_path: Path) -> None:
    manager = make_manager(tmp_path, extra={"inventory_hostname": "other", "x": 1})
    seen = manager.for_host(make_play(tmp_path), "h1")
    assert (seen["inventory_hostname"], seen["x"]) == ("h1", 1)


def test_groups_follow_the_inventory(tmp_path: Path) -> None:
    manager, play = make_manager(tmp_path), make_play(tmp_path)
    assert manager.for_host(play, "h1")["group_names"] == ["ungrouped"]
    manager.inventory.add_dynamic_host("h2", groups=["new"], variables={"v": 1})
    manager.inventory.add_dynamic_group("h1", "new")
    assert manager.for_host(play, "h1")["group_names"] == ["new"]
    assert manager.templar(play, "h1").render(T("{{ groups.new }} {{ hostvars.h2.v }}")) == "['h2', 'h1'] 1"


# -- hostvars ---------------------------------------------------------------------------------------------------------


def test_hostvars_are_rendered_in_their_hosts_context(tmp_path: Path) -> None:
    manager, play = make_manager(tmp_path, "h1", "h2"), make_play(tmp_path, vars={"played": 1})
    for host in ("h1", "h2"):
        manager.inventory.set_variable(host, "me", T("{{ inventory_hostname }}-{{ n }}"))
        manager.inventory.set_variable(host, "n", host[1])
    templar = manager.templar(play, "h1")
    assert templar.render(T("{{ hostvars['h2'].me }} {{ hostvars.h1.me }}")) == "h2-2 h1-1"
    assert templar.render(T("{{ groups.all | map('extract', hostvars, 'me') | list }}")) == ["h1-1", "h2-2"]
    assert templar.render(T("{{ 'h2' in hostvars }} {{ 'h3' in hostvars }} {{ hostvars | length }}")) == "True False 2"
    assert templar.render(T("{{ hostvars.h2.played | default('no play variables') }}")) == "no play variables"


def test_all_variables_can_be_dumped(tmp_path: Path) -> None:
    dumped = make_manager(tmp_path, "h1", "h2").templar(make_play(tmp_path), "h1").render(T("{{ vars }}"))
    assert isinstance(dumped, dict)
    assert dumped["hostvars"]["h2"]["inventory_hostname"] == "h2"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ hostvars['nope'] }}", r"hostvars\['nope'\]"),
        ("{{ hostvars['nope'].x }}", r"hostvars\['nope'\]"),
        ("{{ hostvars['h1'].nope }}", "object of type 'HostVarsVars' has no attribute 'nope'"),
    ],
)
def test_what_hostvars_do_not_have_is_undefined(tmp_path: Path, template: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        make_manager(tmp_path).templar(make_play(tmp_path), "h1").render(T(template))


# -- vars_files -------------------------------------------------------------------------------------------------------


def test_vars_files_are_rendered_and_the_first_that_is_there_counts(tmp_path: Path) -> None:
    (tmp_path / "one.yml").write_text("a: 1\nnext: two\n")
    (tmp_path / "two.yml").write_text("b: '{{ a + 1 }}'\n")
    (tmp_path / "vars").mkdir()
    (tmp_path / "vars" / "Debian.yml").write_text("- c: 3\n- d: 4\n")
    files = (T("one.yml"), T("{{ next }}.yml"), [T("nope.yml"), T("{{ ansible_facts.os }}.yml")], T("missing.yml"))
    play, manager = make_play(tmp_path, vars_files=files), make_manager(tmp_path)
    templar = manager.templar(play, "h1")
    assert templar.render(T("{{ a }} {{ b }} {{ c | default('none yet') }}")) == "1 2 none yet"
    manager.set_facts("h1", {"os": "Debian"})
    assert manager.templar(play, "h1").render(T("{{ a }} {{ b }} {{ c }} {{ d }}")) == "1 2 3 4"


def test_a_name_that_stays_undefined_when_facts_are_known_is_an_error(tmp_path: Path) -> None:
    play, manager = make_play(tmp_path, vars_files=(T("{{ nope }}.yml"),)), make_manager(tmp_path)
    assert "x" not in manager.for_host(play, "h1", make_task())
    manager.set_facts("h1", {"module_setup": True})
    with pytest.raises(TemplateError, match="attempting to template the vars_files item"):
        manager.for_host(play, "h1", make_task())


def test_a_vars_file_holds_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "bad.yml").write_text("just text\n")
    with pytest.raises(ParseError, match=r"Invalid variable file contents\."):
        make_manager(tmp_path).for_host(make_play(tmp_path, vars_files=(T("bad.yml"),)), "h1")


def test_names_that_are_words_of_the_language_are_warned_about_once(tmp_path: Path) -> None:
    warnings: list[str] = []
    manager = VariableManager(
        inventory=Inventory(),
        engine=TemplateEngine(warn=warnings.append),
        extra_vars={"hosts": 1},
        playbook_directory=tmp_path,
    )
    manager.set_fact("h1", {"hosts": 2, "name": 3, "fine": 4})
    assert warnings == [f"Found variable using reserved name '{name}'." for name in ("hosts", "name")]
