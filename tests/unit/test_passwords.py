"""test_passwords: password_hash gives what ansible-core 2.19.14 gave, with passlib 1.7.4 and without."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from pybible.server.engine.model.text import Trusted
from pybible.server.engine.templating.engine import TemplateEngine
from pybible.server.engine.templating.filters import passwords
from pybible.server.engine.templating.filters.passwords import password_hash
from pybible.server.engine.templating.templar import Templar
from pybible.wire.errors import Origin, PybibleError

SHA512 = "$6$saltsalt$mXmsbOzRhx9FdAbQCUHYMV8i33aUx8FUsjR813r/Te3OUwcAdbwkebLKfLOfUCihpvpN7Ji1TH3bltSG02PNE1"


@pytest.fixture
def crypt(monkeypatch: pytest.MonkeyPatch) -> None:
    """No passlib, whatever is installed."""
    monkeypatch.setattr(passwords, "find_spec", lambda _name: None)


@pytest.mark.usefixtures("crypt")
@pytest.mark.parametrize(
    ("scheme", "options", "hashed"),
    [
        ("sha512", {}, SHA512),
        ("sha512_crypt", {"rounds": 5000}, SHA512.replace("$6$", "$6$rounds=5000$")),
        ("sha256", {}, "$5$saltsalt$yq1e3uCn05golCpAZpAtIJ0t3Ir9d/WUXXo2ps/jrkD"),
        ("md5", {}, "$1$saltsalt$7fq7ZEc75157blrz18yX./"),
        (
            "bcrypt",
            {"salt": "1234567890123456789012"},
            "$2b$12$123456789012345678901uhEN2Q1d74sjmCQgweuTj8luBWJZ2CWW",
        ),
    ],
)
def test_the_systems_crypt(scheme: str, options: dict[str, object], hashed: str) -> None:
    assert password_hash("abc", scheme, **{"salt": "saltsalt", **options}) == hashed  # type: ignore[arg-type]


@pytest.mark.usefixtures("crypt")
@pytest.mark.parametrize(
    ("scheme", "salt", "message"),
    [
        ("nosuch", "x", "crypt does not support 'nosuch' algorithm"),
        ("sha512", "bad salt", "invalid characters in salt"),
    ],
)
def test_what_crypt_does_not_take(scheme: str, salt: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        password_hash("abc", scheme, salt)


@pytest.mark.parametrize(
    ("scheme", "rounds"), [("sha512", 999_999_999), ("md5", "999999999"), ("bcrypt", 31), ("blowfish", 18)]
)
def test_what_would_take_for_ever(scheme: str, rounds: object) -> None:
    with pytest.raises(ValueError, match=f"rounds of {scheme} must be at most"):
        password_hash("abc", scheme, rounds=rounds)  # type: ignore[arg-type]


class Scheme:
    """A scheme of a stand-in for passlib: shows what it is asked for."""

    def __init__(self, **given: object) -> None:
        self.given = given

    @classmethod
    def using(cls, **given: object) -> Scheme:
        if len(str(given.get("salt", ""))) > 16:
            raise ValueError("salt too large (sha512_crypt requires <= 16 chars)")
        return cls(**given)

    def hash(self, secret: object) -> str:
        return f"{secret!r} {self.given}"


@pytest.fixture
def passlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for passlib."""
    hashes = ModuleType("passlib.hash")
    hashes.sha512_crypt = hashes.bcrypt = Scheme  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "passlib", ModuleType("passlib"))
    monkeypatch.setitem(sys.modules, "passlib.hash", hashes)
    monkeypatch.setattr(passwords, "find_spec", lambda _name: object())


@pytest.mark.usefixtures("passlib")
@pytest.mark.parametrize(
    ("scheme", "options", "asked"),
    [
        ("sha512", {"salt": "s"}, "{'salt': 's'}"),
        ("sha512", {"salt_size": 8, "rounds": 1000, "ident": "x"}, "{'salt_size': 8, 'rounds': 1000}"),
        ("blowfish", {}, "{'ident': '2b'}"),
        ("bcrypt", {"ident": "2a"}, "{'ident': '2a'}"),
    ],
)
def test_passlib_is_preferred(scheme: str, options: dict[str, object], asked: str) -> None:
    assert password_hash("abc", scheme, **options) == f"'abc' {asked}"  # type: ignore[arg-type]


@pytest.mark.usefixtures("passlib")
@pytest.mark.parametrize(
    ("secret", "scheme", "salt", "message"),
    [
        (
            "abc",
            "nosuch",
            "s",
            "nosuch is not in the list of supported passlib algorithms: md5, blowfish, sha256, sha512",
        ),
        ("abc", "__name__", "s", "__name__ is not in the list"),
        ("abc", "sha512", "s" * 17, "Could not hash the secret: salt too large"),
        (123, "sha512", "s", "secret must be unicode or bytes, not int"),
    ],
)
def test_what_passlib_does_not_take(secret: object, scheme: str, salt: str, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        password_hash(secret, scheme, salt)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ 'x' | pow(2) }}", r"pow\(\) can only be used on numbers: must be real number, not str"),
        ("{{ 1 | to_datetime }}", r"strptime\(\) argument 1 must be str, not int"),
        ("{{ 'x' | human_readable }}", r"human_readable\(\) failed on bad input"),
        ("{{ [{'p': 'a'}, {'p': 'a'}] | rekey_on_member('p') }}", "Key 'a' is not unique, cannot convert to dict"),
        ("{{ lookup('env', 'NO_SUCH_HERE', default=undef()) }}", "The environment variable 'NO_SUCH_HERE' is not set"),
        ("{{ lookup('password', '/dev/null bad=1') }}", r"Unrecognized parameter\(s\) given to password lookup: bad"),
    ],
)
def test_wrong_values_and_options_are_worded_as_ansible_does(text: str, message: str) -> None:
    with pytest.raises(PybibleError, match=message):
        Templar(TemplateEngine()).render(Trusted(text, Origin("x.yml", 1, 1)))
