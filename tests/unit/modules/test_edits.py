"""test_edits: what modules make of text that others wrote: any text in, the wanted one out, nothing else touched."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pybible.agent.modules import (
    blockinfile,
    cron,
    htpasswd,
    htpasswd_hashes,
    ini_file,
    known_hosts,
    lineinfile,
    locale_gen,
    pam_limits,
    replace,
)
from pybible.agent.modules.api import ModuleError

# Texts in which the words of a format are likely, and in which what separates lines elsewhere is only a character.
ODD = "\x0b\x0c\x1c\x85\u2028\ud800ä"


def texts(*pieces: str) -> st.SearchStrategy[str]:
    """Give texts of these pieces, blanks, line feeds and odd characters."""
    return st.lists(st.sampled_from([*pieces, " ", "\t", "\n", "\n", "#", *ODD]), max_size=24).map("".join)


def _is_kept(old: Sequence[Any], new: Sequence[Any]) -> bool:
    """Return whether all of `old` is in `new`, in its order."""
    rest = iter(new)
    return all(any(item == other for other in rest) for item in old)


# -- ini_file ----------------------------------------------------------------------------------------------------------

INI = texts("[a]", "[b]", "[", "]", "k", "k = v", "k=w", "j", "=", ";", "v")
INI_ARGS = st.fixed_dictionaries(
    {
        "section": st.sampled_from([None, "a", "b", "c"]),
        "option": st.sampled_from(["k", "j"]),
        "value": st.sampled_from(["v", "w", "x y"]),
        "state": st.sampled_from(["present", "absent"]),
        "exclusive": st.booleans(),
        "no_extra_spaces": st.booleans(),
        "ignore_spaces": st.booleans(),
        "modify_inactive_option": st.booleans(),
    }
)


@settings(deadline=None)
@given(INI, INI_ARGS)
def test_an_ini_file_that_was_edited_stays_as_it_is(text: str, wanted: dict[str, Any]) -> None:
    args = ini_file.Args(path="/x", **wanted)
    once = ini_file.edit(text, args)
    again = ini_file.edit(once.text, args)
    assert (again.text, again.changed, again.msg) == (once.text, False, "OK")
    assert once.changed == (once.text != text)


@settings(deadline=None)
@given(INI, INI_ARGS)
def test_lines_of_an_ini_file_that_are_not_the_options_stay(text: str, wanted: dict[str, Any]) -> None:
    args = ini_file.Args(path="/x", **wanted)
    others = [line for line in text.split("\n") if line and not re.search(args.option or "", line)]
    assert _is_kept(others, ini_file.edit(text, args).text.split("\n"))


@settings(deadline=None)
@given(INI, INI_ARGS)
def test_a_present_option_can_be_found_where_it_was_put(text: str, wanted: dict[str, Any]) -> None:
    args = ini_file.Args(path="/x", **{**wanted, "state": "present", "ignore_spaces": False})
    section, found = None, []
    for line in ini_file.edit(text, args).text.split("\n"):
        header = re.match(r"\[\s*(.*?)\s*\]", line)
        if line.startswith("["):
            section = header[1] if header else line
        elif section == args.section:
            found.append(line)
    assert args.line("k" if args.option == "k" else "j", args.value or "").rstrip("\n") in found


# -- limits.conf -------------------------------------------------------------------------------------------------------

LIMITS = texts("joe soft core 1", "joe", "hard", "soft", "core", "* - nofile 5", "ann hard nice -3 # hers", "unlimited")


@settings(deadline=None)
@given(LIMITS, st.sampled_from(["1", "5", "unlimited"]), st.sampled_from(["", "use_max", "use_min"]))
def test_a_limit_that_was_set_stays_set(text: str, value: str, how: str) -> None:
    more: dict[str, Any] = {how: True} if how else {}
    args = pam_limits.Args(domain="joe", limit_type="soft", limit_item="core", value=value, **more)
    try:
        once = pam_limits.edit(text, args)
    except ModuleError:
        return
    assert pam_limits.edit(once.text, args).text == once.text
    others = [line for line in text.split("\n") if line and pam_limits.parse(line)[0][:3] != args.key]
    assert _is_kept(others, once.text.split("\n"))


@settings(deadline=None)
@given(st.text())
def test_any_line_can_be_asked_for_its_limit(line: str) -> None:
    fields, comment = pam_limits.parse(line)
    assert len(fields) in (0, 4)
    assert not comment or comment.startswith("#")


# -- password files ----------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(texts("ann:x", "bob:y", "ann", ":", "cid:{SHA}z", "#ann:x"))
def test_a_user_of_a_password_file_is_there_once(text: str) -> None:
    lines = [f"{line}\n" for line in text.split("\n")]
    made = htpasswd.put(lines, "ann", "new").removesuffix("\n").split("\n")
    assert [line for line in made if htpasswd.parse(line)[0] == "ann"] == ["ann:new"]
    others = [line for line in text.split("\n") if htpasswd.parse(line)[0] != "ann"]
    assert [line for line in made if line != "ann:new"] == others


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(["apr_md5_crypt", "ldap_sha1", "plaintext", "md5_crypt"]), st.text(max_size=40), st.text())
def test_a_hash_is_of_its_password_alone(scheme: str, password: str, other: str) -> None:
    assume("\0" not in password and not set(password) & set("\ud800\r\n") and password.isprintable())
    assume(all(not "\ud800" <= letter <= "\udfff" for letter in password + other))
    made = htpasswd_hashes.make(scheme, password)
    assert htpasswd_hashes.matches(password, made)
    assert other in (password, made) or not htpasswd_hashes.matches(other, made)


def test_apaches_hash_is_apaches() -> None:
    made = "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/"  # openssl passwd -apr1 -salt abcdefgh secret
    assert htpasswd_hashes.matches("secret", made)


@settings(deadline=None)
@given(st.text(), st.text(max_size=12))
def test_any_text_can_stand_in_the_place_of_a_hash(found: str, password: str) -> None:
    assume(all(not "\ud800" <= letter <= "\udfff" for letter in found + password))
    assert htpasswd_hashes.matches(password, found) in (True, False)


# -- locale.gen --------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(texts("de_DE.UTF-8 UTF-8", "# ", "C.UTF-8 UTF-8", "de_DE", "en_US ISO-8859-1"), st.booleans())
def test_locales_that_were_put_in_stay_as_they_are(text: str, present: bool) -> None:
    names, charsets = ["de_DE.UTF-8", "C.UTF-8"], {"de_DE.UTF-8": "UTF-8", "C.UTF-8": "UTF-8"}
    once = locale_gen.edit(text, names, charsets, present=present)
    assert locale_gen.edit(once, names, charsets, present=present) == once
    active = {line.split()[0] for line in once.split("\n") if line.strip() and not line.lstrip().startswith("#")}
    assert set(names) <= active if present else True


# -- blockinfile, replace, lineinfile ----------------------------------------------------------------------------------

BLOCKS = texts("# BEGIN ANSIBLE MANAGED BLOCK", "# END ANSIBLE MANAGED BLOCK", "port 80", "a", "\r")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@settings(deadline=None)
@given(BLOCKS, st.sampled_from(["x", "x\ny\n", ""]), st.sampled_from([None, "EOF", "^a"]), st.booleans())
def test_a_block_that_was_put_in_stays(text: str, block: str, after: str | None, newlines: bool) -> None:
    args = blockinfile.Args(
        path="/x", block=block, insertafter=after, append_newline=newlines, prepend_newline=newlines
    )
    once = blockinfile.edit(_bytes(text), args)
    lines = once.split(b"\n")
    begin, end = b"# BEGIN ANSIBLE MANAGED BLOCK", b"# END ANSIBLE MANAGED BLOCK"
    # Marks that a hand has made more of than one each are another matter.
    assume(lines.count(begin) <= 1 and lines.count(end) <= 1)
    assert blockinfile.edit(once, args) == once
    if block:
        inner = lines[lines.index(begin) + 1 : lines.index(end)]
        assert b"\n".join(inner) == block.rstrip("\n").encode()


@settings(deadline=None)
@given(BLOCKS)
def test_a_block_that_was_put_in_can_be_taken_out(text: str) -> None:
    assume("BEGIN" not in text and "END" not in text)
    put = blockinfile.edit(_bytes(text), blockinfile.Args(path="/x", block="x\n"))
    out = blockinfile.edit(put, blockinfile.Args(path="/x", state="absent"))
    assert out.removesuffix(b"\n") == _bytes(text).removesuffix(b"\n")


@settings(deadline=None)
@given(texts("a", "b", "aa"), st.sampled_from(["a+", "^", "$", "(a)|(b)", "x*"]), st.sampled_from(["", "b", "c\\g<0>"]))
def test_replacing_counts_what_it_replaced(text: str, regexp: str, new: str) -> None:
    edit = replace.substitute(text, replace.Args(path="/x", regexp=regexp, replace=new))
    assert edit.count == len(re.findall(regexp, text, re.MULTILINE))
    assert edit.count or edit.text == text


@settings(deadline=None)
@given(texts("a", "<", ">", "b"))
def test_replacing_touches_nothing_outside_its_section(text: str) -> None:
    args = replace.Args(path="/x", regexp="a", replace="X", after="<", before=">")
    edit = replace.substitute(text, args)
    if edit.missed:
        assert edit.text == text
        return
    start = text.index("<") + 1
    end = text.index(">", start)
    assert edit.text == text[:start] + text[start:end].replace("a", "X") + text[end:]


@settings(deadline=None)
@given(BLOCKS, st.sampled_from(["a", "port 81", ""]), st.sampled_from([None, "^port", "a$"]))
def test_a_line_with_odd_characters_loses_none(text: str, line: str, regexp: str | None) -> None:
    lines = [part + b"\n" for part in _bytes(text).split(b"\n")]
    edit = lineinfile.put(lines, lineinfile.Args(path="/x", line=line, regexp=regexp))
    changed = [old for old, new in zip(lines, edit.lines, strict=False) if old != new]
    assert len(edit.lines) - len(lines) in (0, 1)
    assert len(edit.lines) > len(lines) or len(changed) <= 1


# -- crontabs ----------------------------------------------------------------------------------------------------------

CRON = texts("#Ansible: job", "#Ansible: ", "* * * * * true", "PATH=/bin", "X=", "@daily", "0 5 * * *")


@settings(deadline=None)
@given(CRON, st.sampled_from(["present", "absent"]), st.booleans())
def test_a_crontab_that_was_edited_stays_as_it_is(text: str, state: str, variable: bool) -> None:
    args = cron.Args(name="X" if variable else "job", job="true", state=state, env=variable)  # type: ignore[arg-type]
    lines = text.split("\n")

    def edit(before: list[str]) -> list[str]:
        return cron.edit_variable(before, args) if variable else cron.edit_job(before, args, in_file=False)

    once = edit(lines)
    if state == "present":
        assert edit(once) == once
    assert abs(len(once) - len(lines)) <= 2


def test_a_form_feed_in_a_crontab_is_part_of_its_line() -> None:
    assert cron.lines_of("A=\x0cx\u2028\r\nB=1\n\nC") == ["A=\x0cx\u2028", "B=1", "", "C"]


@settings(deadline=None)
@given(CRON)
def test_a_job_that_was_added_can_be_removed(text: str) -> None:
    lines = text.split("\n")
    assume("#Ansible: job" not in lines and "* * * * * true" not in lines)
    put = cron.edit_job(lines, cron.Args(name="job", job="true"), in_file=False)
    assert cron.edit_job(put, cron.Args(name="job", state="absent"), in_file=False) == lines


# -- known hosts -------------------------------------------------------------------------------------------------------

HASHED = "|1|AAAAAAAAAAAAAAAAAAAAAAAAAAA=|BBBB"
HOSTS = texts("web ssh-rsa AAAA", "web,db ssh-rsa BBBB", HASHED, "|1|", "@revoked ", "ssh-rsa", "web", "AAAA")


@settings(deadline=None)
@given(HOSTS, st.booleans())
def test_a_key_that_was_put_stays(text: str, hashed: bool) -> None:
    args = known_hosts.Args(name="web", key="web ssh-rsa CCCC", hash_host=hashed)
    lines = [f"{line}\n" for line in text.split("\n")]
    once = known_hosts.put(lines, args)
    assert known_hosts.put(once, args) == once
    others = [line for line in lines if "web" not in line and "|1|" not in line]
    assert _is_kept(others, once)


@settings(deadline=None)
@given(HOSTS)
def test_a_host_that_was_removed_is_gone(text: str) -> None:
    args = known_hosts.Args(name="web", state="absent")
    left = known_hosts.remove([f"{line}\n" for line in text.split("\n")], args)
    assert known_hosts.remove(left, args) == left


@settings(deadline=None)
@given(st.text(), st.text(max_size=8))
def test_any_text_can_stand_in_the_place_of_a_hosts_name(field: str, name: str) -> None:
    assume(all(not "\ud800" <= letter <= "\udfff" for letter in field + name))
    assert known_hosts.matches(field, name) in (True, False)
