"""test_become: whom a task may ask to run as, and what is no user at all."""

from __future__ import annotations

import os

import pytest

from pybible.agent.become import OWN, BecomeError, identity_of
from pybible.wire.tasks import Become


@pytest.mark.parametrize("field", ["user", "flags", "executable"])
def test_a_null_character_is_no_part_of_whom_a_task_becomes(field: str) -> None:
    with pytest.raises(BecomeError, match="null character"):
        identity_of(Become(**{"user": "daemon", "method": "sudo", "flags": "", "executable": "", field: "a\0b"}))


@pytest.mark.parametrize("user", ["²", "٣", "9" * 5000])
def test_digits_that_are_no_id_are_a_name(user: str) -> None:
    assert identity_of(Become(user=user, method="sudo", flags="", executable="")).user == user


def test_the_agents_own_id_needs_no_other_worker() -> None:
    assert identity_of(Become(user=str(os.geteuid()), method="sudo", flags="", executable="")) == OWN
