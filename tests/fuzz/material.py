"""material: what is fed to readers: odd texts, damaged files and bytes, and any message of the protocol."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

ESCAPES = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x9b31m\u202e\r\b\n"
ODD_TEXTS = (
    "", " ", "\0", "\n", "a\nb", ESCAPES, "\u2028", "\ufeff", "é", "\U0001f600", "٣", "²", "..",
    "../../etc/passwd", "/",
    "-", "--help", "~", "*", "[", "[a", "a[1:3]", "{{ 1 }}", "{%", "%s", "%(x)s", "$(id)", "null", "0", "-1", "1e999",
    "NaN", "true", "web01", "a" * 300, "x" * 5000,
)  # fmt: skip
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=24)
ODD_TEXT = st.sampled_from(ODD_TEXTS) | TEXT
ODD_BYTES = st.sampled_from([text.encode() for text in ODD_TEXTS]) | st.binary(max_size=64)

_DEPTH = 3
_WHOLE = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}


def whole(least: int, most: int) -> st.SearchStrategy[int]:
    """Return whole numbers in the bounds, the ends of the range often."""
    edges = [each for each in (least, most, -1, 0, 1, 2, 10, 1000) if least <= each <= most]
    return st.sampled_from(edges) | st.integers(least, most)


@st.composite
def damaged(draw: st.DrawFn, samples: Sequence[str]) -> str:
    """Return one of the texts as it is, cut, with lines left out or mixed, with odd pieces in it; or any text."""
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return draw(st.text(max_size=200))
    text = draw(st.sampled_from(samples))
    if kind == 1:
        return "".join(draw(st.lists(st.sampled_from(text.splitlines(keepends=True) or [""]), max_size=12)))
    for _ in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, len(text)))
        end = draw(st.integers(begin, min(len(text), begin + 12)))
        text = text[:begin] + draw(ODD_TEXT | st.sampled_from(list(":=,[]{}#\"'\\|>&*!%@`- \t\n"))) + text[end:]
    return text


@st.composite
def mutated(draw: st.DrawFn, whole_ones: st.SearchStrategy[bytes]) -> bytes:
    """Return bytes with some changed, cut out, doubled or put in."""
    data = bytearray(draw(whole_ones))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        kind = draw(st.integers(0, 4))
        if kind == 0:
            del data[at : at + draw(st.integers(1, 16))]
        elif kind == 1:
            data[at:at] = draw(st.binary(min_size=1, max_size=16))
        elif kind == 2:
            data[at:at] = data[: draw(st.integers(0, 64))]
        elif kind == 3 and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        else:
            data[at : at + 4] = struct.pack(">I", draw(st.sampled_from([0, 1, 255, 65535, 2**31 - 1, 2**32 - 1])))
    return bytes(data)


def messages(kind: type[Message], *, words: Sequence[str] = (), depth: int = _DEPTH) -> st.SearchStrategy[Message]:
    """Return any messages of a kind; a text is one of `words` now and then."""
    return _filled(kind, tuple(words), depth)


def encoded(kind: type[Message], *, words: Sequence[str] = ()) -> st.SearchStrategy[bytes]:
    """Return messages of a kind as bytes, some of them damaged."""
    whole_ones = messages(kind, words=words).map(lambda message: message.SerializeToString())
    return whole_ones | mutated(whole_ones)


@st.composite
def _filled(draw: st.DrawFn, kind: type[Message], words: tuple[str, ...], depth: int) -> Message:
    message = kind()
    descriptor: Any = kind.DESCRIPTOR
    if len(descriptor.oneofs) == 1 and len(descriptor.oneofs[0].fields) == len(descriptor.fields):
        _set(draw, message, draw(st.sampled_from(list(descriptor.fields))), words, depth)
        return message
    for field in descriptor.fields:
        if draw(st.integers(0, 2)):
            _set(draw, message, field, words, depth)
    return message


def _set(draw: st.DrawFn, message: Message, field: FieldDescriptor, words: tuple[str, ...], depth: int) -> None:
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        found = getattr(message, field.name)
        for key, value in draw(st.dictionaries(ODD_TEXT, ODD_TEXT, max_size=3)).items():
            found[key] = value
    elif inner is not None:
        if depth <= 0:
            return
        values = messages(GetMessageClass(inner), words=words, depth=depth - 1)
        if field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(values, max_size=3)))
        else:
            getattr(message, field.name).CopyFrom(draw(values))
    elif field.is_repeated:
        getattr(message, field.name).extend(draw(st.lists(_plain(field, words), max_size=4)))
    else:
        setattr(message, field.name, draw(_plain(field, words)))


def _plain(field: FieldDescriptor, words: tuple[str, ...]) -> st.SearchStrategy[object]:
    if field.type in _WHOLE:
        return whole(*_WHOLE[field.type])
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    if field.type == FieldDescriptor.TYPE_ENUM:
        return st.integers(0, 12)
    if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        return st.floats()
    if field.type == FieldDescriptor.TYPE_BYTES:
        json = st.sampled_from([b"{}", b'{"data": "x"}', b"[" * 3000, b'{"a":' * 500, b"[]", b'{"changed": 1e999}'])
        return ODD_BYTES | json
    return st.sampled_from(words) | ODD_TEXT if words else ODD_TEXT
