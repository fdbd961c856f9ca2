"""free_form and actions: a task's module and arguments, in every way of writing them."""

from __future__ import annotations

import contextlib
from itertools import zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybible.server.engine.model.text import SourceDict, Trusted
from pybible.server.engine.parsing.actions import Statement, read_statement
from pybible.server.engine.parsing.free_form import join_words, parse_args, split_args, unquote
from pybible.server.engine.parsing.yaml_source import load_yaml
from pybible.wire.errors import Origin, ParseError, SourceError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("a b", ["a", "b"]),
        ("a=b c='d e'", ["a=b", "c='d e'"]),
        ('a "b c" d', ["a", '"b c"', "d"]),
        ("a  b", ["a ", "b"]),
        ("a {{ b c }} d", ["a", "{{ b c }}", "d"]),
        ("a={{ b\n c }} d", ["a={{ b\n c }}", "d"]),
        ("{% if x %}a b{% endif %} c", ["{% if x %}a", "b{% endif %}", "c"]),
        ("a \\\nb", ["a", "b"]),
        ("a\nb", ["a\n", "b"]),
    ],
)
def test_words_end_at_spaces_outside_quotes_and_templates(text: str, words: list[str]) -> None:
    assert split_args(text) == words


@pytest.mark.parametrize("text", ["a 'b", 'a "b c', "{{ a", "a {% b", "it's"])
def test_what_is_left_open_is_an_error(text: str) -> None:
    with pytest.raises(ParseError, match="unbalanced jinja2 block or quotes"):
        split_args(text)


@pytest.mark.parametrize(
    ("text", "command", "args"),
    [
        ("a=b c=d", False, {"a": "b", "c": "d"}),
        ("msg='a b'", False, {"msg": "a b"}),
        ('msg="{{ a }} b"', False, {"msg": "{{ a }} b"}),
        ("msg={{ a == b }}", False, {"msg": "{{ a == b }}"}),
        ("a=b=c", False, {"a": "b=c"}),
        ("a=", False, {"a": ""}),
        ("a=x\\ty", False, {"a": "x\ty"}),
        ("a=x\\x41y", False, {"a": "xAy"}),
        ("a\\=b c", False, {"_raw_params": "a=b c"}),
        ("=a", False, {"_raw_params": "=a"}),
        ("web a=b", False, {"a": "b", "_raw_params": "web"}),
        ("echo a=b creates=/x", True, {"_raw_params": "echo a=b", "creates": "/x"}),
        ("chdir='/a b' ls   -l", True, {"chdir": "/a b", "_raw_params": "ls   -l"}),
        ("echo 'a  b'\n  c\n", True, {"_raw_params": "echo 'a  b'\n  c\n"}),
        ('echo "creates=/x y"', True, {"_raw_params": 'echo "creates=/x y"'}),
    ],
)
def test_pairs_and_the_rest(text: str, command: bool, args: dict[str, object]) -> None:
    assert parse_args(text, command=command) == args


def test_the_parts_of_trusted_text_are_trusted_and_of_data_are_not() -> None:
    origin = Origin("f", 3, 7)
    (value,) = parse_args(Trusted("a={{ b }}", origin), command=False).values()
    assert isinstance(value, Trusted)
    assert value.origin == origin
    assert type(parse_args("a={{ b }}", command=False)["a"]) is str


_PIECES = st.lists(
    st.sampled_from(["a", "b=c", "=", " ", "  ", "'", '"', "{{", "}}", "{%", "%}", "\n", "\\", "creates=/x"]),
    max_size=14,
).map("".join)


@given(_PIECES)
def test_joined_words_are_the_text_again(text: str) -> None:
    with contextlib.suppress(ParseError):
        words = split_args(text)
        if "\\" not in text and not text.startswith(" ") and "\n " not in text:
            assert join_words(words).split() == text.split()


@given(_PIECES, st.booleans())
def test_no_text_breaks_the_splitter(text: str, command: bool) -> None:
    with contextlib.suppress(ParseError):
        assert all(isinstance(value, str) for value in parse_args(text, command=command).values())


@given(st.text(st.characters(codec="ascii", exclude_characters="'\"\\{}%#\n= ", exclude_categories=["C"]), min_size=1))
def test_quotes_come_off(text: str) -> None:
    assert unquote(f"'{text}'") == text
    assert parse_args(f'k="{text} {text}"', command=False) == {"k": f"{text} {text}"}


_NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True)
_PLAIN = st.text(
    st.characters(codec="utf-8", exclude_characters="'\"\\{}%#\n", exclude_categories=["C", "Z"]), max_size=8
)
# How a value may be written -> what it is.
_WRITTEN = st.one_of(
    _PLAIN.filter(lambda text: bool(text) and "=" not in text).map(lambda text: (text, text)),
    st.lists(_PLAIN, max_size=3).map(" ".join).map(lambda text: (f'"{text}"', text.strip())),
    st.lists(_PLAIN, max_size=3).map(" = ".join).map(lambda text: (f"'{text}'", text.strip())),
    _NAMES.map(lambda name: (f"{{{{ {name} | default('a b') }}}}", f"{{{{ {name} | default('a b') }}}}")),
)


