"""test_spec: how a task's arguments become a module's, and what is said when they can't."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from pybible.agent.modules.api import Context, Module, PathText, Plan, arg
from pybible.agent.modules.spec import HIDDEN, ArgumentError, check_arguments
from pybible.wire.values import JsonObject, JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    name: str = arg()
    size: int = arg(default=1)
    ratio: float = arg(default=1.0)
    flag: bool = arg(default=False, aliases=("switch",))
    place: PathText | None = arg(default=None)
    folder: Path | None = arg(default=None)
    items: list[str] = arg(default_factory=list)
    numbers: list[int] | None = arg(default=None)
    table: dict[str, object] | None = arg(default=None)
    anything: object = arg(default=None, raw=True)
    state: Literal["absent", "present"] = arg(default="present")
    kinds: list[str] | None = arg(default=None, choices=("a", "b"))
    password: str | None = arg(default=None, no_log=True)
    _inner: str | None = arg(default=None, internal=True)


def _plan(args: Args, context: Context) -> Plan:
    return None


MODULE = Module(
    name="sample",
    args=Args,
    plan=_plan,
    mutually_exclusive=(("place", "folder"),),
    required_together=(("items", "numbers"),),
    required_if=(("state", "absent", ("place",)),),
)


def values(**given: JsonValue) -> JsonObject:
    return check_arguments(MODULE, {"name": "n", "numbers": [], **given}).values


@pytest.mark.parametrize(
    ("argument", "given", "expected"),
    [
        ("name", 5, "5"),
        ("name", None, ""),
        ("name", True, "True"),
        ("name", ["a"], "['a']"),
        ("size", "7", 7),
        ("size", " 7 ", 7),
        ("size", "5.0", 5),
        ("size", 2.0, 2),
        ("size", str(2**60 + 1), 2**60 + 1),
        ("ratio", "0.5", 0.5),
        ("ratio", 2, 2.0),
        ("flag", "yes", True),
        ("flag", "On", True),
        ("flag", "t", True),
        ("flag", 1, True),
        ("flag", 0.0, False),
        ("flag", "n", False),
        ("flag", "FALSE", False),
        ("place", "/a//b/", "/a//b/"),
        ("place", None, ""),
        ("items", "a,b", ["a", "b"]),
        ("items", 5, ["5"]),
        ("items", [1, None], ["1", ""]),
        ("numbers", ["1", 2], [1, 2]),
        ("table", '{"a": 1}', {"a": 1}),
        ("table", "{'a': 1}", {"a": 1}),
        ("table", 'a=1, b="x y"', {"a": "1", "b": "x y"}),
        ("table", {"a": 1}, {"a": 1}),
        ("anything", {"a": [1]}, {"a": [1]}),
        ("kinds", "a,b", ["a", "b"]),
    ],
)
def test_a_value_of_another_type_is_converted(argument: str, given: JsonValue, expected: JsonValue) -> None:
    found = values(**{argument: given})[argument]
    assert found == expected
    assert type(found) is type(expected)


def test_a_path_object_is_one_and_home_and_variables_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("WHERE", "there")
    assert values(folder="~/x/$WHERE")["folder"] == Path("/home/me/x/there")
    assert values(place="~/x/${WHERE}/")["place"] == "/home/me/x/there/"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": "x"}, "argument 'size' is of type str and we were unable to convert to int: "),
        ({"size": 5.5}, "argument 'size' is of type float and we were unable to convert to int: "),
        ({"size": [1]}, "argument 'size' is of type list and we were unable to convert to int: "),
        ({"flag": "perhaps"}, "The value 'perhaps' is not a valid boolean. Valid booleans include: "),
        ({"flag": None}, "<class 'NoneType'> cannot be converted to a bool"),
        ({"flag": 2}, "The value '2' is not a valid boolean."),
        ({"items": {"a": 1}}, "<class 'dict'> cannot be converted to a list"),
        ({"table": "abc"}, "dictionary requested, could not parse JSON or key=value"),
        ({"table": [1]}, "<class 'list'> cannot be converted to a dict"),
        ({"numbers": ["x"]}, "Elements value for option 'numbers' is of type str and we were unable to convert to int"),
        ({"state": "gone"}, "value of state must be one of: absent, present, got: gone"),
        ({"state": None}, "value of state must be one of: absent, present, got: None"),
        ({"kinds": ["a", "c"]}, "value of kinds must be one or more of: a, b. Got no match for: c"),
        ({"place": "/a", "folder": "/b"}, "parameters are mutually exclusive: place|folder"),
        ({"items": ["a"], "numbers": None}, "parameters are required together: items, numbers"),
        ({"state": "absent"}, "state is absent but all of the following are missing: place"),
        (
            {"colour": 1, "b": 2},
            "Unsupported parameters for (sample) module: b, colour. Supported parameters include: ",
        ),
    ],
)
def test_a_wrong_argument_is_named_as_the_stock_modules_name_it(given: JsonObject, message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        values(**given)
    assert message in caught.value.msg


def test_a_missing_argument_is_said_before_an_unknown_one() -> None:
    with pytest.raises(ArgumentError, match="missing required arguments: name"):
        check_arguments(MODULE, {"colour": "red"})


def test_unknown_arguments_are_listed_with_what_there_is_and_without_what_is_internal() -> None:
    with pytest.raises(ArgumentError) as caught:
        values(colour="red")
    listed = caught.value.msg.partition("include: ")[2]
    assert listed.startswith("anything, flag, folder, items, kinds, name, ")
    assert listed.endswith("(switch).")
    assert "_inner" not in listed


def test_an_alias_stands_for_its_argument_and_stays_in_the_invocation() -> None:
    checked = check_arguments(MODULE, {"name": "n", "switch": "yes", "numbers": []})
    assert checked.values["flag"] is True
    assert checked.shown["switch"] == "yes"
    assert checked.shown["flag"] is True


def test_an_argument_beside_its_alias_warns() -> None:
    checked = check_arguments(MODULE, {"name": "n", "switch": "yes", "flag": "no", "numbers": []})
    assert checked.warnings == ["Both option flag and its alias switch are set."]
    assert checked.values["flag"] is True


def test_the_invocation_hides_secrets_and_what_is_internal() -> None:
    checked = check_arguments(MODULE, {"name": "n", "password": "s3cret", "_inner": "x", "numbers": []})
    assert checked.shown["password"] == HIDDEN
    assert "_inner" not in checked.shown
    assert checked.values["password"] == "s3cret"
    assert checked.secrets == ("s3cret",)


def test_a_default_list_is_never_shared_between_tasks() -> None:
    first = values()["items"]
    first.append("x")
    assert values()["items"] == []


@dataclass(frozen=True, slots=True, kw_only=True)
class _Odd:
    global_: bool = arg(default=False)
    names: list[str] = arg(default_factory=list)
    list_: str | None = arg(default=None)


def test_an_argument_whose_name_python_has_a_use_for_is_called_by_it() -> None:
    module = Module(name="odd", args=_Odd, plan=lambda _args, _context: None)
    checked = check_arguments(module, {"global": "yes", "list": "all"})
    assert checked.shown == {"global": True, "names": [], "list": "all"}
    assert _Odd(**checked.values) == _Odd(global_=True, list_="all")
