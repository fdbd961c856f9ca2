"""extra_vars: -e in all its forms: k=v, YAML, JSON, @file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pybible.server.engine.model.paths import expanded
from pybible.server.engine.model.text import Trusted
from pybible.server.engine.parsing.free_form import parse_args
from pybible.server.engine.parsing.yaml_source import load_file, load_yaml
from pybible.server.engine.vault import VaultSecrets
from pybible.wire.errors import Origin, ParseError, PybibleError, UsageError

_ORIGIN = "<CLI option '-e'>"
_NOT_THERE = (
    "Unable to retrieve file contents.\nCould not find or access '{0}' on the Ansible Controller.\n"
    "If you are using a module and expect the file to exist on the remote, see the remote_src option: "
    "[Errno 2] No such file or directory: '{0}'"
)


def extra_vars(
    options: Sequence[str], *, vault: VaultSecrets | None = None, warn: Callable[[str], None] = lambda text: None
) -> dict[str, object]:
    """Return the variables of all -e options, later ones win. PybibleError for what is none."""
    variables: dict[str, object] = {}
    for option in options:
        text = option.strip()
        if text:
            variables.update(_variables(text, vault, warn))
    return variables


def _variables(text: str, vault: VaultSecrets | None, warn: Callable[[str], None]) -> Mapping[str, object]:
    if text.startswith("@"):
        path = expanded(text[1:]).absolute()
        if not path.exists():
            raise PybibleError(_NOT_THERE.format(path))
        if path.is_dir():
            raise ParseError(
                f"An error occurred while trying to read the file '{path}': [Errno 21] Is a directory: '{path}'"
            )
        return _mapping(load_file(path, vault, warn=warn), f"@{path}")
    if text[0] in "/.":
        raise PybibleError(
            f"Please prepend extra_vars filename '{text}' with '@'", hint="A path alone is no variable: write -e @FILE."
        )
    if text[0] in "[{":
        return _mapping(load_yaml(text, _ORIGIN), text)
    return parse_args(Trusted(text, Origin(_ORIGIN)), command=False)


def _mapping(value: object, text: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise UsageError(f"Invalid extra vars data supplied. '{text}' could not be made into a dictionary")
    return value
