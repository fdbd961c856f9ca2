"""test_posix_parsers: tables, keys and settings that modules read and write: any text in, and what it said out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pybible.agent.modules import acl, alternatives, at, firewall, fstab, modprobe, selinux, ssh_keys, sysctl, ufw
from pybible.agent.modules.api import ModuleError
from pybible.agent.modules.mounts import unescape
from pybible.agent.modules.rewrite import lines_of

WORD = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=8)
LINES = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=30)).map("\n".join)
PATH = WORD.map(lambda word: f"/{word}")


# -- fstab ---------------------------------------------------------


@given(st.text())
def test_a_field_of_the_table_comes_back(text: str) -> None:
    written = fstab.escaped(text)
    assert unescape(written) == text
    assert not set(" \t\n") & set(written)


FIELD = WORD.map(fstab.escaped).filter(lambda word: not word.startswith("#"))
ENTRY = st.builds(fstab.Entry, source=FIELD, path=FIELD, kind=FIELD, options=FIELD, dump=FIELD, order=FIELD)


@given(ENTRY)
def test_an_entry_comes_back_from_its_line(entry: fstab.Entry) -> None:
    assert fstab.parse(entry.line()) == entry


@given(LINES, ENTRY)
def test_an_entry_that_was_put_is_there_once_more_and_then_stays(text: str, entry: fstab.Entry) -> None:
    after = fstab.put(text, entry)
    assert entry in map(fstab.parse, lines_of(after))
    assert fstab.put(after, entry) == after
    others = [line for line in lines_of(text) if (found := fstab.parse(line)) is None or found.path != entry.path]
    assert [line for line in lines_of(after) if line in others or fstab.parse(line) != entry] == others


@given(LINES, ENTRY)
def test_an_entry_that_was_removed_is_gone_and_nothing_else(text: str, entry: fstab.Entry) -> None:
    after = fstab.remove(fstab.put(text, entry), entry.path, None)
    assert all(found is None or found.path != entry.path for found in map(fstab.parse, lines_of(after)))
    assert fstab.remove(after, entry.path, None) == after


@given(LINES)
def test_any_list_of_mounts_is_read(text: str) -> None:
    mounts = fstab.parse_mounts(text)
    for mount in mounts:
        fstab.comes_from(mount, "/tmp", mounts)


MOUNTINFO = (
    "27 1 254:0 / / rw - ext4 /dev/vda rw\n"
    "60 27 254:0 /srv/data /mnt/data\\040here rw - ext4 /dev/vda rw\n"
    "61 27 0:50 / /mnt/net rw - nfs server:/export rw\n"
)


def test_a_mount_is_told_by_its_device_and_root() -> None:
    mounts = fstab.parse_mounts(MOUNTINFO)
    bound, net = fstab.mount_at("/mnt/data here", mounts), fstab.mount_at("/mnt/net", mounts)
    assert bound is not None
    assert net is not None
    assert fstab.comes_from(bound, "/srv/data", mounts)
    assert not fstab.comes_from(bound, "/srv/other", mounts)
    assert fstab.comes_from(net, "server:/export", mounts)
    assert fstab.mount_at("/mnt", mounts) is None


# -- sysctl, SELinux, kernel modules ---------------------------------------------------------

NAME = st.from_regex(r"[a-z]+(\.[a-z]+){1,3}", fullmatch=True)
VALUE = st.from_regex(r"[!-~]([ -~]*[!-~])?", fullmatch=True)


@given(LINES, NAME, VALUE)
def test_a_parameter_that_was_set_is_read_again(text: str, name: str, value: str) -> None:
    after = sysctl.edit(text, name, value)
    assert sysctl.values_of(after)[name] == value
    assert sysctl.edit(after, name, value) == after
    assert name not in sysctl.values_of(sysctl.edit(after, name, None))


@given(LINES, NAME, VALUE)
def test_comments_outlive_a_change_of_parameters(text: str, name: str, value: str) -> None:
    def comments(found: str) -> list[str]:
        return [line for line in lines_of(found) if line.strip().startswith(("#", ";"))]

    assert comments(sysctl.edit(text, name, value)) == comments(text)


@given(st.text())
def test_any_value_is_spelled(text: str) -> None:
    assert sysctl.spelled(sysctl.spelled(text)) == sysctl.spelled(text)


@given(LINES, st.sampled_from(("SELINUX", "SELINUXTYPE")), st.from_regex(r"[a-z]+", fullmatch=True))
def test_a_setting_of_selinux_is_read_again(text: str, name: str, value: str) -> None:
    after = selinux.put(text, name, value)
    assert selinux.setting(after, name) == value
    assert selinux.put(after, name, value) == after


@given(st.text())
def test_any_output_of_grubby_is_a_state(text: str) -> None:
    assert selinux.kernel_state(text) in ("enabled", "disabled", "<inconsistent>")


@given(LINES, WORD.filter(lambda word: "#" not in word))
def test_a_module_that_is_a_comment_is_not_loaded(text: str, name: str) -> None:
    after = modprobe.without_module(text, name)
    assert not modprobe.loads_module(after, name)
    assert modprobe.without_module(after, name) == after
    assert modprobe.parameters_of(modprobe.without_parameters(text, name), name) == []


# -- keys ---------------------------------------------------------

OPTION = st.one_of(
    st.sampled_from(("no-pty", "restrict", "cert-authority")),
    st.from_regex(r'(command|from|environment)="([ -!#-\[\]-~]|\\")*"', fullmatch=True),
)
KEY = st.builds(
    ssh_keys.Key,
    options=st.lists(OPTION, max_size=4).map(tuple),
    kind=st.sampled_from(sorted(ssh_keys.TYPES)),
    data=st.from_regex(r"AAAA[A-Za-z0-9+/]{0,20}", fullmatch=True),
    comment=st.lists(WORD, max_size=3).map(" ".join),
)


@given(KEY)
def test_a_key_comes_back_from_its_line(key: ssh_keys.Key) -> None:
    assert ssh_keys.parse_key(key.line()) == key


@given(st.text())
def test_any_line_is_a_key_or_none(line: str) -> None:
    key = ssh_keys.parse_key(line)
    if key is not None:
        again = ssh_keys.parse_key(key.line())
        assert again == key


@given(st.lists(OPTION, max_size=5))
def test_options_come_apart_at_commas_outside_of_quotes(options: list[str]) -> None:
    assert ssh_keys.split_options(",".join(options)) == tuple(options)


@given(LINES, KEY)
def test_a_key_that_was_put_is_there_and_the_file_settles(text: str, key: ssh_keys.Key) -> None:
    lines = ssh_keys.Lines(text)
    lines.put(key)
    after = lines.text()
    assert ssh_keys.Lines(after).get(key.data) == key
    assert ssh_keys.Lines(after).text() == after


# -- what programs say ---------------------------------------------------------


@given(st.text())
def test_any_words_of_programs_are_read(text: str) -> None:
    at.numbers(text)
    alternatives.parse(text)
    firewall.parse_zone(text)
    firewall.forward_port(text)
    ufw.count_rules(text)
    ufw.dry_rules(text)
    ufw.default_differs("deny", None, text)
    ufw.logging_differs("on", text)
    acl.differs(text)


@given(st.lists(st.integers(min_value=1, max_value=99_999)))
def test_atq_lists_jobs_by_number(numbers: list[int]) -> None:
    text = "".join(f"{number}\tWed Nov 25 10:15:00 2026 a root\n" for number in numbers)
    assert at.numbers(text) == [str(number) for number in numbers]


@given(st.text())
def test_any_entry_of_a_list_is_taken_apart_or_refused(text: str) -> None:
    try:
        entry = acl.split_entry(text)
    except ModuleError:
        return
    assert entry.text(nfs=False).count(":") in (1, 2)
