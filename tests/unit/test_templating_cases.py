"""Expressions, filters and tests give what ansible-core 2.19.14 gave: cases/templating/*.json hold its answers.

Each case is [template, "ok" or "fatal", the rendered value or the error's text]. What depends on the machine, on chance
or on names of ansible-core's own classes is not among them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from pybible.server.engine.model.text import Trusted
from pybible.server.engine.parsing.yaml_source import load_yaml
from pybible.server.engine.templating.engine import TemplateEngine
from pybible.server.engine.templating.errors import message_of
from pybible.server.engine.templating.templar import Templar
from pybible.wire.errors import SourceError

CASES = Path(__file__).parent / "cases" / "templating"
PREFIX = "Error while resolving value for 'msg': "
# What a task shows for an argument that was left out.
OMITTED = "Hello world!"


@pytest.fixture(scope="module")
def engine() -> TemplateEngine:
    return TemplateEngine()


def _cases() -> Iterator[object]:
    for path in sorted(CASES.glob("*.json")):
        recorded = json.loads(path.read_text(encoding="utf-8"))
        for number, case in enumerate(recorded["cases"]):
            yield pytest.param(recorded["variables"], *case, id=f"{path.stem}-{number}")


@pytest.mark.parametrize(("variables", "template", "verdict", "answer"), list(_cases()))
def test_ansible_core_gave_the_same(
    engine: TemplateEngine, variables: str, template: str, verdict: str, answer: object
) -> None:
    visible = load_yaml(variables, "cases.yml")
    assert isinstance(visible, dict)
    assert _answer(Templar(engine, visible), template) == (verdict, answer), template


def _answer(templar: Templar, template: str) -> tuple[str, object]:
    try:
        rendered = templar.render_args({"msg": Trusted(template)})
    except SourceError as error:
        return "fatal", message_of(error).removeprefix(PREFIX)
    return "ok", json.loads(json.dumps(rendered.get("msg", OMITTED), default=_iso))


def _iso(value: object) -> str:
    assert isinstance(value, date)
    return value.isoformat()


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ [['a', 1], ['b', 2]] | community.general.dict }}", {"a": 1, "b": 2}),
        ("{{ 'v' | community.general.dict_kv('k') }}", {"k": "v"}),
        ("{{ '52:54:00' | community.general.random_mac(seed='x') }}", "52:54:00:60:a1:7b"),
        ("{{ '52:54' | community.general.random_mac(seed='host') }}", "52:54:62:17:96:2f"),
    ],
)
def test_filters_of_a_collection_that_are_built_in(engine: TemplateEngine, template: str, value: object) -> None:
    assert Templar(engine, {}).render(Trusted(template)) == value


@pytest.mark.parametrize("name", ["flattened", "community.general.flattened"])
def test_a_lookup_of_a_collection_that_is_built_in(engine: TemplateEngine, name: str) -> None:
    terms = [[1, [2, [3]]], "a", ["b", None, "c", "null", "never"], "None", "d"]
    assert Templar(engine, {}).lookup(name, terms) == [1, 2, 3, "a", "b", None, "c"]
