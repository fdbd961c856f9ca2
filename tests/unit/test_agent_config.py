"""test_agent_config: the agent's settings and what is said when they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybible.agent.config import Config, load_config
from pybible.wire.errors import ConfigError


def written(folder: Path, text: str) -> Path:
    path = folder / "agent.toml"
    path.write_text(text)
    return path


def test_without_a_file_the_defaults_hold() -> None:
    assert load_config(None) == Config()


def test_settings_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, 'slots = 3\nreconnect_limit = 5\nlog_format = "json"\n')
    assert load_config(path) == Config(slots=3, reconnect_limit=5.0, log_format="json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("slot = 3\n", "unknown setting 'slot'; did you mean 'slots'?"),
        ("zzzz = 3\n", "unknown setting 'zzzz'; known are slots"),
        ('slots = "3"\n', "slots must be a whole number, not '3'"),
        ("slots = true\n", "slots must be a whole number, not True"),
        ("slots = -1\n", "slots must not be negative"),
        ("proxy = 1\n", "proxy must be text, not 1"),
        ('log_level = "loud"\n', "log_level must be one of debug, info, warning, error, not 'loud'"),
        ("slots = \n", "not TOML"),
    ],
)
def test_what_is_wrong_is_said_with_the_name_of_the_file(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as failed:
        load_config(path)
    assert str(failed.value).startswith(f"{path}: ")
    assert words in str(failed.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't read .*none\.toml: No such file"):
        load_config(tmp_path / "none.toml")
