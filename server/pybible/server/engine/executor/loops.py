"""loops: the items of a task's loop, and the variables that each brings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pybible.server.engine.executor.targets import flag, rendered
from pybible.server.engine.model.notices import located
from pybible.server.engine.model.play import LoopControl, Task
from pybible.server.engine.model.text import origin_of
from pybible.server.engine.parsing.keywords import check_variable_name
from pybible.server.engine.templating.errors import UndefinedVariable, levels
from pybible.server.engine.templating.templar import Templar
from pybible.server.engine.templating.undefined import OMIT
from pybible.wire.errors import Origin, SourceError, TemplateError

_USE_ANOTHER = (
    "You should set the `loop_var` value in the `loop_control` option for the task to something else to avoid variable"
    " collisions and unexpected behavior."
)
_NOT_A_LIST = "Provide a list of items/templates, or a template resolving to a list."


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopItem:
    """One item: its value, and every variable that the loop sets for it."""

    value: object
    variables: Mapping[str, object]


def loop_values(task: Task, templar: Templar) -> list[object] | None:
    """Return the rendered items; None when they can't be known because something is undefined and `when` is false.

    Raises TemplateError.
    """
    try:
        values = _values(task, templar)
    except SourceError as error:
        if is_undefined(error) and task.keywords.when and not _holds(task, templar):
            return None
        raise
    if not isinstance(values, list):
        raise TemplateError(
            f"The `loop` value must resolve to a 'list', not {type(values).__name__!r}.",
            origin=origin_of(task.loop) or task.origin,
            hint=_NOT_A_LIST,
        )
    return values


def is_undefined(error: SourceError) -> bool:
    """Whether a loop can't be had for want of a variable: such a task fails as a whole, unless `when` is false."""
    return any(isinstance(level, UndefinedVariable) for level in levels(error))


def _holds(task: Task, templar: Templar) -> bool:
    try:
        return templar.condition(task.keywords.when)[0]
    except SourceError:
        # The loop's own error is told.
        return True


def _values(task: Task, templar: Templar) -> object:
    if task.loop_with:
        try:
            return templar.lookup(task.loop_with, task.loop)
        except SourceError as error:
            if error.origin is None:
                # As ansible-core: what runs the lookup stands in no file.
                error.origin, error.hint = Origin("<unknown>"), error.hint or "invoke_lookup()"
            raise
    return templar.render(task.loop)


def loop_items(control: LoopControl, values: list[object], templar: Templar) -> Iterator[LoopItem]:
    """Yield the items with their variables."""
    name = loop_name(control, templar)
    index_name = templar.render_text(control.index_var) if control.index_var is not None else ""
    extended = flag(control.extended, templar, "extended")
    with_all = flag(control.extended_allitems, templar, "extended_allitems", default=True)
    count = len(values)
    for index, value in enumerate(values):
        variables: dict[str, object] = {name: value, "ansible_loop_var": name}
        if index_name:
            variables[index_name] = index
            variables["ansible_index_var"] = index_name
        if extended:
            variables["ansible_loop"] = _extended(values, index, count, with_all=with_all)
        yield LoopItem(value=value, variables=variables)


def loop_name(control: LoopControl, templar: Templar) -> str:
    """Return the name of the loop's variable. Raises SourceError for what can't be one."""
    name = rendered(control.loop_var, templar, "loop_var")
    name = "item" if name is None or name is OMIT else name
    check_variable_name(name, origin_of(control.loop_var))
    return str(name)


def name_in_use(name: str, origin: Origin | None) -> str:
    """Return the warning for a loop's variable that is there already."""
    text = f"The loop variable '{name}' is already in use."
    if origin is None:
        # As ansible-core: the default name stands in no file.
        return f"{text}\nOrigin: <unknown>\n\n{name}\n\n{_USE_ANOTHER}\n"
    return located(text, origin, hint=_USE_ANOTHER)


def _extended(values: list[object], index: int, count: int, *, with_all: bool) -> dict[str, object]:
    loop: dict[str, object] = {
        "index": index + 1,
        "index0": index,
        "first": index == 0,
        "last": index + 1 == count,
        "length": count,
        "revindex": count - index,
        "revindex0": count - index - 1,
    }
    if with_all:
        loop["allitems"] = values
    if index + 1 < count:
        loop["nextitem"] = values[index + 1]
    if index > 0:
        loop["previtem"] = values[index - 1]
    return loop


def result_names(variables: Mapping[str, object]) -> dict[str, object]:
    """Return what of the loop's variables an item's result repeats."""
    kept: dict[str, object] = {"ansible_loop_var": variables["ansible_loop_var"]}
    for name in (variables["ansible_loop_var"], variables.get("ansible_index_var")):
        if isinstance(name, str):
            kept[name] = variables[name]
    if "ansible_index_var" in variables:
        kept["ansible_index_var"] = variables["ansible_index_var"]
    if "ansible_loop" in variables:
        kept["ansible_loop"] = variables["ansible_loop"]
    return kept
