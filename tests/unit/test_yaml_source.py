"""yaml_source: what YAML and JSON files become, and what is said of those that can't be read."""

from __future__ import annotations

import contextlib
import datetime
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pybible.server.engine.model.text import SourceDict, SourceList, Trusted, Vaulted, origin_of
from pybible.server.engine.parsing import yaml_source
from pybible.server.engine.parsing.yaml_source import load_file, load_yaml
from pybible.wire.errors import Origin, ParseError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("No", False),
        ("on", True),
        ("y", "y"),
        ("true", True),
        ('"yes"', "yes"),
        ("0644", 420),
        ("08", "08"),
        ("0o14", "0o14"),
        ("0x1f", 31),
        ("0b101", 5),
        ("1_000", 1000),
        ("-12", -12),
        ("1:30", 90),
        ("1.5", 1.5),
        ("1e3", "1e3"),
        ("1.0e+3", 1000.0),
        (".inf", float("inf")),
        ("~", None),
        ("null", None),
        ("", None),
        ("2020-01-02", datetime.date(2020, 1, 2)),
        ("1.2.3", "1.2.3"),
        ("!!str 5", "5"),
        ('!!int "5"', 5),
        ("!!binary aGVsbG8=", b"hello"),
        ("{a: [1, x]}", {"a": [1, "x"]}),
        ("!!set {a, b}", {"a", "b"}),
        ("- a\n- b", ["a", "b"]),
        ("a: |\n  x\n   y\n", {"a": "x\n y\n"}),
        ("a: >-\n  x\n  y\n", {"a": "x y"}),
        ("\ufeff---\na: 1", {"a": 1}),
        ('{"a": [1, null, true, "\\u00e9"]}', {"a": [1, None, True, "é"]}),
        ("{1: a, 2.5: b, null: c}", {1: "a", 2.5: "b", None: "c"}),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, e: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 2, "e": 3}}),
        ("a: {<<: [{b: 1}, {b: 2, c: 3}]}", {"a": {"b": 1, "c": 3}}),
        ("a: '<<'", {"a": "<<"}),
    ],
)
def test_values_are_those_of_yaml_1_1(text: str, value: object) -> None:
    assert load_yaml(text, "f.yml") == value


def test_every_text_is_trusted_and_knows_its_place() -> None:
    data = load_yaml("- name: x\n  list: [a, 'b c']\n", "/pb/f.yml")
    assert isinstance(data, SourceList)
    mapping = data[0]
    assert isinstance(mapping, SourceDict)
    assert mapping.origin == Origin("/pb/f.yml", 1, 3)
    key = list(mapping)[1]
    assert isinstance(key, Trusted)
    assert key.origin == Origin("/pb/f.yml", 2, 3)
    inner = mapping["list"]
    assert isinstance(inner, list)
    assert origin_of(inner) == Origin("/pb/f.yml", 2, 9)
    assert [origin_of(item) for item in inner] == [Origin("/pb/f.yml", 2, 10), Origin("/pb/f.yml", 2, 13)]


def test_unsafe_text_is_data_wherever_it_stands() -> None:
    data = load_yaml('a: !unsafe "{{ x }}"\nb: !unsafe {c: ["{{ y }}"]}\nd: !unsafe 5\ne: "{{ z }}"', "f")
    assert isinstance(data, dict)
    assert type(data["a"]) is str
    assert type(data["b"]["c"][0]) is str
    assert data["d"] == 5
    assert isinstance(data["e"], Trusted)


def test_text_of_an_untrusted_source_is_data() -> None:
    data = load_yaml('a: "{{ x }}"', "f", trusted=False)
    assert isinstance(data, dict)
    assert type(data["a"]) is str
    items = load_yaml('["{{ x }}"]', "f", trusted=False)
    assert isinstance(items, list)
    assert type(items[0]) is str


