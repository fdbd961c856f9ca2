"""test_oracle: generated inventories, patterns, `k=v` texts and variables mean what they meant to ansible-core.

`make conformance` asks ansible-core again; the answers are in oracle/.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pybible.server.engine.dispatcher import Outcome, Target
from pybible.server.engine.inventory.inventory import Inventory
from pybible.server.engine.inventory.options import InventoryOptions
from pybible.server.engine.inventory.sources import load_inventory
from pybible.server.engine.parsing.free_form import parse_args
from pybible.server.engine.templating.engine import TemplateEngine
from pybible.server.engine.variables.scope import VariableManager
from pybible.server.results.events import TaskStarted
from pybible.wire.errors import PybibleError
from pybible.wire.tasks import TaskSpec
from tests.conformance.oracle_project import compact, project
from tests.conformance.oracle_questions import (
    FLAT_INVENTORY,
    NAMES,
    NESTED_INVENTORY,
    Question,
    at,
    questions,
    variable_sets,
)
from tests.support.plays import play

ANSWERS = Path(__file__).parent / "oracle"
ERROR = {"error": True}
QUESTIONS = questions()


def answers(about: str) -> list[object]:
    """Return ansible-core's answers."""
    found = json.loads((ANSWERS / f"{about}.json").read_text())
    assert isinstance(found, list)
    return found


def read(text: str, folder: Path) -> Inventory:
    """Read an inventory in INI form."""
    (folder / "hosts").write_text(text)
    options = InventoryOptions(enabled=("ini",), unparsed_is_failed=True)
    return load_inventory([str(folder / "hosts")], options=options)


def inventory(question: Question, folder: Path) -> object:
    """Return an inventory's hosts with their variables, and its groups."""
    try:
        found = read(str(question["ini"]), folder)
    except PybibleError:
        return ERROR
    manager = VariableManager(inventory=found, engine=TemplateEngine(), playbook_directory=folder)
    shown = {}
    for host in found.match("all"):
        values = manager.host_variables(host)
        plain = {name: values[name] for name in (*NAMES, "ansible_port") if name in values}
        shown[host] = plain
    groups = {
        name: {"hosts": list(group.hosts), "children": [child.name for child in group.children]}
        for name, group in found.groups.items()
        if name not in ("all", "ungrouped")
    }
    return json.loads(json.dumps({"hosts": shown, "groups": groups}, default=repr))


def pattern(question: Question, folder: Path) -> object:
    """Return a pattern's hosts, sorted where ansible-core has no order."""
    found = read(NESTED_INVENTORY if question["nested"] else FLAT_INVENTORY, folder)
    try:
        found.set_limit(str(question["limit"]) or None)
        names = found.match(question["pattern"])
    except PybibleError:
        return ERROR
    return sorted(names) if question["nested"] else names


def pairs(question: Question) -> object:
    """Return the pairs of a text."""
    try:
        return parse_args(str(question["text"]), command=bool(question["raw"]))
    except PybibleError:
        return ERROR


def answer(_target: Target, spec: TaskSpec) -> Outcome:
    """Answer for the modules of the project of variables."""
    if spec.module == "ping":
        return Outcome(result={"changed": False, "ansible_facts": at("facts", variable_sets())})
    return Outcome(result={"changed": False, "rc": 0, "stdout": "said"})


@pytest.mark.parametrize("about", ["ranges", "ini"])
def test_an_inventory_s_hosts_groups_and_variables(tmp_path: Path, about: str) -> None:
    for question, answer in zip(QUESTIONS[about], answers(about), strict=True):
        assert inventory(question, tmp_path) == answer, question["ini"]


def test_a_pattern_s_hosts_in_their_order(tmp_path: Path) -> None:
    for question, answer in zip(QUESTIONS["patterns"], answers("patterns"), strict=True):
        assert pattern(question, tmp_path) == answer, question


def test_the_pairs_of_a_text() -> None:
    for question, answer in zip(QUESTIONS["pairs"], answers("pairs"), strict=True):
        assert pairs(question) == answer, question


async def test_variables_that_are_set_at_every_level(tmp_path: Path) -> None:
    files = project(facts_module="ping")
    played = await play(
        tmp_path,
        files["site.yml"],
        files=files,
        inventory_file="inventory/hosts",
        extra_vars=at("extra_vars", variable_sets()),
        answer=answer,
    )
    names = {event.task_id: event.name for event in played.events if isinstance(event, TaskStarted)}
    shown = [
        (names[result.task_id].rpartition(" : ")[2], result.host, result.result["msg"])
        for result in played.results()
        if result.action == "debug"
    ]
    for found, expected in zip(compact(shown), answers("variables"), strict=True):
        assert found == expected
