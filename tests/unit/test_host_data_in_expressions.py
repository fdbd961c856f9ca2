"""test_host_data_in_expressions: a host answers with a template; whatever an expression makes of it, it stays text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.bad_host import BadHost, holds, looks, run, screen_of


@pytest.fixture
def bad(tmp_path: Path) -> BadHost:
    return BadHost(tmp_path / "marker")


EXPRESSIONS = {
    "a registered text": "answer.stdout",
    "a registered list": "answer.stdout_lines",
    "something nested": "answer.nested.deep[1]",
    "a key": "answer.by_name | first",
    "the whole result": "answer",
    "a warning": "answer.warnings[0]",
    "a fact that is a variable": "ansible_evil",
    "a fact without prefix": "plain_evil",
    "a fact in ansible_facts": "ansible_facts.evil",
    "a fact in a list": "evil_list[0]",
    "a fact in a mapping": "evil_map.key",
    "a fact of the host's owner": "ansible_local.own.evil",
    "the same in ansible_facts": "ansible_facts.ansible_local.own.evil",
    "hostvars of itself": "hostvars['h1'].answer.stdout",
    "hostvars of another": "hostvars.h2.ansible_evil",
    "hostvars through map": "groups.all | map('extract', hostvars, 'ansible_evil') | list",
    "hostvars through json": "hostvars['h2'] | to_json | from_json",
    "vars": "vars['ansible_evil']",
    "vars, a registered one": "vars.answer.stdout",
    "the lookup vars": "lookup('vars', 'ansible_evil')",
    "the lookup vars with a default": "lookup('vars', 'nothing', default=answer.stdout)",
    "the lookup list": "query('list', answer.stdout_lines)",
    "the lookup items": "query('items', answer.stdout_lines)",
    "the lookup dict": "query('dict', answer.by_name)",
    "the lookup indexed_items": "query('indexed_items', answer.stdout_lines)",
    "the lookup nested": "query('nested', answer.stdout_lines, ['a'])",
    "the lookup together": "query('together', answer.stdout_lines, ['a'])",
    "the lookup subelements": "query('subelements', [{'a': answer.stdout_lines}], 'a')",
    "the lookup random_choice": "lookup('random_choice', answer.stdout_lines)",
    "what a command printed": "lookup('pipe', 'printf %s ' ~ (answer.stdout | quote))",
    "lines of a command": "query('lines', 'printf %s ' ~ (answer.stdout | quote))",
    "a default": "nothing | default(answer.stdout)",
    "ternary": "true | ternary(answer.stdout, 'no')",
    "combine": "{'a': 1} | combine({'a': answer.stdout})",
    "combine of answers": "answer.evil_map | default({}) | combine(answer.nested, recursive=True)",
    "b64decode": "answer.encoded | b64decode",
    "from_json": "answer.json | from_json",
    "from_yaml": "answer.yaml | from_yaml",
    "from_yaml_all": "answer.yaml | from_yaml_all | list",
    "to_json": "answer | to_json",
    "to_nice_json": "answer.nested | to_nice_json",
    "to_yaml": "answer.stdout | to_yaml(width=1000) | from_yaml",
    "to_nice_yaml": "answer | to_nice_yaml | from_yaml",
    "dict2items": "answer.by_name | dict2items",
    "items2dict": "answer.pairs | items2dict",
    "join": "answer.stdout_lines | join(',')",
    "split": "('a;' ~ answer.stdout) | split(';')",
    "replace": "'x' | replace('x', answer.stdout)",
    "regex_replace": "'x' | regex_replace('x', answer.stdout)",
    "regex_findall": "answer.stdout | regex_findall('.+')",
    "regex_search": "answer.stdout | regex_search('.+')",
    "flatten": "[[answer.stdout]] | flatten",
    "unique": "answer.stdout_lines | unique",
    "zip": "answer.stdout_lines | zip([1])",
    "product": "answer.stdout_lines | product([1])",
    "map of an attribute": "[answer] | map(attribute='stdout')",
    "selectattr": "[answer] | selectattr('stdout', 'search', 'lookup') | map(attribute='stdout')",
    "groupby": "answer.pairs | groupby('key')",
    "format": "'%s' | format(answer.stdout)",
    "string": "answer.stdout | string",
    "indent": "answer.stdout | indent(2)",
    "comment": "answer.stdout | comment",
    "trim": "(' ' ~ answer.stdout ~ ' ') | trim",
    "percent": "'%s' % answer.stdout",
    "text put together": "'a ' ~ answer.stdout ~ ' b'",
    "text added": "answer.stdout + ''",
    "lists added": "answer.stdout_lines + ['a']",
    "a method of text": "answer.stdout.replace('zz', 'y')",
    "a method of a mapping": "answer.by_name.values() | list",
    "a condition's branch": "answer.stdout if true else ''",
    "one's own filter": "answer.stdout | mirror",
    "one's own lookup": "lookup('mirror', answer.stdout)",
    "extract": "'stdout' | extract(answer)",
    "urldecode": "answer.stdout | urldecode",
    "type's own text": "answer.nested | string",
}  # fmt: skip

PLUGINS = {
    "filter_plugins/mirror.py": """
        class FilterModule:
            def filters(self):
                return {"mirror": lambda value: value}
        """,
    "lookup_plugins/mirror.py": """
        class LookupModule:
            def run(self, terms, variables=None, **options):
                return terms
        """,
}


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS.keys())
async def test_what_an_expression_makes_of_it(tmp_path: Path, bad: BadHost, expression: str) -> None:
    # Twice over: through a variable of the task's, through a fact that is set, and through what that shows.
    played = await run(
        tmp_path,
        bad,
        f"""
        - name: look
          debug:
            msg: "{{{{ {expression} }}}}"
        - name: look
          debug:
            msg: ["a {{{{ chained }}}}", "{{{{ chained }}}}"]
          vars:
            chained: "{{{{ {expression} }}}}"
        - set_fact:
            passed: "{{{{ {expression} }}}}"
        - name: look
          debug: var=passed
        - name: look
          debug:
            msg: "{{{{ hostvars.h1.passed }}}}"
        """,
        files=PLUGINS,
    )

    found = looks(played)
    assert len(found) == 4, played.results()[-1].result
    plain = bad.text if "json" not in expression else json.dumps(bad.text)[1:-1]
    assert all(holds(result, plain) for result in found), found
    assert plain in screen_of(played)
