"""test_package_words: what package managers say is read without a crash, whatever it is, and as it was meant."""

from __future__ import annotations

import configparser
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybible.agent.modules import (
    apk,
    apt_key,
    deb822_repository,
    debconf,
    dnf_command,
    dnf_list,
    dnf_output,
    npm,
    pacman_inventory,
    rpm_key,
    snap,
    yum_repository,
    zypper,
    zypper_output,
)
from pybible.agent.modules.api import ModuleError
from tests.support.modules import context, run_module
from tests.support.transcripts import Case, stand_in

WORD = st.text(
    st.characters(codec="ascii", categories=("Ll", "Nd"), include_characters="+._-"), min_size=1, max_size=60
)
NAME = WORD.filter(lambda text: text[0].isalpha())
VERSION = st.from_regex(r"\A([1-9]:)?[0-9][0-9a-z.~]{0,12}-[0-9]{1,3}\Z")

PARSERS: list[Callable[[str], object]] = [
    apk.parse_steps,
    lambda text: apk.in_world(text, "foo"),
    lambda text: apk.is_old(text, "foo"),
    apt_key.parse_keys,
    apt_key.parse_id,
    debconf.parse_answers,
    lambda text: debconf.parse_selections(text, "a/b"),
    deb822_repository.slug,
    dnf_command.parse_installed,
    lambda text: dnf_list.parse_packages(text, "installed"),
    dnf_list.parse_repositories,
    dnf_output.parse_table,
    dnf_output.unknown,
    dnf_output.no_group,
    dnf_output.problem,
    dnf_output.holder,
    dnf_output.unsigned,
    npm.parse_outdated,
    pacman_inventory.parse_versions,
    pacman_inventory.parse_groups,
    pacman_inventory.parse_list,
    pacman_inventory.parse_upgrades,
    rpm_key.parse_keys,
    snap.parse_version,
    snap.parse_list,
    snap.parse_settings,
    zypper.parse_name,
]
PIECES = st.lists(
    st.sampled_from(
        ["\n", " ", "\t", ":", "|", "->", "=", "[ignored]", "Installing:", "Removing dependent packages:", "(1/2) ",
         "pub", "fpr", "sub", "No match for argument: ", "Error: \n", "Package ", "* a/b: ", "#", "{", "}", "@", "foo",
         "-1.0"]
    )
    | st.text(max_size=8)
)  # fmt: skip


@pytest.mark.parametrize("parser", PARSERS)
@given(pieces=PIECES)
def test_no_output_makes_a_parser_fail(parser: Callable[[str], object], pieces: list[str]) -> None:
    parser("".join(pieces))


@given(st.text())
def test_only_their_own_errors_come_of_documents_that_are_none(text: str) -> None:
    for parser, error in (
        (npm.parse_list, ModuleError),
        (zypper_output.parse, zypper_output.OutputError),
        (yum_repository.parse, configparser.Error),
    ):
        try:
            parser(text)
        except error:
            continue


@given(st.lists(st.tuples(NAME, VERSION, st.sampled_from(["noarch", "x86_64"])), max_size=5), st.integers(10, 40))
def test_the_table_of_dnf_is_read_however_its_columns_break(packages: list[tuple[str, str, str]], width: int) -> None:
    lines = ["Dependencies resolved.", "=" * 60, " Package  Arch  Version  Repository  Size", "=" * 60, "Installing:"]
    for name, version, arch in packages:
        rest = f"{arch} {version} demo 6.0 k"
        lines += [f" {name}", f" {' ' * width}{rest}"] if len(name) > width else [f" {name:{width}} {rest}"]
    lines += ["", "Transaction Summary", "=" * 60, f"Install  {len(packages)} Packages", "", "Complete!"]
    rows = dnf_output.parse_table("\n".join(lines))
    assert [(row.name, row.version, row.arch) for row in rows] == packages
    assert all(row.action == "install" for row in rows)


