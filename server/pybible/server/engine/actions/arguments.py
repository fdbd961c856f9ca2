"""arguments: values of actions' arguments, turned into what they have to be as Ansible does."""

from __future__ import annotations

from pybible.server.engine.actions.call import ActionFailed

_TRUE = frozenset({"y", "yes", "on", "1", "true", "t"})
_FALSE = frozenset({"n", "no", "off", "0", "false", "f"})


def as_bool(value: object, *, name: str = "", default: bool = False) -> bool:
    """Return a boolean. ActionFailed when the value is none."""
    if value is None:
        return default
    found = to_bool(value)
    if found is None:
        of = (
            f"argument '{name}' is of type {type(value).__name__} and we were unable to convert to bool: "
            if name
            else ""
        )
        raise ActionFailed(f"{of}The value {value!r} is not a valid boolean.")
    return found


def to_bool(value: object) -> bool | None:
    """Return the boolean that a value means, None when it means none."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return {0: False, 1: True}.get(int(value)) if value in (0, 1) else None
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    return None


def as_int(value: object, *, name: str) -> int:
    """Return an integer. ActionFailed when the value is none."""
    try:
        return int(str(value))
    except ValueError:
        raise no_int(value, name, f'"{value!r}" cannot be converted to an int') from None


def no_int(value: object, name: str, told: object) -> ActionFailed:
    """Return the failure of an argument that is no integer."""
    return ActionFailed(
        f"argument '{name}' is of type {type(value).__name__} and we were unable to convert to int: {told}"
    )


def as_list(value: object) -> list[object]:
    """Return a list: text is split at commas, anything else is the only element."""
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [value]


def as_text(value: object) -> str:
    """Return text; None is empty."""
    return "" if value is None else str(value)
