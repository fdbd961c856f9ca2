"""test_argument_spec: values that ansible-core words by its own classes, and what a role's own check says."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybible.server.engine.actions.argument_spec import check_arguments
from tests.support.plays import play


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("float", "x", "<class 'str'> cannot be converted to a float"),
        ("bool", "maybe", "The value 'maybe' is not a valid boolean. Valid booleans include: 0, 1, "),
        ("bool", [1], "<class 'list'> cannot be converted to a bool"),
        ("dict", [1], "<class 'list'> cannot be converted to a dict"),
        ("dict", "{broken", "unable to evaluate string as dictionary"),
        ("list", {"x": 1}, "<class 'dict'> cannot be converted to a list"),
        ("bytes", "1x", "<class 'str'> cannot be converted to a Byte value"),
        ("json", 1, "<class 'int'> cannot be converted to a json string"),
    ],
)
def test_a_value_that_is_not_of_the_type(kind: str, value: object, text: str) -> None:
    (error,) = check_arguments({"a": {"type": kind}}, {"a": value})
    assert error.startswith(f"argument 'a' is of type {type(value).__name__} and we were unable to convert to {kind}: ")
    assert text in error


@pytest.mark.parametrize(
    ("kind", "value"),
    [("float", 1), ("float", "1.5"), ("bool", "Yes"), ("dict", '{"a": 1}'), ("dict", "{'a': 1}"), ("list", "a,b"),
     ("bytes", "10KB"), ("bits", "1Mb"), ("jsonarg", {"a": 1}), ("int", "3.0"), ("path", "~")],
)  # fmt: skip
def test_a_value_that_can_be_made_one(kind: str, value: object) -> None:
    assert check_arguments({"a": {"type": kind}}, {"a": value}) == []


def test_options_of_a_dictionary_that_is_none() -> None:
    spec = {"a": {"type": "list", "elements": "dict", "options": {"b": {"required": True}}}}
    assert check_arguments(spec, {"a": [{"b": 1}, 3]}) == [
        "Elements value for option 'a' is of type int and we were unable to convert to dict:"
        " <class 'int'> cannot be converted to a dict"
    ]
    applied = {"a": {"type": "dict", "apply_defaults": True, "options": {"b": {"required": True}}}}
    assert check_arguments(applied, {}) == ["missing required arguments: b found in a"]


async def test_a_role_whose_arguments_are_wrong_fails_at_its_specification(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: h1
          gather_facts: false
          roles: [{role: strict, at: eighty}]
        """,
        hosts=("h1",),
        files={
            "roles/strict/tasks/main.yml": "- debug: msg=never\n",
            "roles/strict/meta/argument_specs.yml": "argument_specs:\n  main:\n    options:\n      at: {type: int}\n",
        },
    )
    (failed,) = played.results("h1")
    text = (
        "argument 'at' is of type str and we were unable to convert to int: \"'eighty'\" cannot be converted to an int"
    )
    assert failed.result["argument_errors"] == [text]
    assert "argument_specs.yml:3:5" in failed.error
