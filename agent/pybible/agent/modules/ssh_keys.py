"""ssh_keys: the lines of authorized_keys files: options, type, key and comment. Text in, text out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pybible.agent.modules.rewrite import lines_of

_BLANKS = re.compile(r"[ \t]+")
TYPES = frozenset(
    {
        "sk-ecdsa-sha2-nistp256@openssh.com",
        "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
        "webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp256-cert-v01@openssh.com",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp384-cert-v01@openssh.com",
        "ecdsa-sha2-nistp521",
        "ecdsa-sha2-nistp521-cert-v01@openssh.com",
        "sk-ssh-ed25519@openssh.com",
        "sk-ssh-ed25519-cert-v01@openssh.com",
        "ssh-ed25519",
        "ssh-ed25519-cert-v01@openssh.com",
        "ssh-dss",
        "ssh-rsa",
        "ssh-xmss@openssh.com",
        "ssh-xmss-cert-v01@openssh.com",
        "rsa-sha2-256",
        "rsa-sha2-512",
        "ssh-rsa-cert-v01@openssh.com",
        "rsa-sha2-256-cert-v01@openssh.com",
        "rsa-sha2-512-cert-v01@openssh.com",
        "ssh-dss-cert-v01@openssh.com",
    }
)


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `options` are the parts between commas, as they were written."""

    options: tuple[str, ...]
    kind: str
    data: str
    comment: str

    def same(self, other: Key) -> bool:
        """Tell whether nothing differs; the order of options means nothing."""
        mine, theirs = ((sorted(key.options), key.kind, key.data, key.comment) for key in (self, other))
        return mine == theirs

    def line(self) -> str:
        """Return it as a line of the file."""
        words = (self.kind, self.data, self.comment)
        return " ".join([",".join(self.options), *words] if self.options else words)


def _unquoted(text: str, ends: str) -> int:
    """Return where the first of `ends` outside of double quotes is, the text's length when there is none."""
    quoted = escaped = False
    for at, letter in enumerate(text):
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = True
        elif letter == '"':
            quoted = not quoted
        elif not quoted and letter in ends:
            return at
    return len(text)


def split_options(text: str) -> tuple[str, ...]:
    """Return the options of a key, which commas outside of quotes separate."""
    options = []
    while text:
        at = _unquoted(text, ",")
        options.append(text[:at])
        text = text[at + 1 :]
    return tuple(option for option in options if option)


def parse_key(line: str) -> Key | None:
    """Return the key of a line, None when there is none."""
    text = line.strip(" \t\r")
    if not text or text.startswith("#"):
        return None
    options = ""
    if _BLANKS.split(text, maxsplit=1)[0] not in TYPES:
        at = _unquoted(text, " \t")
        options, text = text[:at], text[at:].lstrip(" \t")
    words = _BLANKS.split(text)
    if len(words) < 2 or words[0] not in TYPES:
        return None
    return Key(split_options(options), words[0], words[1], " ".join(words[2:]))


class Lines:
    """The lines of a file, a key or a line of anything else each: every key, and every other line, is there once."""

    def __init__(self, text: str) -> None:
        self._found: dict[str, Key | None] = {}
        for line in lines_of(text):
            key = parse_key(line)
            name = line if key is None else key.data
            # What comes later counts, in its place.
            self._found.pop(name, None)
            self._found[name] = key

    def get(self, data: str) -> Key | None:
        """Return the key of that data."""
        return self._found.get(data)

    def put(self, key: Key) -> None:
        """Add a key at the end, in the place of an older one of the same data."""
        self._found.pop(key.data, None)
        self._found[key.data] = key

    def remove(self, data: str) -> None:
        """Take a key away."""
        del self._found[data]

    def only(self, wanted: set[str]) -> bool:
        """Take all but the keys of these data away. Return whether there were any, lines of anything else included."""
        others = [name for name in self._found if name not in wanted]
        for name in others:
            del self._found[name]
        return bool(others)

    def text(self) -> str:
        """Return the file's text."""
        return "".join(f"{name if key is None else key.line()}\n" for name, key in self._found.items())
