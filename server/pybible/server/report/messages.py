"""messages: warnings, deprecations and errors as ansible-core 2.19 words them, each text once in a run."""

from __future__ import annotations

from collections.abc import Mapping

from pybible.server.report.colours import Colour
from pybible.server.report.terminal import Terminal
from pybible.server.report.visible import visible
from pybible.server.results.events import Message, MessageLevel
from pybible.wire.values import JsonObject, JsonValue

_HOW_TO_SILENCE = "Deprecation warnings can be disabled by setting `deprecation_warnings=False` in ansible.cfg."


def labelled(label: str, text: str) -> str:
    """Return `[LABEL]: text` and a newline; a text of several lines ends in an empty one."""
    text = f"[{label}]: {text}".strip()
    return f"{text}\n\n" if "\n" in text else f"{text}\n"


class Messages:
    """Writes them, and remembers what was written."""

    def __init__(
        self, terminal: Terminal, *, verbosity: int = 0, deprecations: bool = True, of_actions: bool = True
    ) -> None:
        self._terminal = terminal
        self._verbosity = verbosity
        # Whether deprecations are shown, and warnings that come with results.
        self._deprecations = deprecations
        self._of_actions = of_actions
        self._seen: set[str] = set()

    def show(self, event: Message) -> None:
        """Write a message of the run's."""
        if event.verbosity > self._verbosity:
            return
        match event.level:
            case MessageLevel.WARNING:
                self.warning(event.text)
            case MessageLevel.DEPRECATION:
                self.deprecation(event.text)
            case MessageLevel.ERROR:
                self.error(event.text, standard_error=True)
            case MessageLevel.BANNER:
                self._terminal.banner(visible(event.text))
            case MessageLevel.NOTICE:
                self._terminal.line(visible(event.text), Colour.VERBOSE if event.verbosity else None)

    def of_result(self, result: JsonObject, error: str = "", *, standard_error: bool = False) -> None:
        """Write what a result brings along: warnings and deprecations, then its error."""
        for warning in _items(result.get("warnings")) if self._of_actions else ():
            self.warning(_text_of(warning))
        for deprecation in _items(result.get("deprecations")):
            self.deprecation(_deprecation_text(deprecation))
        if error:
            self.error(error, standard_error=standard_error)

    def warning(self, text: str) -> None:
        """Write a warning on standard error."""
        self._once("WARNING", text, Colour.WARNING, standard_error=True)

    def deprecation(self, text: str) -> None:
        """Write a deprecation on standard error, before the first one how to silence them."""
        if not self._deprecations:
            return
        self.warning(_HOW_TO_SILENCE)
        self._once("DEPRECATION WARNING", text, Colour.DEPRECATION, standard_error=True)

    def error(self, text: str, *, standard_error: bool) -> None:
        """Write an error. Those of tasks go to standard output, where the results are."""
        self._once("ERROR", text, Colour.ERROR, standard_error=standard_error)

    def _once(self, label: str, text: str, colour: Colour, *, standard_error: bool) -> None:
        line = labelled(label, visible(text))
        if line not in self._seen:
            self._seen.add(line)
            self._terminal.line(line, colour, error=standard_error)


def _items(value: JsonValue) -> list[JsonValue]:
    if isinstance(value, list | tuple):
        return list(value)
    return [value] if value else []


def _text_of(value: JsonValue) -> str:
    return str(value.get("msg", value)) if isinstance(value, Mapping) else str(value)


def _deprecation_text(value: JsonValue) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    text = str(value.get("msg", "")).rstrip(".")
    owner = value.get("collection_name") or "ansible.builtin"
    product = "ansible-core" if owner in {"ansible.builtin", "ansible.legacy"} else owner
    if value.get("version"):
        when = f"from {product} version {value['version']}"
    elif value.get("date"):
        when = f"from {product} in a release after {value['date']}"
    else:
        when = "in the future"
    return f"{text}. This feature will be removed {when}."
