"""Vault text: read and written as ansible-vault does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybible.server.engine.vault import VaultSecret, VaultSecrets, is_vaulted, vault_id_of
from pybible.wire.errors import Origin, VaultError

# Written by ansible-vault of ansible-core 2.19.14: `hello\n`, password `secret`; the second with the id dev.
WRITTEN_1_1 = """\
$ANSIBLE_VAULT;1.1;AES256
64656264646139666365663663663562613933666636353565663533373937663938316436376639
6661313033383065636564313037316166616563303435370a663764303532353037623464663761
31323362643934636639663636376163666639336563383233323730323330613036663034386662
3235633530393963620a333332656633353063363535303334633339343062366362663961656538
3933
"""
WRITTEN_1_2 = """\
$ANSIBLE_VAULT;1.2;AES256;dev
39613536613631313430363862323665396339376435616230393435393463316436643661343865
3064333432633738656136353063366263303433303739610a316462333634336364396563353562
63346161303938356664623863356666653963343237333737373934643237326336363731313631
3331356633613232640a373631336336346162613930653839303961646233656462336632353737
3831
"""
SECRETS = VaultSecrets((VaultSecret("default", b"secret"),))


@pytest.mark.parametrize(("text", "vault_id"), [(WRITTEN_1_1, "default"), (WRITTEN_1_2, "dev")])
def test_text_of_ansible_vault_opens(text: str, vault_id: str) -> None:
    assert vault_id_of(text) == vault_id
    assert SECRETS.decrypt(text) == b"hello\n"
    assert SECRETS.decrypt(text.encode()) == b"hello\n"


def test_indented_text_of_a_yaml_block_opens() -> None:
    assert SECRETS.decrypt(WRITTEN_1_1.replace("\n", "\n   ")) == b"hello\n"


@settings(max_examples=15, deadline=None)
@given(
    clear=st.binary(max_size=300), password=st.binary(min_size=1, max_size=40), vault_id=st.sampled_from(["", "dev"])
)
def test_what_is_encrypted_decrypts(clear: bytes, password: bytes, vault_id: str) -> None:
    secrets = VaultSecrets((VaultSecret(vault_id or "default", password),))
    text = secrets.encrypt(clear, vault_id=vault_id)
    assert is_vaulted(text)
    assert text.startswith("$ANSIBLE_VAULT;1.2;AES256;dev\n" if vault_id else "$ANSIBLE_VAULT;1.1;AES256\n")
    assert max(len(line) for line in text.splitlines()[1:]) <= 80
    assert secrets.decrypt(text) == clear


def test_the_secret_that_the_text_names_is_tried_first_and_the_others_then() -> None:
    many = VaultSecrets((VaultSecret("a", b"wrong"), VaultSecret("dev", b"wrong too"), VaultSecret("b", b"secret")))
    assert many.decrypt(WRITTEN_1_2) == b"hello\n"


def test_only_the_named_secret_counts_when_ids_must_match() -> None:
    strict = VaultSecrets((VaultSecret("other", b"secret"),), only_matching_ids=True)
    with pytest.raises(VaultError, match="Decryption failed"):
        strict.decrypt(WRITTEN_1_2)


def test_a_wrong_password_is_told_with_the_place() -> None:
    wrong = VaultSecrets((VaultSecret("default", b"wrong"),))
    with pytest.raises(VaultError, match="no vault secrets were found that could decrypt") as caught:
        wrong.decrypt(WRITTEN_1_1, origin=Origin("vars.yml", 3, 5))
    assert caught.value.origin == Origin("vars.yml", 3, 5)


def test_without_secrets_nothing_opens() -> None:
    with pytest.raises(VaultError, match="no vault secrets found"):
        VaultSecrets().decrypt(WRITTEN_1_1)
    with pytest.raises(VaultError, match="no vault secret"):
        VaultSecrets().encrypt(b"x")


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "$ANSIBLE_VAULT",
        "$ANSIBLE_VAULT;1.1",
        "$ANSIBLE_VAULT;1.1;AES256\n",
        "$ANSIBLE_VAULT;1.1;AES256\n313",
        "$ANSIBLE_VAULT;1.1;AES256\nzz",
        "$ANSIBLE_VAULT;9.9;AES256\n3131",
        "$ANSIBLE_VAULT;1.1;ROT13\n3131",
        WRITTEN_1_1[: len(WRITTEN_1_1) // 2],
        WRITTEN_1_1[:-3],
    ],
)
def test_damaged_text_is_a_clear_error(text: str) -> None:
    with pytest.raises(VaultError):
        SECRETS.decrypt(text)


def test_a_changed_digit_is_noticed() -> None:
    position = len(WRITTEN_1_1) - 10
    digit = "3" if WRITTEN_1_1[position] != "3" else "6"
    with pytest.raises(VaultError):
        SECRETS.decrypt(WRITTEN_1_1[:position] + digit + WRITTEN_1_1[position + 1 :])


@pytest.mark.skipif(shutil.which("ansible-vault") is None, reason="ansible-vault is not on PATH")
def test_ansible_vault_opens_what_is_written_here(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    vaulted = tmp_path / "vaulted"
    vaulted.write_text(SECRETS.encrypt("grüße\n".encode()))
    shown = subprocess.run(
        ["ansible-vault", "view", "--vault-password-file", tmp_path / "password", vaulted],
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert shown.stdout.decode() == "grüße\n"
