"""test_ctl_options: ansible-playbook's command lines, as they are."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from pybible.server.cli import playing
from pybible.server.cli.extra_vars import extra_vars
from pybible.server.cli.main import ctl
from pybible.server.cli.playing import PlaybookRun
from pybible.server.cli.vault_passwords import vault_secrets
from pybible.server.engine.model.text import Trusted
from pybible.wire.errors import PybibleError, UsageError


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[PlaybookRun]:
    """What `run` was asked for, instead of running it."""
    found: list[PlaybookRun] = []

    def run(wanted: PlaybookRun) -> int:
        found.append(wanted)
        return 0

    monkeypatch.setattr(playing, "run", run)
    return found


def ask(*words: str) -> Result:
    return CliRunner().invoke(ctl, ["run", *words], standalone_mode=False)


def test_the_options_of_ansible_playbook(runs: list[PlaybookRun]) -> None:
    words = (
        "-i inv -i h1,h2, site.yml -l web:!db -e a=1 -e @x.yml -t one,two -t three --skip-tags four -C -D -f 20 -b"
        " --become-user bob -vvv --force-handlers --start-at-task x other.yml --flush-cache"
        " --vault-id dev@prompt --vault-password-file f -J --list-hosts"
    )
    assert ask(*words.split()).exception is None
    (wanted,) = runs
    asked = wanted.asked
    assert wanted.playbooks == (Path("site.yml"), Path("other.yml"))
    assert (wanted.tags, wanted.skip_tags) == (("one", "two", "three"), ("four",))
    assert (wanted.force_handlers, wanted.start_at, wanted.list_hosts) == (True, "x", True)
    assert (asked.inventory, asked.limit, asked.extra_vars) == (("inv", "h1,h2,"), "web:!db", ("a=1", "@x.yml"))
    assert (asked.check, asked.diff, asked.forks, asked.become, asked.become_user) == (True, True, 20, True, "bob")
    assert (asked.verbose, asked.vault_ids, asked.vault_files, asked.ask_vault) == (3, ("dev@prompt",), ("f",), True)
    assert asked.ignored == ()


def test_our_own_options(runs: list[PlaybookRun]) -> None:
    words = "--disconnect-grace 0 --on-disconnect unreachable --json --controller h:1"
    assert ask("x.yml", *words.split()).exit_code == 0
    asked = runs[0].asked
    assert (asked.disconnect_grace, asked.lost_is_unreachable, asked.as_json, asked.controller) == (
        0,
        True,
        True,
        "h:1",
    )


def test_what_is_only_for_ssh_is_taken_and_named(runs: list[PlaybookRun]) -> None:
    words = "-u bob -k --private-key f -T 5 --ssh-common-args=-x --ssh-extra-args=-x --scp-extra-args=-x -K -c ssh"
    assert ask("x.yml", *words.split(), "--sftp-extra-args=-x", "--conn-pass-file", "f").exception is None
    assert set(runs[0].asked.ignored) == {
        "--user", "--ask-pass", "--key-file", "--timeout", "--ssh-common-args", "--ssh-extra-args",
        "--scp-extra-args", "--sftp-extra-args", "--ask-become-pass", "--connection", "--conn-pass-file",
    }  # fmt: skip
    assert runs[0].asked.connection == ""


@pytest.mark.parametrize(
    "words",
    [
        ["-K"], ["--ask-become-pass"], ["--become-password-file", "f"], ["--become-pass-file", "f"],
        ["-k"], ["--ask-pass"], ["--connection-password-file", "f"], ["--conn-pass-file", "f"],
        ["-u", "ada"], ["--user", "ada"], ["-T", "5"], ["--timeout", "5"], ["--private-key", "f"], ["--key-file", "f"],
        ["--ssh-common-args", "x"], ["--ssh-extra-args", "x"], ["--scp-extra-args", "x"], ["--sftp-extra-args", "x"],
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_every_spelling_of_what_is_only_for_ssh_is_taken(runs: list[PlaybookRun], words: list[str]) -> None:
    assert ask("x.yml", *words).exception is None
    assert len(runs[0].asked.ignored) == 1


@pytest.mark.parametrize("word", ["-J", "--ask-vault-password", "--ask-vault-pass"])
def test_a_vault_password_may_be_asked_for(runs: list[PlaybookRun], word: str) -> None:
    assert ask("x.yml", word).exception is None
    assert runs[0].asked.ask_vault


@pytest.mark.parametrize("word", ["-v", "-vv", "-vvv", "-vvvv", "-vvvvv", "-vvvvvv"])
def test_more_is_shown_with_every_v(runs: list[PlaybookRun], word: str) -> None:
    assert ask("x.yml", word).exception is None
    assert runs[0].asked.verbose == len(word) - 1


def test_the_local_connection(runs: list[PlaybookRun]) -> None:
    ask("x.yml", "-c", "local")
    assert (runs[0].asked.connection, runs[0].asked.ignored) == ("local", ())


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-f", "0"], "must be >= 1"),
        (["-c", "winrm"], "the connection 'winrm' is not supported"),
    ],
)
def test_what_can_not_be_is_said(runs: list[PlaybookRun], words: list[str], text: str) -> None:
    error = ask("x.yml", *words).exception
    assert isinstance(error, UsageError)
    assert text in str(error)
    assert not runs


def test_a_playbook_is_needed(runs: list[PlaybookRun]) -> None:
    assert isinstance(ask("-v").exception, click.UsageError)
    assert not runs


def test_help_names_every_command_and_imports_none() -> None:
    text = CliRunner().invoke(ctl, ["--help"]).output
    for name in ("run", "exec", "agents", "token", "runs", "lab", "login", "version"):
        assert f"\n  {name} " in text


def test_extra_vars_in_all_forms(tmp_path: Path) -> None:
    (tmp_path / "v.yml").write_text("b: [1, two]\n")
    found = extra_vars(["a=1 c='x y'", '{"d": {"e": 2}}', f"@{tmp_path}/v.yml", "", "a={{ b }}"])
    assert found == {"a": "{{ b }}", "c": "x y", "d": {"e": 2}, "b": [1, "two"]}
    assert isinstance(found["a"], Trusted)
    assert isinstance(found["c"], Trusted)


@pytest.mark.parametrize("text", ["@/none.yml", "/none.yml", "[1, 2]"])
def test_extra_vars_that_are_none(text: str) -> None:
    with pytest.raises(PybibleError):
        extra_vars([text])


def test_vault_passwords_from_files_scripts_and_prompts(tmp_path: Path) -> None:
    plain, script = tmp_path / "plain", tmp_path / "keys-client"
    plain.write_text("one\n")
    script.write_text('#!/bin/sh\necho "$@"\n')
    script.chmod(0o700)
    secrets = vault_secrets(
        [f"dev@{script}", "ask@prompt"], [str(plain)], ask=True, prompt=lambda text: text.strip(": ")
    )
    assert secrets is not None
    vaults = [secrets.encrypt(b"x", vault_id=name) for name in ("dev", "ask", "default")]
    assert [secrets.decrypt(text) for text in vaults] == [b"x"] * 3
    only = vault_secrets([], [str(plain)])
    assert only is not None
    assert only.decrypt(only.encrypt(b"y")) == b"y"
    assert vault_secrets() is None


@pytest.mark.parametrize("content", [None, "", "#!/bin/sh\nexit 3\n", "#!/none\n"])
def test_a_vault_password_that_can_not_be_had(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_text(content)
        path.chmod(0o700 if content else 0o600)
    with pytest.raises(PybibleError):
        vault_secrets([], [str(path)])
