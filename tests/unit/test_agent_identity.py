"""test_agent_identity: an agent's key is its own account's, and is replaced in time."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pybible.agent import state
from pybible.agent.rekey import validity
from pybible.server.controller.pki.authority import open_authority
from pybible.server.controller.pki.signing import key_pem, new_key
from pybible.wire.errors import ConfigError
from pybible.wire.identity import Identity, Role


def enrolled(folder: Path, *, lifetime: timedelta = timedelta(days=7)) -> state.AgentIdentity:
    """Write an agent's identity to `folder`/agent and return it."""
    authority = open_authority(folder / "pki")
    key = new_key()
    issued = authority.issue(Identity(Role.AGENT, "an-id"), key.public_key(), lifetime)
    identity = state.AgentIdentity(
        id="an-id",
        name="web01",
        controller="controller.example.com:7150",
        key=key_pem(key),
        certificate=issued.pem,
        authority=authority.certificate_pem,
    )
    state.prepare(folder / "agent")
    state.save_identity(folder / "agent", identity)
    return identity


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    identity = enrolled(tmp_path)
    assert state.load_identity(tmp_path / "agent") == identity


def test_a_renewal_that_was_cut_short_leaves_a_key_with_its_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = enrolled(tmp_path)
    written: list[Path] = []

    def breaks_off(path: Path, content: bytes) -> None:
        if written:
            raise OSError("killed")
        written.append(path)
        path.write_bytes(content)

    monkeypatch.setattr(state, "write_private", breaks_off)
    key = new_key()
    authority = open_authority(tmp_path / "pki")
    issued = authority.issue(Identity(Role.AGENT, "an-id"), key.public_key(), timedelta(days=7))
    renewed = replace(identity, key=key_pem(key), certificate=issued.pem, expires=1.0)
    with pytest.raises(ConfigError):
        state.save_identity(tmp_path / "agent", renewed)
    found = state.load_identity(tmp_path / "agent")
    assert (found.key, found.certificate) == (renewed.key, renewed.certificate)
    assert found.expires == identity.expires


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o700])
def test_a_key_that_others_may_open_is_refused(tmp_path: Path, mode: int) -> None:
    enrolled(tmp_path)
    path = tmp_path / "agent" / "agent.pem"
    path.chmod(mode)
    with pytest.raises(ConfigError, match=rf"agent\.pem holds a key .* \(mode {mode:04o}\)") as caught:
        state.load_identity(tmp_path / "agent")
    assert caught.value.hint == f"If nobody else has read it: chmod 600 {path}"


def test_a_key_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enrolled(tmp_path)
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(ConfigError, match=r"agent\.pem belongs to another user") as caught:
        state.load_identity(tmp_path / "agent")
    assert f"chown {owner + 1} " in (caught.value.hint or "")


def test_a_certificate_is_renewed_at_half_of_its_life_more_or_less(tmp_path: Path) -> None:
    lifetime = timedelta(days=7)
    certificate = enrolled(tmp_path, lifetime=lifetime).certificate
    life = lifetime.total_seconds()
    moments = [(validity(certificate)[0] - time.time()) / life for _ in range(200)]
    assert 0.449 < min(moments) < 0.47
    assert 0.53 < max(moments) < 0.551