@given(st.dictionaries(_NAMES, _WRITTEN, max_size=4), st.lists(_PLAIN.filter(lambda text: "=" not in text), max_size=3))
def test_every_pair_is_found_between_other_words(pairs: dict[str, tuple[str, str]], words: list[str]) -> None:
    words = [word for word in words if word]
    written = [f"{name}={text}" for name, (text, _value) in pairs.items()]
    mixed = [piece for group in zip_longest(words, written, fillvalue="") for piece in group if piece]
    found = parse_args(" ".join(mixed), command=False)
    assert found.pop("_raw_params", "") == " ".join(words)
    assert {name: str(value).strip() for name, value in found.items()} == {
        name: value for name, (_, value) in pairs.items()
    }


def statement(text: str) -> Statement:
    task = load_yaml(text, "f.yml")
    assert isinstance(task, SourceDict)
    return read_statement(task)


@pytest.mark.parametrize(
    ("text", "action", "args"),
    [
        ("ping:", "ping", {}),
        ("ansible.builtin.ping:", "ping", {}),
        ("ansible.legacy.command: ls", "command", {"_raw_params": "ls"}),
        ("copy: src=a dest=b", "copy", {"src": "a", "dest": "b"}),
        ("copy: {src: a, dest: b}", "copy", {"src": "a", "dest": "b"}),
        ("command: {cmd: ls, chdir: /}", "command", {"cmd": "ls", "chdir": "/"}),
        ("command: {argv: [ls]}", "command", {"argv": ["ls"]}),
        ("command: ls chdir=/\nargs: {chdir: /x, creates: y}", "command",
         {"_raw_params": "ls", "chdir": "/", "creates": "y"}),
        ("action: copy src=a dest=b", "copy", {"src": "a", "dest": "b"}),
        ("action: command ls -l chdir=/", "command", {"_raw_params": "ls -l", "chdir": "/"}),
        ("action: {module: copy, src: a}", "copy", {"src": "a"}),
        ("action: {module: copy src=a, dest: b}", "copy", {"src": "a", "dest": "b"}),
        ("action: {module: copy, args: {src: a}}", "copy", {"src": "a"}),
        ("local_action: command ls", "command", {"_raw_params": "ls"}),
        ("meta: end_play", "meta", {"_raw_params": "end_play"}),
        ("set_fact: a=b", "set_fact", {"a": "b"}),
        ("shell: |\n  a\n  b\n", "shell", {"_raw_params": "a\nb\n"}),
    ],
)  # fmt: skip
def test_every_way_to_call_a_module(text: str, action: str, args: dict[str, object]) -> None:
    read = statement(text)
    assert (read.action, read.args) == (action, args)
    assert read.local == text.startswith("local_action")


@pytest.mark.parametrize("text", ['debug: "{{ x }}"', 'debug:\nargs: "{{ x }}"'])
def test_arguments_from_one_template_are_kept_for_later(text: str) -> None:
    read = statement(text)
    assert (read.args, read.template) == ({}, "{{ x }}")


def test_a_command_that_is_a_template_stays_a_command() -> None:
    read = statement('command: "{{ x }}"')
    assert (read.args, read.template) == ({"_raw_params": "{{ x }}"}, None)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("name: x", "no module/action detected in task.", ""),
        ("hosts: all\nname: x", "couldn't resolve module/action 'hosts'.", ""),
        ("comand: ls", "couldn't resolve module/action 'comand'.", "Did you mean 'command'?"),
        ("acme.tools.press: {}", "couldn't resolve module/action 'acme.tools.press'.",
         "Its collection, or the module in it, was not found on this machine."),
        ("ping:\nwhn: x", "conflicting action statements: ping, whn", "Did you mean 'when'?"),
        ("ping:\ncommand: x", "conflicting action statements: ping, command", ""),
        ("action: ping\ncommand: x", "conflicting action statements: ping, command", ""),
        ("action: ping\nlocal_action: ping", "action and local_action are mutually exclusive", ""),
        ("command: ls\nargs: foo", "The value of the task `args` keyword is invalid.",
         "A mapping or template which resolves to a mapping is required."),
        ("debug: 5", "unexpected parameter type in action: <class 'int'>", ""),
        ("debug: msg='a", "Error loading tasks: failed at splitting arguments", ""),
    ],
)  # fmt: skip
def test_what_is_no_task_is_told(text: str, message: str, hint: str) -> None:
    with pytest.raises(ParseError) as caught:
        statement(text)
    assert caught.value.message.startswith(message)
    assert caught.value.hint == hint
    assert caught.value.origin is not None
    assert caught.value.origin.line > 0


def test_arguments_of_the_engine_itself_are_refused() -> None:
    with pytest.raises(SourceError, match="_ansible_check_mode"):
        statement("ping: {_ansible_check_mode: true}")


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        ("action: nothing a=b", "Cannot resolve 'nothing' to an action or module."),
        ("local_action: {module: acme.no.such, a: b}", "Cannot resolve 'acme.no.such' to an action or module."),
    ],
)  # fmt: skip
def test_a_module_that_is_named_by_action_is_missed_when_it_runs(text: str, lacking: str) -> None:
    found = statement(text)
    assert found.bridged is not None
    assert found.bridged.lacking == lacking
    assert found.args == {"a": "b"}
