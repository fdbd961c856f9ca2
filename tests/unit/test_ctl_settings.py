"""test_ctl_settings: what ctl takes from environment and files, and which of them wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybible.server.cli.ansible_config import AnsibleConfigError
from pybible.server.cli.settings import DEFAULT_FORKS, Settings, load_settings
from pybible.wire.errors import ConfigError, ExitStatus, UsageError


def settings(folder: Path, **environment: str) -> Settings:
    home, here = folder / "home", folder / "here"
    home.mkdir(exist_ok=True)
    here.mkdir(exist_ok=True)
    return load_settings(environment, directory=here, home=home)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_nothing_is_needed(tmp_path: Path) -> None:
    found = settings(tmp_path)
    assert (found.controller, found.inventory, found.forks) == ("", (), DEFAULT_FORKS)
    assert found.roles_path[1:] == (Path("/usr/share/ansible/roles"), Path("/etc/ansible/roles"))
    assert found.config_folder == tmp_path / "home/.config/pybible"
    assert found.state_folder == tmp_path / "home/.local/state/pybible"


def test_the_config_file_names_the_controller_and_the_environment_wins(tmp_path: Path) -> None:
    write(tmp_path / "home/.config/pybible/config.toml", 'controller = "unix:/a"\n')
    assert settings(tmp_path).controller == "unix:/a"
    assert settings(tmp_path, PYBIBLE_CONTROLLER="h:1").controller == "h:1"


@pytest.mark.parametrize("text", ["controler = 'x'", "controller = 1", "controller ="])
def test_a_wrong_config_file_is_said_so(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "home/.config/pybible/config.toml", text)
    with pytest.raises(ConfigError, match=str(path)):
        settings(tmp_path)


def test_ansible_cfg_beside_the_work_is_read(tmp_path: Path) -> None:
    write(
        tmp_path / "here/ansible.cfg",
        "[defaults]\ninventory = hosts.ini\nforks = 20 ; many\nroles_path = roles:/srv/roles\n",
    )
    found = settings(tmp_path)
    assert found.inventory == (str(tmp_path / "here/hosts.ini"),)
    assert found.forks == 20
    assert found.roles_path == (tmp_path / "here/roles", Path("/srv/roles"))
    assert found.ansible_config == tmp_path / "here/ansible.cfg"


def test_the_environment_wins_over_ansible_cfg(tmp_path: Path) -> None:
    write(tmp_path / "here/ansible.cfg", "[defaults]\ninventory = hosts.ini\nforks = 20\nroles_path = roles\n")
    found = settings(tmp_path, ANSIBLE_INVENTORY="a,b,", ANSIBLE_FORKS="7", ANSIBLE_ROLES_PATH="/r")
    assert (found.inventory, found.forks, found.roles_path) == (("a,b,",), 7, (Path("/r"),))


def test_an_ansible_cfg_that_anybody_may_write_is_not_read(tmp_path: Path) -> None:
    write(tmp_path / "here/ansible.cfg", "[defaults]\nforks = 20\n")
    (tmp_path / "here").chmod(0o777)
    assert settings(tmp_path).forks == DEFAULT_FORKS


def test_the_named_ansible_cfg_wins_and_the_home_one_is_last(tmp_path: Path) -> None:
    named = write(tmp_path / "named.cfg", "[defaults]\nforks = 3\n")
    write(tmp_path / "home/.ansible.cfg", "[defaults]\nforks = 4\n")
    assert settings(tmp_path).forks == 4
    write(tmp_path / "here/ansible.cfg", "[defaults]\nforks = 20\n")
    assert settings(tmp_path).forks == 20
    assert settings(tmp_path, ANSIBLE_CONFIG=str(named)).forks == 3


def test_several_inventories_are_several_paths(tmp_path: Path) -> None:
    write(tmp_path / "here/a.ini", "")
    write(tmp_path / "here/b.ini", "")
    found = settings(tmp_path, ANSIBLE_INVENTORY="a.ini,b.ini")
    assert found.inventory == (str(tmp_path / "here/a.ini"), str(tmp_path / "here/b.ini"))


@pytest.mark.parametrize("forks", ["many", "0", "-1"])
def test_forks_must_be_a_number_above_0(tmp_path: Path, forks: str) -> None:
    with pytest.raises((UsageError, AnsibleConfigError)) as raised:
        settings(tmp_path, ANSIBLE_FORKS=forks)
    assert raised.value.exit_status == ExitStatus.BAD_OPTIONS


def test_a_relative_xdg_folder_is_ignored(tmp_path: Path) -> None:
    assert settings(tmp_path, XDG_CONFIG_HOME="x").config_folder == tmp_path / "home/.config/pybible"
    assert settings(tmp_path, XDG_STATE_HOME="/x").state_folder == Path("/x/pybible")


def test_custom_stats_are_shown_when_asked_for(tmp_path: Path) -> None:
    assert not settings(tmp_path).show_custom_stats
    assert settings(tmp_path, ANSIBLE_SHOW_CUSTOM_STATS="true").show_custom_stats
    write(tmp_path / "here/ansible.cfg", "[defaults]\nshow_custom_stats = yes\n")
    assert settings(tmp_path).show_custom_stats


def test_limits_are_numbers_of_seconds(tmp_path: Path) -> None:
    found = settings(tmp_path)
    assert (found.render_limit, found.lookup_limit) == (10, 600)
    found = settings(tmp_path, PYBIBLE_RENDER_LIMIT="0.5", PYBIBLE_LOOKUP_LIMIT="0")
    assert (found.render_limit, found.lookup_limit) == (0.5, 0)


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf", "1e12"])
def test_a_limit_that_is_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="PYBIBLE_RENDER_LIMIT must be a number of seconds, 0 for no limit"):
        settings(tmp_path, PYBIBLE_RENDER_LIMIT=text)
