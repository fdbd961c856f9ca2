"""test_gather: which facts a task gets."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pybible.agent.facts.gather import COLLECTORS, UnknownSubset, choose
from tests.support.modules import context, run_module

MINIMAL = {collector.name for collector in COLLECTORS if collector.minimal}
ALL = {collector.name for collector in COLLECTORS}


def chosen(*subsets: str) -> set[str]:
    return {collector.name for collector in choose(subsets)}


# As the stock module answered to the same lists.
@pytest.mark.parametrize(
    ("subsets", "expected"),
    [
        ([], ALL),
        (["all"], ALL),
        (["min"], MINIMAL),
        (["!all"], MINIMAL),
        (["!min"], set()),
        (["!hardware"], MINIMAL),
        (["!all", "!min"], set()),
        (["network"], MINIMAL | {"network"}),
        (["network", "!all"], MINIMAL | {"network"}),
        (["!network", "network", "!all"], MINIMAL | {"network"}),
        (["all", "!hardware", "!virtual"], ALL - {"hardware", "virtual"}),
        (["!all", "!min", "network"], {"network", "platform", "distribution"}),
        (["!all", "!min", "default_ipv4"], {"network", "platform", "distribution"}),
        (["!all", "!min", "mounts"], {"hardware", "platform"}),
        (["!all", "!min", "pkg_mgr"], {"pkg_mgr", "distribution"}),
        (["!all", "!min", "is_chroot"], {"chroot"}),
        (["!all", "!min", "env", "date_time"], {"env", "date_time"}),
        (["!all", "!min", "facter"], set()),
        (["!nonsense"], MINIMAL),
    ],
)
def test_a_list_of_subsets_means_collectors(subsets: list[str], expected: set[str]) -> None:
    assert chosen(*subsets) == expected


def test_an_unknown_subset_is_named_with_those_that_there_are() -> None:
    with pytest.raises(UnknownSubset) as caught:
        choose(["nonsense"])
    assert caught.value.name == "nonsense"
    assert {"all", "network", "default_ipv4", "facter", "min"} - set(caught.value.known) == {"min"}
    result = run_module("setup", {"gather_subset": "nonsense"})
    assert result["msg"].startswith("Bad subset 'nonsense' given to Ansible. gather_subset options allowed: all, ")


def test_facts_are_named_as_they_are_injected() -> None:
    facts = run_module("setup", {"gather_subset": ["!all"]})["ansible_facts"]
    assert facts["ansible_system"] == os.uname().sysname
    assert facts["gather_subset"] == ["!all"]
    assert facts["module_setup"] is True


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ("ansible_kernel", {"ansible_kernel"}),
        ("kernel*", {"ansible_kernel", "ansible_kernel_version"}),
        (["machine", "ansible_sys*m"], {"ansible_machine", "ansible_system"}),
        ("module_setup", {"module_setup"}),
        ("nothing", set()),
    ],
)
def test_a_filter_takes_names_with_and_without_their_beginning(patterns: object, expected: set[str]) -> None:
    args = {"gather_subset": ["!all", "!min", "platform"], "filter": patterns}
    assert set(run_module("setup", args)["ansible_facts"]) == expected


def test_the_owners_own_facts_are_read_from_json_ini_and_programs(tmp_path: Path) -> None:
    (tmp_path / "a.fact").write_text('{"x": [1]}')
    (tmp_path / "b.fact").write_text("[part]\nkey = value\n")
    program = tmp_path / "c.fact"
    program.write_text('#!/bin/sh\necho "\\"$COLOUR\\""\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "d.fact").write_text("neither")
    (tmp_path / "e.txt").write_text("{}")
    args = {"gather_subset": ["!all", "!min", "local"], "fact_path": str(tmp_path)}
    local = run_module("setup", args, context(environment={"COLOUR": "red"}))["ansible_facts"]["ansible_local"]
    assert (local["a"], local["b"], local["c"]) == ({"x": [1]}, {"part": {"key": "value"}}, "red")
    assert local["d"].startswith("error loading facts as JSON or ini - please check content: ")
    assert set(local) == {"a", "b", "c", "d"}


def test_the_tasks_environment_is_part_of_the_environment() -> None:
    args = {"gather_subset": ["!all", "!min", "env"]}
    facts = run_module("setup", args, context(environment={"COLOUR": "red"}))["ansible_facts"]
    assert facts["ansible_env"]["COLOUR"] == "red"
