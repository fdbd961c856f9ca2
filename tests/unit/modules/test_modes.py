"""test_modes: permissions as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybible.agent.modules.modes import ModeError, resolve, symbolic

BITS = st.integers(min_value=0, max_value=0o7777)
WHO = st.sampled_from(["u", "g", "o", "a", "ug", "go", "ugo"])
PERMISSIONS = st.text(alphabet="rwxXst", max_size=4)


def change(mode: str, bits: int, *, directory: bool = False, umask: int = 0o022) -> int:
    return symbolic(mode, bits, directory=directory, umask=umask)


@pytest.mark.parametrize(
    ("mode", "before", "after"),
    [
        ("u+x", 0o644, 0o744),
        ("u+x,g-r", 0o644, 0o704),
        ("u=rw,g=r,o=", 0o777, 0o640),
        ("a=rX", 0o644, 0o444),
        ("a=rX", 0o744, 0o555),
        ("a+X", 0o644, 0o644),
        ("g=u", 0o640, 0o660),
        ("go=u-w", 0o600, 0o644 & ~0o200 | 0o200),
        ("+x", 0o644, 0o755),
        ("+w", 0o444, 0o644),
        ("=r", 0o777, 0o444),
        ("u+s,g+s,+t", 0o755, 0o7755),
        ("u=rwx", 0o4700, 0o700),
        ("u+x-w", 0o600, 0o500),
        ("o-rwx,", 0o777, 0o770),
        ("", 0o640, 0o640),
    ],
)
def test_symbols_change_the_present_mode(mode: str, before: int, after: int) -> None:
    assert change(mode, before) == after


def test_a_capital_x_counts_for_every_directory() -> None:
    assert change("a+X", 0o600, directory=True) == 0o711


@pytest.mark.parametrize(
    ("mode", "bits"),
    [
        ("0644", 0o644),
        ("644", 0o644),
        ("4755", 0o4755),
        (420, 0o644),
        (0o1777, 0o1777),
        ("0o640", 0o640),
        (99999, 0o3237),
    ],
)
def test_numbers_are_octal_text_or_plain(mode: str | int, bits: int) -> None:
    assert resolve(mode, 0, directory=False, umask=0o022) == bits


@pytest.mark.parametrize("mode", ["foo", "0699", "u+q", "u=rw g=r", "u", "x+r", "u=rg"])
def test_what_is_no_mode_is_named(mode: str) -> None:
    with pytest.raises(ModeError, match=f"bad symbolic permission for mode: {mode}".replace("+", r"\+")):
        resolve(mode, 0o644, directory=False, umask=0o022)


@settings(deadline=None)
@given(BITS, BITS)
def test_spelling_out_all_bits_gives_those_bits_whatever_was_there(before: int, wanted: int) -> None:
    def letters(shift: int, special: str) -> str:
        found = "".join(letter for letter, bit in (("r", 4), ("w", 2), ("x", 1)) if wanted >> shift & bit)
        return found + special

    mode = ",".join(
        (
            "u=" + letters(6, "s" if wanted & 0o4000 else ""),
            "g=" + letters(3, "s" if wanted & 0o2000 else ""),
            "o=" + letters(0, "t" if wanted & 0o1000 else ""),
        )
    )
    assert change(mode, before) == wanted


@settings(deadline=None)
@given(WHO, PERMISSIONS, BITS, st.booleans())
def test_plus_only_adds_and_minus_only_takes(who: str, permissions: str, bits: int, directory: bool) -> None:
    more = change(f"{who}+{permissions}", bits, directory=directory)
    less = change(f"{who}-{permissions}", bits, directory=directory)
    assert more & bits == bits
    assert less & ~bits == 0


@settings(deadline=None)
@given(WHO, st.sampled_from("+-="), PERMISSIONS, BITS, st.booleans())
def test_the_second_time_changes_nothing(who: str, operator: str, permissions: str, bits: int, directory: bool) -> None:
    # X looks at the execute bits of the moment: "=X" takes them away, and is the one that may change its mind.
    mode = f"{who}{operator}{permissions.replace('X', 'x') if operator == '=' else permissions}"
    once = change(mode, bits, directory=directory)
    if operator != "-" or "X" not in permissions:
        assert change(mode, once, directory=directory) == once


@settings(deadline=None)
@given(WHO, st.sampled_from("+-="), PERMISSIONS, BITS)
def test_a_class_that_is_not_named_keeps_its_bits(who: str, operator: str, permissions: str, bits: int) -> None:
    after = change(f"{who}{operator}{permissions}", bits)
    for name, mask in (("u", 0o700), ("g", 0o070), ("o", 0o007)):
        if name not in who and "a" not in who:
            assert after & mask == bits & mask
