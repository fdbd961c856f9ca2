"""yaml_source: YAML and JSON of the operator's to values that know their place and whether they may be templates.

libyaml's events are turned into `Trusted`, `SourceDict`, `SourceList` and `Vaulted` in one pass. A file that is too
large, nested too deep, or that its aliases would blow up is refused before it costs memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from yaml import events
from yaml.cyaml import CSafeLoader
from yaml.error import YAMLError

from pybible.server.engine.model.notices import located
from pybible.server.engine.model.text import SourceDict, SourceList, Trusted, Vaulted
from pybible.server.engine.parsing import yaml_errors, yaml_scalars
from pybible.server.engine.parsing.yaml_bounds import MAX_DEPTH, MAX_VALUES, TOO_DEEP, TOO_MANY
from pybible.server.engine.parsing.yaml_scalars import MERGE, STR, TAG
from pybible.wire.errors import Origin, ParseError

MAX_BYTES: Final = 10 * 1024 * 1024

_TEXT_TAGS: Final = frozenset({STR, MERGE, TAG + "value"})
_VAULT_TAGS: Final = frozenset({"!vault", "!vault-encrypted"})
VAULT_HEADER: Final = "$ANSIBLE_VAULT;"

Warn: TypeAlias = Callable[[str], None]


class Decrypter(Protocol):
    """What opens vaulted text: engine.vault's VaultSecrets."""

    def decrypt(self, text: str, *, origin: Origin | None = None) -> bytes:
        """Return the plain content. Raises VaultError."""


class DuplicateKey(str):
    """The warning that a key stands twice in a mapping; `problem` and `origin` are for those to whom it is an error."""

    __slots__ = ("origin", "problem")
    problem: str
    origin: Origin

    @classmethod
    def of(cls, key: str, origin: Origin) -> DuplicateKey:
        """Return it."""
        message = f"Found duplicate mapping key {key}."
        warning = cls(located(message, origin, hint="Using last defined value only."))
        warning.problem, warning.origin = yaml_errors.PREFIX + message, origin
        return warning


def _silent(text: str) -> None:
    """Warn nobody."""


def load_yaml(text: str, file: str, *, trusted: bool = True, warn: Warn = _silent) -> object:
    """Read one YAML or JSON document. `file` names it in positions. Nothing in it: None. Raises ParseError."""
    if len(text) > MAX_BYTES:
        raise ParseError(f"the file is larger than {MAX_BYTES // 1024 // 1024} MiB", origin=Origin(file))
    text = text.removeprefix("\ufeff")
    if text.lstrip()[:1] in ("{", "["):
        try:
            return _from_json(json.loads(text), Origin(file), trusted)
        except (ValueError, RecursionError):
            pass  # YAML flow style begins in the same way
    return _Builder(text, file, trusted=trusted, warn=warn).document()


