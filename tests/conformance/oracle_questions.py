"""oracle_questions: inventories, patterns, `k=v` texts and sets of variables that ansible-core is asked about.

The same seed makes the same questions; `python -m tests.conformance.oracle` records the answers in oracle/.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

SEED = 20261124
Question = dict[str, object]

_HOSTS = (
    "h1", "h2", "db", "web1.example.com", "10.0.0.1", "h[1:3]", "db[a:c]", "w[01:10:3].x", "n[1:2]-[a:b]",
    "h1:2222", "[::1]", "[::1]:22", "h[3:1]", "x[08:11]", "x[8:11]", "x[1:5:2]", "x[A:C]", "x[a:e:2]", "h_1",
    "under-score", "h2:0",
)  # fmt: skip
_INI_HOSTS = tuple(host for host in _HOSTS if not host.startswith("["))
_BAD_HOSTS = ("h[1:]", "h[:3]", "h[1]", "h[1:2", "h[01:9]", "h[c:a]", "h[1:5:0]", "h[1:y]", "h:", "---", "h[1:2:3:4]")
_VALUES = (
    "1", "1.5", "-2", "True", "false", "yes", "None", "word", "'single'", '"double"', '"with space"', "'[1, 2]'",
    '"{\'a\': 1}"', "[1,2]", "0x10", "010", "1_000", "1e3", "a#b", "a=b", "'a # b'", "''", '"{{ t }}"', "\\\\n", "(1,)",
    "\"'quoted'\"", "path/to", "~", "1.2.3", "+5", "'1'", "\"'1'\"", "k:v",
)  # fmt: skip
_VAR_VALUES = (
    *_VALUES, "two words", "a # comment", "[1, 2, 'x']", "{'a': [1]}", "  spaced  ", "'it''s'", "# none", '"a" b',
)  # fmt: skip
NAMES = ("v1", "v2", "v3", "long_name")
_GROUPS = ("a", "b", "c", "d", "e")


def questions() -> dict[str, list[Question]]:
    """Return all questions by what they are about."""
    return {
        "ranges": [{"ini": f"[g]\n{text}\n"} for text in ranges(random.Random(SEED))],
        "ini": [{"ini": ini(random.Random(SEED + number))} for number in range(300)],
        "patterns": patterns(random.Random(SEED)),
        "pairs": pairs(random.Random(SEED)),
    }


def ranges(choose: random.Random) -> list[str]:
    """Return host lines: those above, and put together from pieces."""
    made = [*_HOSTS, *_BAD_HOSTS]
    pieces = ("h", "[", "]", ":", "1", "3", "01", "12", "a", "c", "-", ".", "0", "[1:3]", "[a:c]", "[01:03]", "_", "9")
    while len(made) < 300:
        made.append("h" + "".join(choose.choice(pieces) for _ in range(choose.randint(1, 7))))
    return list(dict.fromkeys(made))


def ini(choose: random.Random) -> str:
    """Return an inventory: now and then one that is wrong."""
    lines: list[str] = []
    wrong = choose.random() < 0.15
    for _ in range(choose.randint(1, 7)):
        group = choose.choice(_GROUPS)
        kind = choose.choice(("", "", "", ":children", ":vars"))
        if choose.random() < 0.9:
            lines.append(f"[{group}{kind}]" + choose.choice(("", "", "  ", " # comment")))
        for _ in range(choose.randint(0, 3)):
            if kind == ":children":
                lines.append(choose.choice(_GROUPS) + choose.choice(("", "", " # c")))
            elif kind == ":vars":
                name = choose.choice((*NAMES, "ansible_group_priority"))
                value = str(choose.randint(1, 20)) if name == "ansible_group_priority" else choose.choice(_VAR_VALUES)
                lines.append(f"{name}{choose.choice(('=', ' = '))}{value}")
            else:
                given = [f"{name}={choose.choice(_VALUES)}" for name in choose.sample(NAMES, choose.randint(0, 2))]
                lines.append(" ".join([choose.choice(_INI_HOSTS), *given]) + choose.choice(("", "", " # c", "  ")))
        if choose.random() < 0.1:
            lines.append(choose.choice(("", "# comment", "; comment", "   ")))
    if choose.random() < 0.85:
        # Groups that are only named are an error.
        lines += [f"[{group}]" for group in _GROUPS]
    if wrong:
        bad = choose.choice((*_BAD_HOSTS, "h1 a b", "[a:what]", "[a b]", "h1 a='x", "=1", "[", "[]", "a=1", "h1 =1"))
        lines.insert(choose.randint(0, len(lines)), bad)
    return "\n".join(lines) + "\n"


# Hosts in several groups, names that are prefixes of others.
FLAT_INVENTORY = """
lone
[web]
web1
web2
web10
[db]
db1
db2
web2
[eu]
web1
db1
[one]
o1
o2
o3
"""
# ansible-core has no order of its own for hosts of groups in groups.
NESTED_INVENTORY = f"""{FLAT_INVENTORY}
[site:children]
web
db
[all_eu:children]
eu
one
"""


def patterns(choose: random.Random) -> list[Question]:
    """Return patterns, alone and with a limit."""
    flat = (
        "all", "*", "web", "db", "eu", "site", "all_eu", "one", "lone", "web1", "web*", "*1", "w?b1", "[wd]*",
        "~web\\d+", "~(web|db)1", "~.*[02]$", "web[0]", "web[-1]", "web[0:1]", "site[1:]", "all[0]", "all[2:4]",
        "one[0-1]", "web[5]", "ungrouped", "nothing", "localhost", "o[1:2]", "site[-2]", "eu[0:0]", "WEB", "web.",
        "~WEB", "*:!localhost", "all[-1]", "db[0:]",
    )  # fmt: skip
    unordered = tuple(pattern for pattern in flat if "[" not in pattern)
    made: list[Question] = []
    for number in range(400):
        nested = number % 2 == 1
        single = unordered if nested else flat
        pieces = [choose.choice(("", "", "", "&", "!")) + choose.choice(single) for _ in range(choose.randint(1, 4))]
        limit = choose.choice(("", "", choose.choice(single)))
        made.append({"pattern": choose.choice((":", ",")).join(pieces), "limit": limit, "nested": nested})
    return made


def pairs(choose: random.Random) -> list[Question]:
    """Return texts of `module: k=v ...`."""
    pieces = (
        "a", "b=c", "k=", "=v", "=", " ", " ", "  ", "'", '"', "{{ x }}", "{{", "}}", "{% if a %}", "%}", "\n", "\\",
        "\\\n", "creates=/x", "chdir='/a b'", 'd="e f"', "x='y=z'", "u=\\x41", "p=a\\=b", "# c", "\t", "{# n #}",
        'q="\\""', "é=ü", "m={{ a | b('c d') }}", "n='{{ \"a\" }}'", "echo", "&&", "-l",
    )  # fmt: skip
    made: list[Question] = []
    seen = set()
    while len(made) < 500:
        text = "".join(choose.choice(pieces) for _ in range(choose.randint(1, 9)))
        if text not in seen:
            seen.add(text)
            made.append({"text": text, "raw": choose.random() < 0.4})
    return made


# Every place where a variable may be set that a run without a terminal has, in no order.
LEVELS = (
    "role_defaults", "inventory_all", "inventory_group", "inventory_parent_group", "inventory_group_vars_all",
    "playbook_group_vars_all", "inventory_group_vars", "playbook_group_vars", "inventory_host", "inventory_host_vars",
    "playbook_host_vars", "facts", "play_vars", "vars_prompt", "vars_files", "role_vars", "block_vars", "task_vars",
    "include_vars", "set_fact", "registered", "role_params", "role_entry_vars", "include_params", "include_role_vars",
    "extra_vars",
)  # fmt: skip


def variable_sets(count: int = 300) -> dict[str, tuple[str, ...]]:
    """Return variables by name, each with the levels at which it is set."""
    choose = random.Random(SEED)
    return {f"x{number}": _levels(choose) for number in range(count)}


def _levels(choose: random.Random) -> tuple[str, ...]:
    return tuple(choose.sample(LEVELS, choose.choice((1, 2, 2, 2, 3, 4, 6))))


def at(level: str, sets: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Return what a level sets: each variable to the level's own name."""
    return {name: level for name, levels in sets.items() if level in levels}


def sorted_names(sets: Mapping[str, object]) -> list[str]:
    """Return the variables' names in their order."""
    return sorted(sets, key=lambda name: int(name[1:]))
