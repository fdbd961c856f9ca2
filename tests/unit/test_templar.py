"""Rendering: trust, laziness, conditions, errors, lookups, template files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybible.server.engine.model.text import SourceDict, Trusted, Vaulted
from pybible.server.engine.templating.engine import SOURCE_LIMIT, TemplateEngine
from pybible.server.engine.templating.errors import UndefinedVariable, message_of, report_of
from pybible.server.engine.templating.files import read_template, render_source
from pybible.server.engine.templating.templar import Templar
from pybible.server.engine.templating.undefined import OMIT
from pybible.server.engine.vault import VaultSecret, VaultSecrets
from pybible.wire.errors import Origin, TemplateError

T = Trusted


def templar(engine: TemplateEngine | None = None, **variables: object) -> Templar:
    return Templar(engine or TemplateEngine(), variables)


# -- trust ------------------------------------------------------------------------------------------------------------


PATHS = [
    "{{ data }}",
    "a{{ data }}",
    "{{ [data] }}",
    "{{ {'k': data} }}",
    "{{ nested.list[0] }}",
    "{{ nested }}",
    "{{ data | upper | lower }}",
    "{{ nested | to_json | from_json }}",
    "{{ data | default('x') }}",
    "{{ passed }}",
    "{{ passed_twice }}",
    "{{ vars['data'] }}",
    "{{ lookup('vars', 'data') }}",
    "{{ query('items', [data]) }}",
    "{{ lookup('dict', {'a': data}) }}",
    "{% for x in [data] %}{{ x }}{% endfor %}",
    "{% set x = data %}{{ x }}",
    "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(data) }}",
    "{{ data if data is defined else '' }}",
    "{{ [data, data] | join(' ') }}",
    "{{ nested | combine({'z': data}) }}",
    "{{ data | string }}",
    "{{ '%s' % data }}",
    "{{ '{}'.format(data) }}",
    "{{ data ~ '' }}",
    "{{ data[:2] ~ data[2:] }}",
    "{{ data | regex_replace('^', '') }}",
    "{{ ('{' ~ '{ secret }' ~ '}') }}",
]


@pytest.mark.parametrize("path", PATHS)
def test_data_is_never_rendered(path: str) -> None:
    visible = templar(
        data="{{ secret }}",
        nested={"list": ["{{ secret }}", {"{{ secret }}": "{{ secret }}"}]},
        passed=T("{{ data }}"),
        passed_twice=T("{{ passed }}"),
        secret="LEAKED",
    )
    first = visible.render(T(path))
    assert "LEAKED" not in json.dumps(first).upper().replace("SECRET", "")
    # What came out is data too: rendering it again changes nothing.
    assert visible.render(first) == first


@pytest.mark.parametrize("lookup", ["lookup('file', 'f')", "lookup('pipe', 'cat f')", "query('lines', 'cat f')[0]"])
def test_what_a_lookup_reads_is_data(tmp_path: Path, lookup: str) -> None:
    (tmp_path / "f").write_text("{{ secret }}")
    visible = Templar(TemplateEngine(playbook_directory=tmp_path), {"secret": "LEAKED", "v": T("{{ " + lookup + " }}")})
    assert visible.render(T("{{ v }}")) == "{{ secret }}"


_texts = st.sampled_from(["{{ secret }}", "{% raw %}x{% endraw %}", "{# c #}", "{{", "}}", "plain", "{{ 1/0 }}"])
_data = st.recursive(
    st.one_of(_texts, st.text(max_size=8), st.integers(), st.booleans(), st.none()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(data=_data)
def test_any_data_comes_out_as_it_went_in(data: object) -> None:
    visible = templar(data=data, passed=T("{{ data }}"), secret="LEAKED")
    assert visible.render(data) == data
    assert visible.render(T("{{ data }}")) == data
    assert visible.render({"a": [T("{{ passed }}")]}) == {"a": [data]}


def test_a_conditional_that_is_data_is_refused() -> None:
    with pytest.raises(TemplateError, match=r"Encountered untrusted template or expression\."):
        templar(expression="1 == 1").condition((T("{{ expression }}"),))
    with pytest.raises(TemplateError, match=r"Encountered untrusted template or expression\."):
        templar().condition(("1 == 1",))


@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ lookup.__globals__ }}",
        "{{ '{0.__class__.__init__.__globals__}'.format(now()) }}",
        "{{ (lookup | attr('__globals__')) }}",
        "{{ self._TemplateReference__context }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ [] | map(attribute='__class__') | list }}{{ [1] | map(attribute='__class__') | list }}",
        "{{ hv._templar }}",
        "{{ hv.origin }}",
        "{{ hv.realize }}",
        "{{ hd.realize() }}",
        "{{ trusted.origin }}",
    ],
)
def test_the_sandbox_holds(attack: str) -> None:
    with pytest.raises(TemplateError):
        templar(hv=[1], hd={}, trusted=T("x")).render(T(attack))


# -- laziness ---------------------------------------------------------------------------------------------------------


def test_only_what_is_used_is_rendered() -> None:
    visible = templar(d={"good": T("{{ 1 + 1 }}"), "bad": T("{{ 1 / 0 }}")})
    assert visible.render(T("{{ d.good }}")) == 2
    with pytest.raises(TemplateError, match="division by zero"):
        visible.render(T("{{ d }}"))


def test_a_template_that_changes_a_container_does_not_change_the_variable() -> None:
    source: dict[str, object] = {"d": {"a": 1}, "l": [1]}
    visible = Templar(TemplateEngine(), source)
    assert visible.render(T("{% set _ = d.update({'b': 2}) %}{{ d }}")) == {"a": 1, "b": 2}
    assert visible.render(T("{% set _ = l.append(2) %}{{ l }}")) == [1, 2]
    assert visible.render(T("{{ d }} {{ l }}")) == "{'a': 1} [1]"
    assert source == {"d": {"a": 1}, "l": [1]}


def test_a_value_that_depends_on_chance_is_made_anew() -> None:
    visible = templar(r=T("{{ (10 ** 12) | random }}"), s=T("{{ r }}"))
    assert visible.render(T("{{ r }}")) != visible.render(T("{{ s }}"))


def test_a_loop_of_variables_is_an_error_at_its_place() -> None:
    place = Origin("play.yml", 3, 9)
    visible = templar(a=T("{{ b }}", place), b=T("{{ a }}"), c={"x": T("{{ c }}")})
    with pytest.raises(TemplateError, match="Recursive loop detected in template") as caught:
        visible.render(T("{{ a }}"))
    assert caught.value.origin == place
    with pytest.raises(TemplateError, match="Recursive loop detected in template"):
        visible.render(T("{{ c }}"))


def test_a_long_chain_of_variables_is_no_loop() -> None:
    chain: dict[str, object] = {f"v{n}": T(f"{{{{ v{n + 1} }}}}") for n in range(40)}
    chain["v40"] = "end"
    assert Templar(TemplateEngine(), chain).render(T("{{ v0 }}")) == "end"


def test_inner_variables_win_over_outer_ones() -> None:
    outer = templar(a=1, b=T("{{ a }}"))
    assert outer.with_variables({"a": 2}).render(T("{{ b }}")) == 2
    assert outer.render(T("{{ b }}")) == 1


def test_vaulted_values_are_decrypted_when_used() -> None:
    secrets = VaultSecrets((VaultSecret("default", b"pw"),))
    vaulted = Vaulted(secrets.encrypt(b"{{ one }}st"))
    visible = templar(TemplateEngine(vault=secrets), v=vaulted, one=1)
    # As ansible-core 2.19: what was encrypted is data, not a template.
    assert visible.render(T("{{ v }} {{ v is vault_encrypted }} {{ v | type_debug }}")) == "{{ one }}st True str"
    assert visible.render({"a": vaulted}) == {"a": "{{ one }}st"}
    assert type(visible.render(T("{{ v }}"))) is str
    with pytest.raises(TemplateError) as caught:
        templar(v=vaulted).render(T("{{ v }}"))
    told = "Attempt to use undecryptable variable: Attempting to decrypt but no vault secrets found."
    assert message_of(caught.value) == f"Error rendering template: {told}"


# -- arguments and errors ---------------------------------------------------------------------------------------------


def test_omitted_arguments_are_left_out_everywhere() -> None:
    visible = templar(nothing=T("{{ undefined_one | default(omit) }}"))
    args = {"a": T("{{ omit }}"), "b": [T("{{ nothing }}"), 1], "c": {"d": T("{{ nothing }}")}, "e": T("x{{ omit }}")}
    assert visible.render_args(args) == {"b": [1], "c": {}, "e": "x"}
    assert visible.render(T("{{ omit }}")) is OMIT


def test_an_argument_that_fails_is_named_and_shown(tmp_path: Path) -> None:
    file = tmp_path / "play.yml"
    file.write_text("- debug:\n    msg: '{{ inner }}'\n  vars:\n    inner: '{{ foo }}'\n")
    args = SourceDict({"msg": T("{{ inner }}", Origin(str(file), 2, 10))}, Origin(str(file), 2, 5))
    visible = templar(inner=T("{{ foo }}", Origin(str(file), 4, 12)))
    with pytest.raises(TemplateError) as caught:
        visible.render_args(args, action="debug")
    assert message_of(caught.value) == (
        "Finalization of task args for 'ansible.builtin.debug' failed: "
        "Error while resolving value for 'msg': 'foo' is undefined"
    )
    assert report_of(caught.value) == (
        f"{message_of(caught.value)}\n\n"
        f"Finalization of task args for 'ansible.builtin.debug' failed.\nOrigin: {file}:2:5\n\n"
        "1 - debug:\n2     msg: '{{ inner }}'\n      ^ column 5\n\n"
        "<<< caused by >>>\n\n"
        f"Error while resolving value for 'msg'.\nOrigin: {file}:2:10\n\n"
        "1 - debug:\n2     msg: '{{ inner }}'\n           ^ column 10\n\n"
        "<<< caused by >>>\n\n"
        f"'foo' is undefined\nOrigin: {file}:4:12\n\n"
        "2     msg: '{{ inner }}'\n3   vars:\n4     inner: '{{ foo }}'\n             ^ column 12"
    )


def test_levels_of_one_place_are_shown_together() -> None:
    place = Origin("<CLI>")
    with pytest.raises(TemplateError) as caught:
        templar().render_args({"msg": T("{{ foo }}", place)})
    assert report_of(caught.value) == "Error while resolving value for 'msg': 'foo' is undefined\nOrigin: <CLI>"


def test_what_is_undefined_can_be_noted_instead() -> None:
    visible = templar(d={"a": 1})
    assert visible.render_noting(T("task {{ foo }} on {{ d.a }}")) == (
        "task << error 1 - 'foo' is undefined >> on 1",
        ["'foo' is undefined"],
    )
    assert visible.evaluate_noting(T("[foo, d.a]"))[0] == ["<< error 1 - 'foo' is undefined >>", 1]


def test_an_argument_may_name_an_expression_by_a_template() -> None:
    visible = templar(name=T("one"), one=1, data="one")
    assert visible.expression(T("one + 1")) == "one + 1"
    assert visible.expression(T("{{ name }}")) == "one"
    assert visible.expression(T("{{ [one] }}")) == [1]
    with pytest.raises(TemplateError, match="untrusted"):
        visible.expression(T("{{ data }}"))


@pytest.mark.parametrize("text", ["{{ 'a' * 70000000 ~ 'b' }}{{ 1 }}", "x" * (SOURCE_LIMIT + 1) + "{{ 1 }}"])
def test_templates_are_bounded(text: str) -> None:
    with pytest.raises(TemplateError, match="at most"):
        templar().render(T(text))


# -- conditions -------------------------------------------------------------------------------------------------------

BROKEN = "Conditionals must have a boolean result."


@pytest.mark.parametrize(
    ("expressions", "holds"),
    [
        ((), True),
        ((None,), True),
        ((True, True), True),
        ((False,), False),
        ((T("one == 1"), T("  not no\n")), True),
        ((T("one == 2"), T("undefined_one")), False),
        ((T("true"),), True),
        ((T("{{ one == 1 }}"),), True),
        ((T(" {{ one == 1 }} "),), True),
        ((T("{{ expression }}"),), True),
        ((T("'{{ one }}' == '1'"),), False),
        ((T("one in [1, 2] and text is match('t')"),), True),
    ],
)
def test_conditions_hold_or_not(expressions: tuple[object, ...], holds: bool) -> None:
    visible = templar(one=1, no=False, text="text", expression=T("one == 1"))
    assert visible.condition(expressions)[0] is holds


def test_the_first_condition_that_does_not_hold_is_returned_as_written() -> None:
    assert templar(a=1).condition((T("a == 1"), T("a == 2"), T("a == 3"))) == (False, "a == 2")


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (T("text"), f"Conditional result (True) was derived from value of type 'str' at 'vars.yml:2:3'. {BROKEN}"),
        (
            T("'a'", Origin("p.yml", 1, 2)),
            f"Conditional result (True) was derived from value of type 'str' at 'p.yml:1:2'. {BROKEN}",
        ),
        (T("one"), f"Conditional result (True) was derived from value of type 'int' at '<unknown>'. {BROKEN}"),
        (T("[]"), f"Conditional result (False) was derived from value of type 'list' at '<unknown>'. {BROKEN}"),
        (T("none"), f"Conditional result (False) was derived from value of type 'NoneType' at '<unknown>'. {BROKEN}"),
        (1, "Conditional expressions must be strings."),
        ({}, "Conditional expressions must be strings."),
        (T(""), "Empty conditional expressions are not allowed."),
        (T("foo"), "Error while evaluating conditional: 'foo' is undefined"),
        (T("d.x == 1"), "Error while evaluating conditional: object of type 'dict' has no attribute 'x'"),
        (T("ud == 1"), "Error while evaluating conditional: 'foo' is undefined"),
        (T("one = 1"), "Syntax error in expression: chunk after expression"),
        (T("one | nope"), "Syntax error in expression: No filter named 'nope'."),
        (
            T("{{ one }} and one"),
            "Syntax error in expression. Template delimiters are not supported in expressions: "
            "expected token ':', got '}'",
        ),
        (T("1/0"), "Error rendering expression: division by zero"),
    ],
)  # fmt: skip
def test_broken_conditions_say_what_ansible_core_says(expression: object, message: str) -> None:
    visible = templar(text=T("yes", Origin("vars.yml", 2, 3)), one=1, d={}, ud=T("{{ foo }}"))
    with pytest.raises(TemplateError) as caught:
        visible.condition((expression,))
    assert message_of(caught.value) == message


def test_broken_conditions_can_be_allowed() -> None:
    engine = TemplateEngine(allow_broken_conditionals=True)
    assert templar(engine, text="yes").condition((T("text"),))[0]


# -- lookups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "terms", "items"),
    [
        ("items", [1, [2, [3]]], [1, 2, [3]]),
        ("items", "ab", ["ab"]),
        ("list", [1, [2]], [1, [2]]),
        ("dict", {"a": 1}, [{"key": "a", "value": 1}]),
        ("nested", [["a", "b"], [1]], [["a", 1], ["b", 1]]),
        ("together", [["a", "b"], [1]], [["a", 1], ["b", None]]),
        ("indexed_items", ["a"], [[0, "a"]]),
        ("sequence", "start=4 end=8 stride=2 format=h%02d", ["h04", "h06", "h08"]),
        ("sequence", "2-6/2", ["2", "4", "6"]),
        ("sequence", "count=0", []),
        ("subelements", [[{"n": 1, "l": ["a", "b"]}], "l"], [[{"n": 1}, "a"], [{"n": 1}, "b"]]),
        ("ansible.builtin.items", T("{{ [1, 2] }}"), [1, 2]),
    ],
)
def test_with_loops_get_their_items(name: str, terms: object, items: list[object]) -> None:
    assert templar().lookup(name, terms) == items


def test_files_are_looked_up_along_the_search_path(tmp_path: Path) -> None:
    role, play = tmp_path / "role", tmp_path / "play"
    for folder in (role / "files", role / "templates", play / "files"):
        folder.mkdir(parents=True)
    (role / "files" / "f.txt").write_text("role\n")
    (play / "files" / "f.txt").write_text("play\n")
    (play / "files" / "g.txt").write_text(" g {{ a }}\n\n")
    (role / "templates" / "t.j2").write_text("{% include 'part.j2' %}-{{ a }}\n")
    (role / "templates" / "part.j2").write_text("part {{ a }}\n")
    engine = TemplateEngine(playbook_directory=play)
    visible = Templar(engine, {"a": 1}, search_path=(role, play))
    assert visible.render(T("{{ lookup('file', 'f.txt', 'g.txt') }}")) == "role, g {{ a }}"
    assert visible.render(T("{{ lookup('template', 't.j2') }}")) == "part 1-1\n"
    assert visible.lookup("fileglob", ["*.txt"]) == [str(role / "files" / "f.txt")]
    assert visible.lookup("first_found", [T("{{ nope }}.txt"), "g.txt"]) == [str(play / "files" / "g.txt")]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("lookup('nope')", "The lookup plugin 'nope' was not found."),
        (
            "lookup('file', '/nope/f')",
            "The lookup plugin 'file' failed: Unable to access the file '/nope/f': File not found. "
            "Use -vvvvv to see paths searched.",
        ),
        ("lookup('pipe', 'exit 3')", "The lookup plugin 'pipe' failed: lookup_plugin.pipe(exit 3) returned 3"),
        ("lookup('vars', 'nope')", "No variable named 'nope' was found."),
        ("lookup('file', foo)", "'foo' is undefined"),
        ("query('nested')",
         "The lookup plugin 'nested' failed: with_nested requires at least one element in the nested list"),
    ],
)  # fmt: skip
def test_lookups_that_fail_say_so(template: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        templar().render(T("{{ " + template + " }}"))
    assert message_of(caught.value) == message


def test_a_lookup_may_be_let_fail() -> None:
    warnings: list[str] = []
    engine = TemplateEngine(warn=warnings.append)
    assert templar(engine).render(T("{{ query('file', '/nope', errors='ignore') }}")) == []
    assert templar(engine).render(T("{{ lookup('file', '/nope', errors='warn') }}")) is None
    assert len(warnings) == 1


@pytest.mark.parametrize(
    ("filter", "hashed"),
    [
        # The vectors of "Unix crypt using SHA-256 and SHA-512", by U. Drepper.
        (
            "password_hash('sha512', 'saltstring')",
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        ),
        (
            "password_hash('sha256', 'saltstringsaltst', rounds=10000)",
            "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA",
        ),
    ],
)
def test_passwords_are_hashed_as_crypt_does(filter: str, hashed: str) -> None:
    assert templar(password="Hello world!").render(T("{{ password | " + filter + " }}")) == hashed


def test_a_password_is_made_once_and_kept(tmp_path: Path) -> None:
    visible = Templar(TemplateEngine(playbook_directory=tmp_path), {})
    password = visible.render(T("{{ lookup('password', 'kept/pw length=12 chars=digits') }}"))
    assert isinstance(password, str)
    assert len(password) == 12
    assert password.isdigit()
    assert visible.render(T("{{ lookup('password', 'kept/pw length=12 chars=digits') }}")) == password
    assert (tmp_path / "kept" / "pw").stat().st_mode & 0o777 == 0o600


# -- template files and plugins ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("a {{ x }}\n", "a 1\n"),
        ("a {{ x }}", "a 1"),
        ("{% if x %}\ny\n{% endif %}\n", "y\n"),
        ("#jinja2: trim_blocks:False\n{% if x %}\ny\n{% endif %}\n", "\ny\n"),
        ("#jinja2: variable_start_string:'[[', variable_end_string:']]'\n[[ x ]] {{ x }}\n", "1 {{ x }}\n"),
        ("#jinja2: lstrip_blocks: True\n  {% if x %}\ny\n  {% endif %}\nz\n", "y\nz\n"),
        ("{{ 'a\\nb' }}\n\n", "a\nb\n\n"),
        ("#jinja2: newline_sequence:'\\r\\n'\na\n{{ x }}\n", "a\r\n1\r\n"),
        ("{{ ansible_managed }} {{ template_path | basename }} {{ template_destpath }}", "Ansible managed t.j2 /etc/t"),
        ("{% from 'macros.j2' import m %}{{ m(2) }}", "<2 1>"),
        ("", None),
    ],
)
def test_template_files_render(tmp_path: Path, text: str, rendered: object) -> None:
    (tmp_path / "t.j2").write_text(text)
    (tmp_path / "macros.j2").write_text("{% macro m(y) %}<{{ y }} {{ x }}>{% endmacro %}")
    source = read_template(tmp_path / "t.j2")
    assert render_source(templar(x=1), source, destination="/etc/t") == rendered


def test_a_template_file_that_fails_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.j2").write_text("{{ foo }} {{ 1 }}")
    with pytest.raises(UndefinedVariable) as caught:
        render_source(templar(), read_template(tmp_path / "t.j2"))
    assert caught.value.origin == Origin(str(tmp_path / "t.j2"))


def test_filters_and_tests_beside_a_playbook_are_found(tmp_path: Path) -> None:
    (tmp_path / "filter_plugins").mkdir()
    (tmp_path / "test_plugins").mkdir()
    (tmp_path / "filter_plugins" / "mine.py").write_text(
        "class FilterModule:\n    def filters(self):\n        return {'shout': lambda s: s.upper() + '!'}\n"
    )
    (tmp_path / "test_plugins" / "mine.py").write_text(
        "class TestModule:\n    def tests(self):\n        return {'loud': lambda s: s.endswith('!')}\n"
    )
    engine = TemplateEngine()
    engine.add_plugins(tmp_path)
    assert templar(engine).render(T("{{ 'a' | shout }} {{ ('a' | shout) is loud }}")) == "A! True"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import not_there_at_all\n", "No module named 'not_there_at_all'"),
        ("class FilterModule:\n    def filters(self):\n        raise ValueError('oh')\n", "oh"),
    ],
)
def test_a_plugin_file_that_fails_is_warned_of_and_skipped(tmp_path: Path, text: str, why: str) -> None:
    folder = tmp_path / "filter_plugins"
    folder.mkdir()
    (folder / "bad.py").write_text(text)
    (folder / "good.py").write_text(
        "class FilterModule:\n    def filters(self):\n        return {'twice': lambda x: x * 2}\n"
    )
    warnings: list[str] = []
    engine = TemplateEngine(warn=warnings.append)
    engine.add_plugins(tmp_path)
    assert warnings == [f"Skipping plugin ({folder / 'bad.py'}), cannot load: {why}"]
    assert templar(engine).render(T("{{ 2 | twice }}")) == 4
