"""test_signing: a signature covers all that decides what a host does, and is good for one host and for a time."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from pybible.wire.errors import ConfigError
from pybible.wire.signing import LONGEST_SECONDS, SigningKey, problem_with, read_public_keys
from pybible.wire.tasks import Attachment, Become, Signature, TaskSpec

TASK = TaskSpec(
    module="command",
    args=b'{"_raw_params":"id"}',
    environment={"A": "1", "B": "2"},
    become=Become(user="www-data"),
    timeout=1.5,
    attachments=(Attachment(sha256="0" * 64, size=5),),
)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return SigningKey.create(tmp_path_factory.mktemp("key") / "signing.key")


def problem(
    key: SigningKey,
    spec: TaskSpec,
    signature: Signature | None,
    *,
    attempt_id: str = "run.1",
    name: str = "web01",
    later: float = 0,
) -> str:
    keys = read_public_keys([f"{key.public} ada"])
    now = time.time() + later
    return problem_with(signature, spec, attempt_id=attempt_id, names=("id-of-web01", name), keys=keys, now=now)


def test_what_was_signed_for_this_host_is_taken(key: SigningKey) -> None:
    signature = key.sign(TASK, attempt_id="run.1", agent="web01")
    assert problem(key, TASK, signature) == ""
    assert problem(key, TASK, key.sign(TASK, attempt_id="run.1", agent="id-of-web01")) == ""


@pytest.mark.parametrize(
    "changed",
    [
        replace(TASK, module="shell"),
        replace(TASK, args=b'{"_raw_params":"reboot"}'),
        replace(TASK, environment={"A": "1", "B": "3"}),
        replace(TASK, environment={"A": "1"}),
        replace(TASK, become=None),
        replace(TASK, become=Become(user="root")),
        replace(TASK, become=Become(user="www-data", executable="/tmp/sudo")),
        replace(TASK, timeout=None),
        replace(TASK, check=True),
        replace(TASK, diff=True),
        replace(TASK, no_log=True),
        replace(TASK, terminate=True),
        replace(TASK, output_limit=7),
        replace(TASK, verbosity=3),
        replace(TASK, attachments=()),
        replace(TASK, attachments=(Attachment(sha256="1" * 64, size=5),)),
    ],
)
def test_a_task_that_was_altered_is_refused(key: SigningKey, changed: TaskSpec) -> None:
    signature = key.sign(TASK, attempt_id="run.1", agent="web01")
    assert problem(key, changed, signature) == "the task is not what was signed"


def test_content_that_came_with_the_task_is_what_its_sum_says(key: SigningKey) -> None:
    spec = replace(TASK, attachments=(Attachment(sha256="0" * 64, size=5, inline=b"hello"),))
    signature = key.sign(spec, attempt_id="run.1", agent="web01")
    assert problem(key, spec, signature) == "a content of the task is not what was signed"


def test_a_signature_is_for_one_attempt_on_one_host(key: SigningKey) -> None:
    signature = key.sign(TASK, attempt_id="run.1", agent="web01")
    assert problem(key, TASK, signature, attempt_id="run.2") == "the task is not what was signed"
    assert problem(key, TASK, signature, name="web02") == "the task is signed for 'web01', not for this host"
    assert problem(key, TASK, replace(signature, agent="web02"), name="web02") == "the task is not what was signed"


def test_a_signature_is_good_for_a_time(key: SigningKey) -> None:
    signature = key.sign(TASK, attempt_id="run.1", agent="web01")
    text = "the task's signature has expired, or is good for too long"
    assert problem(key, TASK, signature, later=LONGEST_SECONDS) == text
    assert problem(key, TASK, signature, later=-LONGEST_SECONDS) == text
    assert problem(key, TASK, replace(signature, expires=signature.expires + 1)) == "the task is not what was signed"


def test_only_listed_keys_count(key: SigningKey, tmp_path: Path) -> None:
    other = SigningKey.create(tmp_path / "other.key")
    signature = other.sign(TASK, attempt_id="run.1", agent="web01")
    assert problem(key, TASK, signature) == "the task is signed with a key that this host does not list"
    mine = key.sign(TASK, attempt_id="run.1", agent="web01")
    assert problem(key, TASK, replace(signature, key=mine.key)) == "the task is not what was signed"
    assert problem(key, TASK, None) == "the task is not signed"


def test_a_key_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "signing.key"
    made = SigningKey.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.load(path).public == made.public
    with pytest.raises(ConfigError, match="File exists"):
        SigningKey.create(path)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="others than its owner"):
        SigningKey.load(path)
    path.chmod(0o600)
    path.write_text("nonsense")
    with pytest.raises(ConfigError, match="not a private key"):
        SigningKey.load(path)
    with pytest.raises(ConfigError, match="can't read"):
        SigningKey.load(tmp_path / "none")


@pytest.mark.parametrize("line", ["", "ed25519", "ed25519 abc", "ed25519 AAAA ada", "rsa " + "A" * 43 + "="])
def test_a_line_that_is_no_public_key_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match='public keys like "ed25519 BASE64 NAME"'):
        read_public_keys([line])
