"""targets: where a task runs, as whom, and with which environment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pybible.server.engine.actions.arguments import to_bool
from pybible.server.engine.dispatcher import Target
from pybible.server.engine.executor.compiled import CompiledTask
from pybible.server.engine.executor.options import RunOptions
from pybible.server.engine.executor.unproven import DEBUGGER
from pybible.server.engine.inventory.groups import LOCALHOST
from pybible.server.engine.model.connections import Place, place_of, unknown_connection
from pybible.server.engine.model.play import Task
from pybible.server.engine.model.text import origin_of
from pybible.server.engine.parsing import keywords
from pybible.server.engine.templating.errors import BadKeyword
from pybible.server.engine.templating.templar import Templar
from pybible.server.engine.templating.undefined import OMIT
from pybible.wire.errors import Origin, SourceError, TemplateError
from pybible.wire.tasks import Become
from pybible.wire.values import JsonValue

_KINDS = {"delay": "float", "pause": "float", "max_fail_percentage": "percent"}


def target_for(
    compiled: CompiledTask, templar: Templar, reach: Templar, options: RunOptions, *, host: str, runs_on: str
) -> Target:
    """Return where the task runs. `reach` sees the variables of `runs_on`: the host itself, or its delegate."""
    written: object = reach.variables.get("ansible_connection")
    if written is not None:
        connection = reach.render(written)
    else:
        written = compiled.keyword("connection")
        if written is not None:
            connection = templar.render(written)
        else:
            connection = options.connection or ("local" if runs_on in LOCALHOST else None)
    if connection:
        place = place_of(connection)
        if place is None:
            raise TemplateError(unknown_connection(connection), origin=origin_of(written))
        if place is Place.HERE:
            return Target(host=host, agent="")
    agent = reach.variables.get("pybible_agent")
    return Target(host=host, agent=reach.render_text(agent) if agent else runs_on)


def delegated_label(host: str, runs_on: str, templar: Templar) -> str:
    """Return what stands in brackets before a result: the host, and on which other one it ran."""
    if runs_on == host:
        return host
    address = templar.variables.get("ansible_host")
    shown = templar.render_text(address) if address is not None else ""
    return f"{host} -> {runs_on}({shown})" if shown and shown != runs_on else f"{host} -> {runs_on}"


def reached(templar: Templar, reach: Templar, *, host: str) -> dict[str, object]:
    """Return how the host that a task is delegated to is reached, as far as `host` says nothing of its own."""
    own, other = templar.variables, reach.variables
    found: dict[str, object] = {}
    if own.get("ansible_host") == host:
        found["ansible_host"] = reach.render(other["ansible_host"])
    for name in ("ansible_port", "ansible_user"):
        if name in other and name not in own:
            found[name] = reach.render(other[name])
    return found


def become_for(compiled: CompiledTask, templar: Templar, reach: Templar, options: RunOptions) -> Become | None:
    """Return as whom the task runs, None for whoever the agent is. Variables of where it runs win over keywords."""
    variables, written = reach.variables, compiled.become_keywords
    wanted: object = variables.get("ansible_become")
    if wanted is None:
        wanted = flag(written.get("become"), templar, "become", default=options.become)
    elif not isinstance(wanted, bool):
        rendered_here = reach.render(wanted)
        wanted = rendered_here is not None and _truth(rendered_here, "become", wanted)
    if not wanted:
        return None

    def value(name: str, default: str) -> str:
        found = variables.get(f"ansible_{name}")
        if found is not None:
            return reach.render_text(found) or default
        found = written.get(name)
        return default if found is None else templar.render_text(found) or default

    return Become(
        user=value("become_user", options.become_user),
        method=value("become_method", options.become_method),
        flags=value("become_flags", options.become_flags),
        executable=value("become_exe", options.become_exe),
    )


def environment_for(compiled: CompiledTask, templar: Templar, warn: Callable[[str], None]) -> dict[str, str]:
    """Return the environment of the task: its levels on top of each other, inner ones win."""
    merged: dict[str, str] = {}
    for level in compiled.environment:
        try:
            rendered = templar.render(level)
        except TemplateError as error:
            # As ansible-core: the value is shown, as its place is not known.
            raise TemplateError(
                "Error processing keyword 'environment'",
                origin=Origin("<unknown>"),
                hint=str(plain(_flat(compiled.environment))),
            ) from error
        for entry in rendered if isinstance(rendered, list) else [rendered]:
            if not isinstance(entry, Mapping):
                if entry:
                    warn(f"could not parse environment value, skipping: {plain([entry])}")
                continue
            merged.update((str(name), "" if value is None else str(value)) for name, value in entry.items())
    return merged


def _flat(levels: Iterable[object]) -> list[object]:
    return [entry for level in levels for entry in (level if isinstance(level, list) else [level])]


def plain(value: object) -> JsonValue:
    """Return a value as data: what is trusted text in the file is plain text here, and is never rendered."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, dict):
        return {str.__str__(key) if isinstance(key, str) else key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _truth(value: object, name: str, written: object = None) -> bool:
    found = to_bool(value)
    if found is None:
        raise _unfit(value, name, "bool", written)
    return found


def _unfit(value: object, name: str, kind: str, written: object) -> TemplateError:
    """Return the error for a keyword's value that is not of its kind, at the place where it is written."""
    origin = origin_of(written)
    error = BadKeyword(f"Error processing keyword '{name}'", origin=origin)
    error.__cause__ = TemplateError(f"The value {plain(value)!r} could not be converted to '{kind}'.", origin=origin)
    return error


def flag(value: object, templar: Templar, name: str, *, default: bool = False) -> bool:
    """Return a keyword that is true or false. Raises TemplateError."""
    if value is None:
        return default
    if value is True or value is False:
        return value
    found = rendered(value, templar, name)
    return default if found is None or found is OMIT else _truth(found, name, value)


def number(value: object, templar: Templar, name: str, *, default: float = 0) -> float:
    """Return a keyword that is a number; all but a few have to be whole. Raises TemplateError."""
    if value is None:
        return default
    found = rendered(value, templar, name)
    if found is None or found is OMIT:
        return default
    kind = _KINDS.get(name, "int")
    try:
        if kind == "percent":
            return float(found.replace("%", "") if isinstance(found, str) else str(found))
        amount = float(found) if isinstance(found, int | float) else float(str(found))
        if kind == "float" or amount.is_integer():
            return amount
    except (OverflowError, ValueError):
        pass
    raise _unfit(found, name, kind, value)


def throttle(value: object, templar: Templar) -> int:
    """Return how many hosts may run a task at a time. Raises TemplateError."""
    if value is None or isinstance(value, int):
        return int(value or 0)
    try:
        return int(str(templar.render(value)))
    except ValueError as error:
        cause: Exception = TemplateError(str(error), origin=origin_of(value))
    except SourceError as error:
        cause = error
    raise TemplateError("Failed to convert the throttle value to an integer", origin=origin_of(value)) from cause


def rendered(value: object, templar: Templar, name: str) -> object:
    """Return what a keyword's value renders to. Raises TemplateError, which names the keyword."""
    try:
        return templar.render(list(value) if isinstance(value, tuple) else value)
    except SourceError as error:
        raise TemplateError(f"Error processing keyword '{name}'", origin=origin_of(value) or error.origin) from error


def check_keywords(compiled: CompiledTask, templar: Templar) -> None:
    """Raise TemplateError for a keyword that can't be rendered, or is not of its kind."""
    for name, kind, value in compiled.unproven:
        if kind == keywords.BOOL:
            flag(value, templar, name)
        elif kind in (keywords.INT, keywords.FLOAT):
            number(value, templar, name)
        else:
            wanted = rendered(value, templar, name)
            if name == "debugger" and wanted is not None and wanted is not OMIT and wanted not in DEBUGGER:
                raise _no_debugger(str(wanted), value, compiled.task)


def _no_debugger(wanted: str, written: object, task: Task) -> TemplateError:
    error = BadKeyword("Error processing keyword 'debugger'", origin=origin_of(written))
    text = f"'{wanted}' is not a valid value for debugger. Must be one of {', '.join(DEBUGGER)}"
    error.__cause__ = TemplateError(text, origin=task.origin)
    return error
