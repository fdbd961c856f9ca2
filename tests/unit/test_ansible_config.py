"""test_ansible_config: ansible.cfg and ANSIBLE_* by the table: types, places, precedence, errors as ansible-core's."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybible.server.cli.ansible_config import AnsibleConfig, AnsibleConfigError, read_ansible_config
from pybible.server.cli.ansible_keys import KEYS
from pybible.server.cli.vault_passwords import configured_secrets
from pybible.wire.errors import ExitStatus, PybibleError


def config(folder: Path, text: str = "", **environment: str) -> AnsibleConfig:
    here = folder / "here"
    here.mkdir(exist_ok=True)
    if text:
        (here / "ansible.cfg").write_text(text)
    return read_ansible_config(environment, directory=here, home=folder)


def test_the_table_names_each_setting_and_each_place_once() -> None:
    names = [key.name for key in KEYS]
    places = [place for key in KEYS for place in key.ini]
    variables = [name for key in KEYS for name in key.env]
    for listed in (names, places, variables):
        assert len(listed) == len(set(listed))
    assert all(key.meaning for key in KEYS)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("[defaults]\nforks = 20 ; many\n", "DEFAULT_FORKS", 20),
        ("[defaults]\nforks = 7.0\n", "DEFAULT_FORKS", 7),
        ("[defaults]\nFORKS: 8\n", "DEFAULT_FORKS", 8),
        ("[defaults]\nany_errors_fatal = On\n", "ANY_ERRORS_FATAL", True),
        ("[defaults]\nany_errors_fatal = sure\n", "ANY_ERRORS_FATAL", False),
        ("[defaults]\nstrategy = 'free'\n", "DEFAULT_STRATEGY", "free"),
        ("[tags]\nrun = a, 'b' ,c\n", "TAGS_RUN", ["a", "b", "c"]),
        ("[diff]\ncontext = 1\n", "DIFF_CONTEXT", 1),
        ("[inventory]\nenable_plugins = ini, yaml\n", "INVENTORY_ENABLED", ["ini", "yaml"]),
        ("[privilege_escalation]\nbecome = yes\n", "DEFAULT_BECOME", True),
        ("[defaults]\nansible_managed = 100% ours\n", "DEFAULT_MANAGED_STR", "100% ours"),
        ("[weird]\nforks = 3\n[defaults]\nno_such_key = 1\n", "DEFAULT_FORKS", 5),
    ],
)
def test_a_key_of_the_file(tmp_path: Path, text: str, name: str, value: object) -> None:
    assert config(tmp_path, text).values[name] == value


def test_paths_are_relative_to_the_file_and_in_variables_to_the_folder(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    named = tmp_path / "etc/other.cfg"
    named.write_text("[defaults]\nlog_path = logs/a.log\nroles_path = ~/r:{{CWD}}/s\n")
    found = config(tmp_path, ANSIBLE_CONFIG=str(named), ANSIBLE_RETRY_FILES_SAVE_PATH="retry", ANSIBLE_HOME="~/x")
    assert found.path == named
    assert found.text("DEFAULT_LOG_PATH") == str(tmp_path / "etc/logs/a.log")
    assert found.paths("DEFAULT_ROLES_PATH") == (tmp_path / "r", tmp_path / "here/s")
    assert found.text("RETRY_FILES_SAVE_PATH") == str(tmp_path / "here/retry")
    assert found.text("DEFAULT_LOCAL_TMP") == str(tmp_path / "x/tmp")


def test_a_variable_wins_over_the_file_and_an_empty_one_is_none(tmp_path: Path) -> None:
    text = "[defaults]\nforks = 20\nstrategy = free\n"
    found = config(tmp_path, text, ANSIBLE_FORKS="7", ANSIBLE_STRATEGY="host_pinned")
    assert (found.number("DEFAULT_FORKS"), found.text("DEFAULT_STRATEGY")) == (7, "host_pinned")
    assert config(tmp_path, text, ANSIBLE_FORKS="").number("DEFAULT_FORKS") == 5


def test_a_wrong_value_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(AnsibleConfigError) as raised:
        config(tmp_path, "[defaults]\n# how many\n  forks = abc\n")
    path = tmp_path / "here/ansible.cfg"
    assert str(raised.value) == (
        f"Config 'DEFAULT_FORKS' from '{path}' has an invalid value: Invalid value provided for 'integer': 'abc'\n"
        f"Origin: {path}:3:3\n\n1 [defaults]\n2 # how many\n3   forks = abc\n    ^ column 3\n"
    )
    assert raised.value.exit_status == ExitStatus.BAD_OPTIONS


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        (
            "",
            {"ANSIBLE_FORKS": "abc"},
            "Config 'DEFAULT_FORKS' from 'env: ANSIBLE_FORKS' has an invalid value: "
            "Invalid value provided for 'integer': 'abc'",
        ),
        ("", {"ANSIBLE_GATHERING": "sometimes"}, "Invalid value 'sometimes' for config 'DEFAULT_GATHERING'."),
        ("[defaults]\nforks\n", {}, "Error reading config file (HERE/ansible.cfg): Source contains parsing errors"),
        ("[defaults]\nforks=1\nforks=2\n", {}, "option 'forks' in section 'defaults' already exists"),
        ("forks = 1\n", {}, "File contains no section headers."),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, environment: dict[str, str], message: str) -> None:
    with pytest.raises(AnsibleConfigError) as raised:
        config(tmp_path, text, **environment)
    assert message.replace("HERE", str(tmp_path / "here")) in str(raised.value)


def test_choices_are_named(tmp_path: Path) -> None:
    with pytest.raises(AnsibleConfigError, match="Valid values are: replace, merge") as raised:
        config(tmp_path, "[defaults]\nhash_behaviour = merge2\n")
    assert raised.value.origin is not None
    assert raised.value.origin.line == 2


def test_a_file_that_anybody_may_replace_is_passed_over_with_a_warning(tmp_path: Path) -> None:
    config(tmp_path, "[defaults]\nforks = 20\n")
    here = tmp_path / "here"
    here.chmod(0o777)
    found = config(tmp_path)
    assert (found.path, found.number("DEFAULT_FORKS")) == (None, 5)
    assert found.warnings == (
        f"Ansible is being run in a world writable directory ({here}), ignoring it as an ansible.cfg source. For more "
        "information see "
        "https://docs.ansible.com/ansible/devel/reference_appendices/config.html#cfg-in-world-writable-dir",
    )
    named = config(tmp_path, ANSIBLE_CONFIG=str(here / "ansible.cfg"))
    assert (named.number("DEFAULT_FORKS"), named.warnings) == (20, ())


def test_what_ansible_deprecates_is_said_when_it_is_used(tmp_path: Path) -> None:
    assert config(tmp_path).deprecations == ()
    found = config(tmp_path, ANSIBLE_JINJA2_EXTENSIONS="jinja2.ext.do")
    assert found.deprecations == (
        "DEFAULT_JINJA2_EXTENSIONS option. Reason: Jinja2 extensions have been deprecated\n"
        "Alternatives: Ansible-supported Jinja plugins (tests, filters, lookups). "
        "This feature will be removed from ansible-core version 2.23.",
    )


def test_vault_passwords_of_the_file_are_used_and_those_given_win(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    for name in ("team", "own", "given"):
        (tmp_path / "here" / name).write_text(f"{name}\n")
    text = f"[defaults]\nvault_password_file = team\nvault_identity_list = a@{tmp_path}/here/own, b@{tmp_path}/nosuch\n"
    found = config(tmp_path, text)
    warnings: list[str] = []

    def secrets(*files: str) -> list[tuple[str, bytes]]:
        opened = configured_secrets(found, (), files, warn=warnings.append)
        return [] if opened is None else [(secret.id, secret.password) for secret in opened.secrets]

    assert secrets() == [("a", b"own"), ("default", b"team")]
    assert secrets(str(tmp_path / "here/given")) == [("a", b"own"), ("default", b"given")]
    assert warnings[0] == (
        f"Error getting vault password file (b): The vault password file {tmp_path}/nosuch was not found"
    )
    with pytest.raises(PybibleError, match="was not found"):
        configured_secrets(found)
    assert configured_secrets(config(tmp_path, "[defaults]\n")) is None


def test_without_any_password_the_last_error_counts(tmp_path: Path) -> None:
    with pytest.raises(PybibleError, match="was not found"):
        configured_secrets(config(tmp_path, ANSIBLE_VAULT_IDENTITY_LIST="a@/nosuch"), warn=lambda text: None)
