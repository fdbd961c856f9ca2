"""test_parsers: what modules read of other programs' words: any text in, and never a crash."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybible.agent.modules import (
    apt_repository,
    getent,
    git_config,
    locale_gen,
    mount_tables,
    mounts,
    npm,
    pip,
    service_facts,
    subversion,
    systemd,
    timezone,
)
from pybible.agent.modules.api import ModuleError
from pybible.agent.modules.expect import Dialogue, Question
from pybible.agent.modules.filesystems import KINDS
from pybible.agent.modules.xml_document import split_path
from tests.unit.modules.test_edits import texts

FIELD = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=8).filter(
    lambda field: not field.startswith("#") and "\\" not in field
)


# -- git config, svn, timedatectl --------------------------------------------------------------------------------------


@given(st.lists(st.text(st.characters(exclude_characters="\0"))))
def test_values_of_git_may_have_line_feeds(values: list[str]) -> None:
    assert git_config.parse("".join(f"{value}\0" for value in values)) == values


@given(st.text())
def test_any_output_of_svn_has_at_most_a_revision_and_an_address(text: str) -> None:
    found = subversion.parse_info(text)
    assert len(found) <= 2
    assert all(line in text for line in found)


def test_svn_says_revision_and_address_among_other_things() -> None:
    text = "Path: dest\nURL: file:///repo/a b\nRelative URL: ^/a\nRevision: 12\nLast Changed Rev: 9\n"
    assert subversion.parse_info(text) == ["Revision: 12", "URL: file:///repo/a b"]


TIMEDATECTL = """               Local time: Tue 2026-11-24 10:00:00 CET
           Universal time: Tue 2026-11-24 09:00:00 UTC
                 RTC time: Tue 2026-11-24 09:00:00
                Time zone: Europe/Berlin (CET, +0100)
System clock synchronized: yes
              NTP service: active
          RTC in local TZ: no
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TIMEDATECTL, {"name": "Europe/Berlin", "hwclock": "UTC"}),
        (TIMEDATECTL.replace("TZ: no", "TZ: yes"), {"name": "Europe/Berlin", "hwclock": "local"}),
        ("      Timezone: Etc/UTC (UTC, +0000)\n", {"name": "Etc/UTC", "hwclock": "n/a"}),
        ("", {"name": "n/a", "hwclock": "n/a"}),
    ],
    ids=["in UTC", "in local time", "of an old systemd", "nothing"],
)
def test_the_zone_is_read_from_what_timedatectl_says(text: str, expected: dict[str, str]) -> None:
    assert timezone.status(text) == expected


@given(st.text())
def test_any_words_of_timedatectl_are_borne(text: str) -> None:
    assert timezone.status(text).keys() == {"name", "hwclock"}


@given(texts("de_DE.UTF-8", "UTF-8", "#"))
def test_any_list_of_locales_is_borne(text: str) -> None:
    assert all(name and charset for name, charset in locale_gen.available(text).items())


# -- services, accounts, packages --------------------------------------------------------------------------------------


@given(
    texts("ssh.service", "loaded", "active", "running", "●", "[ + ]", "ExecStart={ path=/x", "}", "A=b", "="), st.text()
)
def test_any_words_of_service_managers_are_borne(text: str, other: str) -> None:
    assert all("=" in text for _ in systemd.parse_show(text))
    for found in (service_facts.parse_sysv(text), service_facts.parse_systemd(text, other)):
        assert all(service["name"] == name for name, service in found.items())


@given(texts("root", ":", "x", "0", "/bin/sh", "\t", "\0"), st.sampled_from([None, ":", "::"]))
def test_any_lines_of_a_database_are_entries(text: str, split: str | None) -> None:
    assert all(isinstance(fields, list) for fields in getent.parse(text, split).values())


@given(texts("deb", "deb-src", "[arch=amd64 signed-by=/k]", "http://x", "main", "#", "]", "["))
def test_any_line_of_sources_is_one_or_none(text: str) -> None:
    found = apt_repository.normal(text)
    assert found is None or found.startswith("deb")


@given(texts("a==1", "a @ file:///x", "-e git+x#egg=b", "{", '{"dependencies": {"a": {"version": 1}}}', "[", "null"))
def test_any_list_of_packages_is_read_or_refused(text: str) -> None:
    assert all(pip.parse_freeze(text))
    with suppress(ModuleError):
        npm.parse_list(text)


# -- mounts ------------------------------------------------------------------------------------------------------------


def _escaped(field: str) -> str:
    return re.sub(r"[ \t\n\\]", lambda match: f"\\{ord(match[0]):03o}", field)


@given(FIELD, st.text("ab \t\n\\", min_size=1), FIELD, FIELD, st.integers(0, 9), st.integers(0, 9))
def test_a_mount_is_read_as_it_was_written(
    device: str, mount: str, fstype: str, options: str, dump: int, passno: int
) -> None:
    line = f"{device} {_escaped(mount)} {fstype} {options} {dump} {passno}"
    [found] = mounts.parse(f"# comment\n\n{line}\n")
    assert (found.device, found.mount, found.fstype, found.options) == (device, mount, fstype, options)
    assert (found.dump, found.passno, found.line) == (dump, passno, line)
    [(place, text, rest)] = mount_tables.of_file(f"# comment\n\n{line}\n")
    assert (place, text) == (mount, line)
    assert rest == {"device": device, "fstype": fstype, "options": options, "dump": dump, "passno": passno}