@pytest.mark.parametrize(
    ("text", "name", "version", "remove"),
    [
        ("foo", "foo", "", False),
        ("+foo", "foo", "", False),
        ("-foo", "foo", "", True),
        ("foo=1.0", "foo", "=1.0", False),
        ("foo>=1.0-2", "foo", ">=1.0-2", False),
        ("foo-bar<2", "foo-bar", "<2", False),
        ("~foo=1", "foo", "=1", True),
    ],
)
def test_a_specifier_of_zypper_is_taken_apart(text: str, name: str, version: str, remove: bool) -> None:
    assert zypper.parse_name(text) == zypper.Name(name, version, remove)


@given(NAME, st.sampled_from(["", "=1.0-r0", "@edge", "~1.0", ">2"]))
def test_the_world_file_asks_for_a_package_in_every_form(name: str, more: str) -> None:
    assert apk.in_world(f"other\n{name}{more}\n", name)
    assert not apk.in_world(f"x{name}{more}\n", name)


@given(st.dictionaries(NAME, VERSION))
def test_versions_that_pacman_lists_come_back(packages: dict[str, str]) -> None:
    listed = "".join(f"{name} {version}\n" for name, version in packages.items())
    assert pacman_inventory.parse_versions(listed) == packages


@given(st.text())
def test_files_of_a_repository_have_plain_names(name: str) -> None:
    assert set(deb822_repository.slug(name)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.parametrize("text", ["", "XYZ", "0x", "ABCDEF1", "ABCDEF123", "ABCDEF123456789"])
def test_what_is_no_number_of_a_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^" + text):
        apt_key.key_id(text)


def test_who_holds_dnfs_lock_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    query = ["rpm", "-qa", "--queryformat", "%{NAME}\t%{ARCH}\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\n"]
    options = ["--setopt=exit_on_lock=True", "--setopt=localpkg_gpgcheck=True"]
    case = Case(
        name="locked", module="dnf", args={}, result={}, programs=["rpm", "dnf"],
        commands=[
            {"argv": ["rpm", "-q", "rone"], "rc": 1}, {"argv": ["rpm", "-q", "--whatprovides", "rone"], "rc": 1},
            {"argv": query},
            {"argv": ["dnf", "-y", *options, "install", "rone"], "rc": 200, "stderr": "RPMDB already locked by 1\n"},
        ],
    )  # fmt: skip
    monkeypatch.setenv("PATH", str(stand_in(case, tmp_path)))
    result = run_module("dnf", {"name": "rone", "lock_timeout": 0}, context())
    assert result["failed"] is True
    assert str(result["msg"]).startswith("dnf lockfile is held by another process: pid 1 (")
    assert str(result["msg"]).endswith(", waited 0 seconds")


@pytest.mark.parametrize(
    ("there", "backend", "program"),
    [
        (["dnf5"], "auto", "dnf5"),
        (["dnf-3"], "auto", "dnf-3"),
        (["dnf-3"], "yum", "dnf-3"),
        (["dnf"], "auto", "dnf"),
        (["dnf5", "dnf-3"], "dnf4", "dnf-3"),
        (["dnf5", "dnf-3"], "dnf5", "dnf5"),
    ],
)
def test_dnf_is_the_generation_that_is_named_or_there(
    there: list[str], backend: str, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = "--enabled"
    lock = [] if program == "dnf5" else ["--setopt=exit_on_lock=True"]
    commands = [{"argv": [program, "-y", *lock, "repolist", lists], "stdout": "repo id  repo name\ndemo  Demo\n"}]
    case = Case(name="repos", module="dnf", args={}, result={}, programs=there, commands=commands)
    monkeypatch.setenv("PATH", str(stand_in(case, tmp_path)))
    result = run_module("dnf", {"list": "repos", "use_backend": backend}, context())
    assert result["results"] == [{"repoid": "demo", "state": "enabled"}]
