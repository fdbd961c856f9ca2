"""test_fact_cache: facts that outlive a run, and the other settings of variables."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from pybible.server.engine.inventory.inventory import Inventory
from pybible.server.engine.model.play import Play
from pybible.server.engine.model.text import Trusted
from pybible.server.engine.templating.engine import TemplateEngine
from pybible.server.engine.variables.fact_cache import JsonFileCache
from pybible.server.engine.variables.precedence import Merged, merged
from pybible.server.engine.variables.scope import VariableManager, VariableOptions
from pybible.wire.errors import ConfigError, Origin


def cache(folder: Path, warnings: list[str], **options: float) -> JsonFileCache:
    return JsonFileCache(folder, prefix="p_", warn=warnings.append, **options)


def manager(folder: Path, options: VariableOptions, play_vars: Mapping[str, object] | None = None) -> VariableManager:
    inventory = Inventory()
    inventory.add_host("h1", group="all").vars["d"] = {"host": 1, "x": {"a": 1}}
    inventory.reconcile()
    return VariableManager(
        inventory=inventory,
        engine=TemplateEngine(playbook_directory=folder),
        playbook_directory=folder,
        options=options,
    )


def play(folder: Path, **variables: object) -> Play:
    return Play(id="p", origin=Origin("play.yml", 1, 1), hosts="all", directory=folder, vars=variables)


def test_facts_of_an_earlier_run_are_there_and_are_data(tmp_path: Path) -> None:
    kept = cache(tmp_path / "made", [])
    first = manager(tmp_path, VariableOptions(fact_cache=kept))
    first.set_facts("h1", {"ansible_os_family": "Debian", "ansible_user": "mallory"})
    first.set_fact("h1", {"mine": "{{ 1 + 1 }}"}, cacheable=True)
    first.set_fact("h1", {"gone": 1})
    assert (tmp_path / "made/p_h1").exists()
    second = manager(tmp_path, VariableOptions(fact_cache=cache(tmp_path / "made", [])))
    templar = second.templar(play(tmp_path), "h1")
    assert templar.render(Trusted("{{ ansible_os_family }} {{ ansible_facts.mine }} {{ gone | default('-') }}")) == (
        "Debian {{ 1 + 1 }} -"
    )
    assert "ansible_user" not in second.for_host(play(tmp_path), "h1")


def test_what_was_gathered_before_needs_no_gathering(tmp_path: Path) -> None:
    options = VariableOptions(fact_cache=cache(tmp_path, []))
    first = manager(tmp_path, options)
    first.set_facts("h1", {"ansible_x": 1})
    assert not first.gathered("h1")
    first.note_gathered("h1")
    second = manager(tmp_path, options)
    assert second.gathered("h1")
    assert set(second.facts("h1")) == {"x", "_ansible_facts_gathered"}
    second.clear_facts("h1")
    assert not manager(tmp_path, options).gathered("h1")
    assert not list(tmp_path.iterdir())


def test_facts_can_be_too_old(tmp_path: Path) -> None:
    cache(tmp_path, []).save("h1", {"a": 1})
    path = tmp_path / "p_h1"
    then = time.time() - 100
    os.utime(path, (then, then))
    assert cache(tmp_path, [], timeout=50).load("h1") is None
    assert cache(tmp_path, [], timeout=500).load("h1") == {"a": 1}
    assert cache(tmp_path, []).load("h1") == {"a": 1}


@pytest.mark.parametrize("content", ["{bad", "[1]", "[" * 100_000, ""])
def test_a_broken_file_is_told_and_removed(tmp_path: Path, content: str) -> None:
    warnings: list[str] = []
    (tmp_path / "p_h1").write_text(content)
    assert cache(tmp_path, warnings).load("h1") is None
    assert len(warnings) == 1
    assert not (tmp_path / "p_h1").exists()


@pytest.mark.parametrize("host", ["../out", "a/b", "..", "%2F"])
def test_a_hosts_name_does_not_lead_out_of_the_folder(tmp_path: Path, host: str) -> None:
    folder = tmp_path / "in"
    kept = JsonFileCache(folder, warn=lambda text: None)
    kept.save(host, {"a": host})
    assert kept.load(host) == {"a": host}
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert json.loads(next(folder.iterdir()).read_text()) == {"a": host}


def test_a_folder_that_can_not_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="'jsonfile' cache plugin while trying to create cache dir"):
        cache(tmp_path / "file/below", [])


def test_facts_that_are_not_injected_are_in_ansible_facts_only(tmp_path: Path) -> None:
    variables = manager(tmp_path, VariableOptions(inject_facts=False))
    variables.set_facts("h1", {"ansible_os_family": "Debian"})
    seen = variables.for_host(play(tmp_path), "h1")
    assert "ansible_os_family" not in seen
    assert seen["ansible_facts"] == {"os_family": "Debian"}


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        # Low to high; each as ansible-core 2.19 merges them with hash_behaviour=merge.
        ([{"a": 1}, {"b": 2}], {"a": 1, "b": 2}),
        ([{"a": {"x": 1}}, {"a": {"y": 2}}], {"a": {"x": 1, "y": 2}}),
        ([{"a": [1]}, {"a": [2]}], {"a": [2]}),
        ([{"a": 1}, "text", {"b": 2}], {"b": 2}),
        ([{"a": 1}, "text"], "text"),
        (["text", {"b": 2}], {"b": 2}),
    ],
)
def test_mappings_of_one_name_are_merged_when_asked_for(layers: list[object], expected: object) -> None:
    assert Merged([{"d": value} for value in reversed(layers)])["d"] == expected


def test_merging_changes_neither_side() -> None:
    low, high = {"a": {"x": 1}}, {"a": {"y": 2}}
    merged(low, high)
    assert (low, high) == ({"a": {"x": 1}}, {"a": {"y": 2}})


def test_hash_behaviour_merge_holds_over_all_levels(tmp_path: Path) -> None:
    variables = manager(tmp_path, VariableOptions(merge=True))
    variables.set_fact("h1", {"d": {"fact": 1}})
    variables.include_vars("h1", {"d": {"included": {"a": 1}}})
    variables.include_vars("h1", {"d": {"included": {"b": 2}}})
    seen = variables.for_host(play(tmp_path, d={"play": 1, "x": {"b": 2}}), "h1")
    assert seen["d"] == {"host": 1, "x": {"a": 1, "b": 2}, "play": 1, "included": {"a": 1, "b": 2}, "fact": 1}
    assert manager(tmp_path, VariableOptions()).for_host(play(tmp_path, d={"play": 1}), "h1")["d"] == {"play": 1}
