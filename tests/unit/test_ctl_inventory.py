"""test_ctl_inventory: `pybible-ctl inventory`: what ansible-inventory 2.19.14 prints for the same files."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybible.server.cli.exits import exit_status_of
from pybible.server.cli.main import ctl
from tests.support.playbooks import write

FILES = {
    "hosts": (
        'top ansible_host=1.2.3.4 z=1 a="x y"\n[web]\nw[1:2] n=1\n[db]\nd1\nw1\n[eu:children]\nweb\ndb\n'
        '[eu:vars]\nprio={"k": [1, 2.5]}\nansible_group_priority=3\n[empty]\n'
    ),
    "group_vars/web.yml": (
        'uns: !unsafe "{{ no }}"\ntmpl: "{{ n + 1 }}"\ndate: 2020-01-02\nlist: [1, {x: é}]\nmulti: "l1\\nl2\\n"\n'
    ),
    "host_vars/w1.yml": "hv: [1, {a: b}]\n",
}

LIST = """\
{
    "_meta": {
        "hostvars": {
            "w2": {
                "date": "2020-01-02",
                "list": [
                    1,
                    {
                        "x": "é"
                    }
                ],
                "multi": "l1\\nl2\\n",
                "n": 1,
                "prio": {
                    "k": [
                        1,
                        2.5
                    ]
                },
                "tmpl": "{{ n + 1 }}",
                "uns": {
                    "__ansible_unsafe": "{{ no }}"
                }
            }
        },
        "profile": "inventory_legacy"
    },
    "all": {
        "children": [
            "ungrouped",
            "eu",
            "empty"
        ]
    },
    "eu": {
        "children": [
            "web",
            "db"
        ]
    },
    "web": {
        "hosts": [
            "w2"
        ]
    }
}
"""

EXPORTED = """\
all:
  children:
    eu:
      children:
        db:
          hosts:
            d1: {}
            w1: {}
        web:
          hosts:
            w1:
              hv:
              - 1
              - a: b
              n: 1
            w2:
              n: 1
          vars:
            date: 2020-01-02
            list:
            - 1
            - x: é
            multi: 'l1

              l2

              '
            tmpl: '{{ n + 1 }}'
            uns: '{{ no }}'
      vars:
        ansible_group_priority: 3
        prio:
          k:
          - 1
          - 2.5
    ungrouped:
      hosts:
        top:
          a: x y
          ansible_host: 1.2.3.4
          z: 1
"""

GRAPH = """\
@eu:
  |--@web:
  |  |--w1
  |  |  |--{date = 2020-01-02}
  |  |  |--{hv = [1, {'a': 'b'}]}
  |  |  |--{list = [1, {'x': 'é'}]}
  |  |  |--{multi = l1
l2
}
  |  |  |--{n = 1}
  |  |  |--{prio = {'k': [1, 2.5]}}
  |  |  |--{tmpl = {{ n + 1 }}}
  |  |  |--{uns = {{ no }}}
  |  |--w2
  |  |  |--{date = 2020-01-02}
  |  |  |--{list = [1, {'x': 'é'}]}
  |  |  |--{multi = l1
l2
}
  |  |  |--{n = 1}
  |  |  |--{prio = {'k': [1, 2.5]}}
  |  |  |--{tmpl = {{ n + 1 }}}
  |  |  |--{uns = {{ no }}}
  |  |--{date = 2020-01-02}
  |  |--{list = [1, {'x': 'é'}]}
  |  |--{multi = l1
l2
}
  |  |--{tmpl = {{ n + 1 }}}
  |  |--{uns = {{ no }}}
  |--@db:
  |  |--d1
  |  |  |--{prio = {'k': [1, 2.5]}}
  |  |--w1
  |  |  |--{date = 2020-01-02}
  |  |  |--{hv = [1, {'a': 'b'}]}
  |  |  |--{list = [1, {'x': 'é'}]}
  |  |  |--{multi = l1
l2
}
  |  |  |--{n = 1}
  |  |  |--{prio = {'k': [1, 2.5]}}
  |  |  |--{tmpl = {{ n + 1 }}}
  |  |  |--{uns = {{ no }}}
  |--{ansible_group_priority = 3}
  |--{prio = {'k': [1, 2.5]}}
"""

HOST = """\
hv:
- 1
- a: b
n: 1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path / "inv", FILES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def run(*words: str) -> int:
    return exit_status_of(lambda: ctl.main(["inventory", *words], standalone_mode=False))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--list", "-l", "w2"], LIST),
        (["--list", "--export", "--yaml"], EXPORTED),
        (["--graph", "eu", "--vars"], GRAPH),
        (["--host", "w1", "--export", "-y"], HOST),
        (["--graph", "web"], "@web:\n  |--w1\n  |--w2\n"),
        (["--host", "d1", "-e", "x=1", "-e", "prio=2"], '{\n    "prio": "2",\n    "x": "1"\n}\n'),
    ],
)
def test_an_inventory_is_shown(folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], text: str) -> None:
    assert run("-i", "inv", *words) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "No action selected, at least one of --host, --graph or --list needs to be specified."),
        (["--list", "--graph"], "Conflicting options used, only one of --host, --graph or --list can be used"),
        (["--graph", "nope"], "Pattern must be valid group name when using --graph"),
        (["--host", "w*"], "You must pass a single valid host to --host parameter"),
        (["--list", "--toml"], "--toml is not supported"),
    ],
)
def test_what_can_not_be_shown_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert run("-i", "inv", *words) == 5
    assert message in capsys.readouterr().err


def test_it_can_go_into_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-i", "inv", "--graph", "web", "--output", "out") == 0
    assert (folder / "out").read_text() == "@web:\n  |--w1\n  |--w2"
    assert capsys.readouterr().out == ""


def test_group_vars_beside_playbooks_count_when_their_folder_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, {"play/group_vars/db.yml": "pb: 1\n", "group_vars/db.yml": "here: 1\n"})
    assert run("-i", "inv", "--host", "d1") == 0
    assert '"here": 1' in capsys.readouterr().out
    assert run("-i", "inv", "--list", "--export", "-y", "--playbook-dir", "play") == 0
    assert "          vars:\n            pb: 1\n" in capsys.readouterr().out


def test_kept_facts_are_shown_and_forgotten(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_CACHE_PLUGIN", "jsonfile")
    monkeypatch.setenv("ANSIBLE_CACHE_PLUGIN_CONNECTION", str(folder / "facts"))
    write(folder / "facts", {"d1": '{"ansible_os_family": "{{ x }}", "_ansible_facts_gathered": true}'})
    assert run("-i", "inv", "--list", "-l", "d1") == 0
    assert '"ansible_os_family": {\n                    "__ansible_unsafe": "{{ x }}"' in capsys.readouterr().out
    assert run("-i", "inv", "--list", "--flush-cache") == 0
    assert not list((folder / "facts").iterdir())