@pytest.mark.parametrize("tag", ["!vault", "!vault-encrypted"])
def test_vaulted_values_stay_closed(tag: str) -> None:
    data = load_yaml(f"a: {tag} |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\n", "f")
    assert isinstance(data, dict)
    value = data["a"]
    assert isinstance(value, Vaulted)
    assert value.ciphertext == "$ANSIBLE_VAULT;1.1;AES256\n6162\n"


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("a:\n\t- b", "Tabs are usually invalid in YAML.", (2, 1)),
        ("a: {{ b }}", "This may be an issue with missing quotes around a template block.", (1, 4)),
        ("a: b: c", "Colons in unquoted values must be followed by a non-space character.", (1, 5)),
        ('a: "b" c', "Values starting with a quote must end with the same quote.", (1, 4)),
        (
            'a: "b" and "c"',
            "Values starting with a quote must end with the same quote, and not contain that quote.",
            (1, 4),
        ),
        ("a: 1\n---\nb: 2", "Expected a single document in the stream but found another document.", (2, 1)),
        ("a: *b", "Found undefined alias 'b'.", (1, 4)),
        ("a: !nope b", "Could not determine a constructor for the tag '!nope'.", (1, 4)),
        ("a: !nope [b]", "Could not determine a constructor for the tag '!nope'.", (1, 4)),
        ("a: !!int b", "'b' is not a value of type int.", (1, 4)),
        ("a: !vault [b]", "The '!vault' tag requires a string value.", (1, 4)),
        ("? [a]\n: b", "While constructing a mapping found unhashable key.", (1, 3)),
        ("a: {<<: 5}", "Expected a mapping or list of mappings for merging, but found something else.", (1, 9)),
        ("a: [1,", "While parsing a flow node did not find expected node content.", (2, 1)),
    ],
)
def test_what_is_no_yaml_is_told_with_its_place(text: str, message: str, place: tuple[int, int]) -> None:
    with pytest.raises(ParseError) as caught:
        load_yaml(text, "f.yml")
    assert caught.value.message == f"YAML parsing failed: {message}"
    assert caught.value.origin == Origin("f.yml", *place)


def test_an_error_shows_the_lines_and_a_caret(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_text("- hosts: all\n  tasks:\n\t- ping:\n", encoding="utf-8")
    with pytest.raises(ParseError) as caught:
        load_file(path)
    assert str(caught.value) == (
        "YAML parsing failed: Tabs are usually invalid in YAML.\n"
        f"Origin: {path}:3:1\n\n"
        "1 - hosts: all\n2   tasks:\n3  - ping:\n  ^ column 1\n"
    )


def test_of_a_repeated_key_the_last_wins_and_a_warning_tells() -> None:
    warnings: list[str] = []
    assert load_yaml("a: 1\nb: 2\na: 3", "f", warn=warnings.append) == {"a": 3, "b": 2}
    assert warnings == ["Found duplicate mapping key 'a'.\nOrigin: f:3:1\n\nUsing last defined value only.\n"]


def test_a_value_that_overrides_a_merged_one_is_warned_of_too() -> None:
    warnings: list[str] = []
    assert load_yaml("{<<: {a: 1}, a: 2}", "f", warn=warnings.append) == {"a": 2}
    assert len(warnings) == 1


def test_aliases_that_blow_up_are_refused() -> None:
    lines = ["a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(ParseError, match="once its aliases are expanded"):
        load_yaml("\n".join(lines), "bomb.yml")


def test_an_alias_of_what_it_is_in_is_refused() -> None:
    with pytest.raises(ParseError, match="undefined alias"):
        load_yaml("a: &x [*x]", "f")


@pytest.mark.parametrize("text", ["[" * 5000, "{a: " * 5000, "- " * 5000])
def test_deep_nesting_is_refused(text: str) -> None:
    with pytest.raises(ParseError, match="nested more than 100 levels"):
        load_yaml(text, "deep.yml")


def test_large_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_source, "MAX_BYTES", 100)
    path = tmp_path / "f.yml"
    path.write_text("a" * 101, encoding="utf-8")
    with pytest.raises(ParseError, match="larger than"):
        load_file(path)
    with pytest.raises(ParseError, match="larger than"):
        load_yaml("a" * 101, "f")


class _Opener:
    def decrypt(self, text: str, *, origin: Origin | None = None) -> bytes:
        assert text.startswith("$ANSIBLE_VAULT;")
        return b"a: 1"


def test_a_file_vaulted_as_a_whole_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n", encoding="utf-8")
    assert load_file(path, _Opener()) == {"a": 1}
    with pytest.raises(ParseError, match="Attempting to decrypt but no vault secrets found"):
        load_file(path)


def test_a_file_that_is_not_utf8_or_not_there_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_bytes(b"a: \xff")
    with pytest.raises(ParseError, match="not UTF-8"):
        load_file(path)
    with pytest.raises(ParseError, match="could not be found"):
        load_file(tmp_path / "none.yml")


_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), max_size=12)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
)


@given(_VALUES)
def test_what_json_says_is_what_is_read(value: object) -> None:
    assert load_yaml(json.dumps([value]), "f.json") == [value]


@given(_VALUES)
def test_what_pyyaml_writes_is_what_is_read(value: object) -> None:
    assert load_yaml("---\n" + yaml.safe_dump(value, allow_unicode=True), "f.yml") == value


@given(st.text(max_size=60) | st.text("ab:-[]{}&*!|>'\"# \n\t,?<", max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    with contextlib.suppress(ParseError):
        load_yaml(text, "f.yml")


def test_text_with_lone_surrogates_is_refused() -> None:
    with pytest.raises(ParseError, match="not UTF-8"):
        load_yaml("a: \udcff", "f")