def test_a_name_with_another_blank_than_space_is_one_field() -> None:
    [found] = mounts.parse("/dev/a /mnt/a\u00a0b\u2028c ext4 rw 0 0")
    assert found.mount == "/mnt/a\u00a0b\u2028c"


@given(texts("/dev/a", "/a", "ext4", "rw", "0", "1", ":", "dev = /b", "²", "\\040", "\\9"))
def test_any_table_of_mounts_is_borne(text: str) -> None:
    mounts.parse(text)
    for place, said, rest in mount_tables.of_file(text):
        assert place
        assert said
        assert {"device", "fstype"} <= rest.keys()


@settings(deadline=None)
@given(texts("/dev/a", " on ", " type ", "ext4", "(rw)", "(ext4, local)", "map -hosts"))
def test_any_output_of_mount_is_borne(text: str) -> None:
    for place, said, rest in mount_tables.of_program(text):
        assert f" on {place} " in said
        assert rest["fstype"]


@pytest.mark.parametrize(
    ("line", "place", "fstype", "options"),
    [
        ("/dev/sda1 on / type ext4 (rw,relatime)", "/", "ext4", "rw,relatime"),
        ("srv:/x on /mnt/a on b type nfs4 (rw)", "/mnt/a on b", "nfs4", "rw"),
        ("/dev/ada0p2 on / (ufs, local, journaled soft-updates)", "/", "ufs", "local, journaled soft-updates"),
        ("devfs on /dev (devfs)", "/dev", "devfs", ""),
    ],
    ids=["of Linux", "with blanks", "of FreeBSD", "without options"],
)
def test_mount_prints_a_line_for_each(line: str, place: str, fstype: str, options: str) -> None:
    [(found, text, rest)] = mount_tables.of_program(f"{line}\n")
    assert (found, text, rest["fstype"], rest["options"]) == (place, line, fstype, options)


# -- sizes of file systems ---------------------------------------------------------------------------------------------

SIZES = {
    "ext4": ("Filesystem UUID: x\nBlock count:              5120\nBlock size:               4096\n", 5120 * 4096),
    "xfs": (
        "meta-data=/dev/sdb isize=512 agcount=4, agsize=19200 blks\n         = sectsz=512 attr=2\n"
        "data     =                       bsize=4096   blocks=76800, imaxpct=25\n"
        "log      =internal log           bsize=4096   blocks=16384, version=2\n",
        76800 * 4096,
    ),
    "btrfs": ("Overall:\n    Device size:\t\t  157286400\n    Device allocated:\t\t   71303168\n", 157286400),
    "f2fs": ("Info: Segments per section = 1\nInfo: total FS sectors = 204800 (100 MB)\n", 104857600),
    "vfat": ("fatresize 1.1.0 (20221231)\nFAT: fat32\nCur size: 62914560\nMin size: 62947328\n", 62914560),
    "lvm": ("  1069547520\n", 1069547520),
}


@pytest.mark.parametrize(("kind", "text", "size"), [(kind, *said) for kind, said in SIZES.items()], ids=list(SIZES))
def test_the_size_of_a_file_system_is_read_from_its_tools_words(kind: str, text: str, size: int) -> None:
    read = KINDS[kind].read_size
    assert read is not None
    assert read(text) == size


@given(st.sampled_from([kind for kind in KINDS.values() if kind.read_size]), st.text())
def test_any_words_of_these_tools_are_borne(kind: object, text: str) -> None:
    for known in KINDS.values():
        if known is kind and known.read_size is not None:
            size = known.read_size(text)
            assert size is None or size >= 0


# -- paths of XPath, dialogues -----------------------------------------------------------------------------------------


@given(st.text("/ab[]()'\"@=", max_size=20))
def test_a_path_is_taken_apart_without_loss(path: str) -> None:
    inner, last = split_path(path)
    assert path == (f"{inner}/{last}" if inner else last)


def test_a_slash_in_a_condition_separates_nothing() -> None:
    assert split_path("/a/b[@c='x/y']") == ("/a", "b[@c='x/y']")
    assert split_path("/a/b[c/d='x']/@e") == ("/a/b[c/d='x']", "@e")
    assert split_path("/a") == ("", "/a")


@given(st.lists(st.sampled_from(["Na", "me: ", "Pass", "word: ", "x", "\r\n"]), max_size=12))
def test_a_dialogue_hears_everything_once_however_it_comes(pieces: list[str]) -> None:
    def questions() -> list[Question]:
        return [Question(word, re.compile(word.encode()), word.encode()) for word in ("Name: ", "Password: ")]

    whole, parts = Dialogue(questions()), Dialogue(questions())
    at_once = whole.hear("".join(pieces).encode())
    assert [answer for piece in pieces for answer in parts.hear(piece.encode())] == at_once
    assert whole.output == parts.output == "".join(pieces).encode()
    assert at_once == re.findall(b"Name: |Password: ", "".join(pieces).encode())