def read_text(path: Path, vault: Decrypter | None = None) -> str:
    """Return a file's text, decrypted when the whole file is vaulted. Raises ParseError, VaultError."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ParseError(f"the file {path} could not be found") from error
    except OSError as error:
        raise ParseError(f"the file {path} could not be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise ParseError(f"the file is larger than {MAX_BYTES // 1024 // 1024} MiB", origin=Origin(str(path)))
    try:
        text = content.decode("utf-8")
        if not text.startswith(VAULT_HEADER):
            return text
        if vault is None:
            raise ParseError("Attempting to decrypt but no vault secrets found.", origin=Origin(str(path)))
        return vault.decrypt(text, origin=Origin(str(path))).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParseError(f"the file {path} is not UTF-8 text (byte {error.start})", origin=Origin(str(path))) from error


def load_file(path: Path, vault: Decrypter | None = None, *, trusted: bool = True, warn: Warn = _silent) -> object:
    """Read a YAML or JSON file, decrypting a file that is vaulted as a whole. Raises ParseError, VaultError."""
    return load_yaml(read_text(path, vault), str(path), trusted=trusted, warn=warn)


def _from_json(value: object, origin: Origin, trusted: bool) -> object:
    if isinstance(value, str):
        return Trusted(value, origin) if trusted else value
    if isinstance(value, dict):
        pairs = ((_from_json(key, origin, trusted), _from_json(item, origin, trusted)) for key, item in value.items())
        return SourceDict(((key, item) for key, item in pairs if isinstance(key, str)), origin)
    if isinstance(value, list):
        return SourceList((_from_json(item, origin, trusted) for item in value), origin)
    return value


class _Builder:
    """Builds the values of one document from libyaml's events."""

    def __init__(self, text: str, file: str, *, trusted: bool, warn: Warn) -> None:
        self._text = text
        self._file = file
        self._trusted = trusted
        self._warn = warn
        self._depth = 0
        self._unsafe = 0
        self._values = 0
        # Anchor -> (value, how many values it stands for).
        self._anchors: dict[str, tuple[object, int]] = {}

    def document(self) -> object:
        """Return the one document's value."""
        try:
            self._parser = CSafeLoader(self._text)
        except UnicodeEncodeError as error:
            raise ParseError("the text is not UTF-8", origin=Origin(self._file)) from error
        try:
            self._next()
            event = self._next()
            if isinstance(event, events.StreamEndEvent):
                return None
            value = self._value(self._next())
            self._next()
            event = self._next()
            if isinstance(event, events.DocumentStartEvent):
                raise self._error(
                    yaml_errors.PREFIX + "Expected a single document in the stream but found another document.", event
                )
            return value
        except YAMLError as error:
            raise yaml_errors.syntax_error(error, text=self._text, file=self._file) from error
        finally:
            self._parser.dispose()

    def _next(self) -> events.Event:
        event = self._parser.get_event()
        if event is None:
            raise ParseError("the YAML ends too early", origin=Origin(self._file))
        return event

    def _origin(self, event: events.Event) -> Origin:
        mark = event.start_mark
        if mark is None:
            return Origin(self._file)
        return Origin(self._file, mark.line + 1, mark.column + 1)

    def _error(self, message: str, event: events.Event) -> ParseError:
        return ParseError(message, origin=self._origin(event))

    def _count(self, amount: int, event: events.Event) -> None:
        self._values += amount
        if self._values > MAX_VALUES:
            raise self._error(TOO_MANY, event)

    def _value(self, event: events.Event) -> object:
        if isinstance(event, events.AliasEvent):
            return self._alias(event)
        before = self._values
        self._count(1, event)
        if isinstance(event, events.ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, events.CollectionStartEvent):
            if self._depth >= MAX_DEPTH:
                raise self._error(TOO_DEEP, event)
            self._depth += 1
            unsafe = event.tag == "!unsafe"
            self._unsafe += unsafe
            value = self._mapping(event) if isinstance(event, events.MappingStartEvent) else self._sequence(event)
            self._unsafe -= unsafe
            self._depth -= 1
        else:
            raise self._error("this is not YAML", event)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._values - before)
        return value

    def _alias(self, event: events.AliasEvent) -> object:
        if event.anchor not in self._anchors:
            raise self._error(yaml_errors.PREFIX + f"Found undefined alias {event.anchor!r}.", event)
        value, weight = self._anchors[event.anchor]
        self._count(weight, event)
        return value

    def _scalar(self, event: events.ScalarEvent) -> object:
        text: str = event.value
        tag: str | None = event.tag
        if tag is None or tag == "!" or tag == "!unsafe":
            plain = event.implicit[0] if tag is None else tag == "!unsafe" and not event.style
            tag = yaml_scalars.implicit_tag(text) if plain else STR
            if event.tag == "!unsafe" and tag == STR:
                return text
        if tag in _TEXT_TAGS:
            return Trusted(text, self._origin(event)) if self._trusted and not self._unsafe else text
        if tag in _VAULT_TAGS:
            return Vaulted(text, self._origin(event))
        try:
            return yaml_scalars.scalar_value(tag, text)
        except yaml_scalars.BadScalar as error:
            raise self._error(yaml_errors.PREFIX + f"{error}.", event) from error
        except KeyError:
            raise self._unknown_tag(tag, event) from None

    def _unknown_tag(self, tag: str, event: events.Event) -> ParseError:
        return self._error(yaml_errors.PREFIX + f"Could not determine a constructor for the tag '{tag}'.", event)

    def _sequence(self, event: events.CollectionStartEvent) -> object:
        tag = event.tag
        if tag in _VAULT_TAGS:
            raise self._error(yaml_errors.PREFIX + f"The '{tag}' tag requires a string value.", event)
        items: list[object] = []
        while not isinstance(inner := self._next(), events.SequenceEndEvent):
            items.append(self._value(inner))
        if tag in (TAG + "omap", TAG + "pairs"):
            items = [pair for item in items if isinstance(item, dict) for pair in item.items()]
        elif tag not in (None, "!", "!unsafe", TAG + "seq"):
            raise self._unknown_tag(tag, event)
        return SourceList(items, self._origin(event))

    def _mapping(self, event: events.CollectionStartEvent) -> object:
        tag = event.tag
        if tag in _VAULT_TAGS:
            raise self._error(yaml_errors.PREFIX + f"The '{tag}' tag requires a string value.", event)
        if tag not in (None, "!", "!unsafe", TAG + "map", TAG + "set"):
            raise self._unknown_tag(tag, event)
        merged: dict[object, object] = {}
        own: dict[object, object] = {}
        while not isinstance(inner := self._next(), events.MappingEndEvent):
            merge = isinstance(inner, events.ScalarEvent) and inner.value == "<<" and inner.implicit[0]
            key = self._value(inner)
            value_event = self._next()
            value = self._value(value_event)
            if merge:
                self._merge(value, merged, value_event)
                continue
            try:
                repeated = key in own or key in merged
            except TypeError:
                message = "While constructing a mapping found unhashable key."
                raise yaml_errors.explained_error(message, text=self._text, origin=self._origin(inner)) from None
            if repeated:
                self._warn(DuplicateKey.of(_shown(key), self._origin(inner)))
            own[key] = value
        if tag == TAG + "set":
            return set(own)
        items = {**merged, **own} if merged else own
        # A key may be any scalar, as in Ansible; nearly all are text.
        return SourceDict(items, self._origin(event))  # type: ignore[arg-type]

    def _merge(self, value: object, into: dict[object, object], event: events.Event) -> None:
        sources = value if isinstance(value, list) else [value]
        for source in sources:
            if not isinstance(source, dict):
                raise self._error(
                    yaml_errors.PREFIX
                    + "Expected a mapping or list of mappings for merging, but found something else.",
                    event,
                )
            for key, item in source.items():
                # Of several merged mappings the first one wins.
                into.setdefault(key, item)


def _shown(key: object) -> str:
    return repr(str(key)) if isinstance(key, str) else repr(key)
