"""bridge_result: a module's result is found in what it printed, and without one all of that is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybible.agent.modules.bridge_result import read_result
from pybible.agent.modules.process import Finished
from pybible.wire.values import JsonObject, dumps


def result_of(text: str, *, rc: int = 0, stderr: str = "") -> JsonObject:
    return read_result(Finished(rc, text.encode(), stderr.encode()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"changed": true}', {"changed": True}),
        ('\n{"changed": true}\n\n', {"changed": True}),
        ('before\n{"changed": true}\n', {"changed": True}),
        ('{\n "a": {\n  "b": 1\n }\n}\n', {"a": {"b": 1}}),
        ('{"a": 1}\nafter\n', {"a": 1, "warnings": ["Module invocation had junk after the JSON data: after"]}),
        ('{"warnings": ["w"]}\nx', {"warnings": ["w", "Module invocation had junk after the JSON data: x"]}),
    ],
)  # fmt: skip
def test_a_result_is_found(text: str, expected: JsonObject) -> None:
    assert result_of(text, rc=4) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "No start of json char found"),
        ("[1]", "No start of json char found"),
        ("{ broken", "No end of json char found"),
        ('{"a": }', "Expecting value"),
    ],
)
def test_without_a_result_all_is_shown(text: str, why: str) -> None:
    result = result_of(text, rc=3, stderr="oh")
    assert str(result["msg"]).startswith(f"Module result deserialization failed: {why}")
    assert (result["failed"], result["rc"]) == (True, 3)
    assert (result["module_stdout"], result["module_stderr"]) == (text, "oh")


def test_marked_messages_become_plain_ones() -> None:
    kind = "__ansible_type"
    inner = {"msg": "inner", kind: "Event"}
    result = result_of(
        dumps(
            {
                "failed": True,
                "msg": "outer",
                "warnings": [
                    {"event": {"msg": "careful", "help_text": "Look.", kind: "Event"}, kind: "WarningSummary"}, "w",
                ],
                "deprecations": [
                    {"event": {"msg": "old", kind: "Event"}, "version": "9", kind: "DeprecationSummary",
                     "deprecator": {"resolved_name": "a.b.c", "type": "module", kind: "PluginInfo"}},
                    {"msg": "older", "date": "2030-01-01"},
                ],
                "exception": {"event": {"msg": "outer", "chain": {"event": inner, kind: "EventChain"}, kind: "Event"},
                              kind: "ErrorSummary"},
            }
        ).decode()
    )  # fmt: skip
    assert result["warnings"] == ["careful Look.", "w"]
    deprecator = {"resolved_name": "a.b.c", "type": "module"}
    assert result["deprecations"] == [
        {"msg": "old", "collection_name": "a.b", "deprecator": deprecator, "version": "9"},
        {"msg": "older", "date": "2030-01-01"},
    ]
    assert result["_ansible_cause"] == "inner"
    assert "exception" not in result


@given(st.binary(max_size=200))
def test_nothing_that_a_module_prints_is_an_error_here(text: bytes) -> None:
    assert isinstance(read_result(Finished(0, text, b"")), dict)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_no_shape_of_a_result_is_an_error_here(value: object) -> None:
    names = ("warnings", "deprecations", "exception")
    marked = {"__ansible_type": "Event", "event": value, "chain": {"event": value}, "deprecator": value}
    for each in (value, [value, marked], marked):
        assert isinstance(result_of(dumps(dict.fromkeys(names, each)).decode() + "\nx"), dict)
