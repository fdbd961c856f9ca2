"""bridge_result: what a module printed, to its result: the JSON in it, whatever stands around."""

from __future__ import annotations

from pybible.agent.modules.process import Finished
from pybible.wire.values import JsonObject, JsonValue, loads

_TYPE = "__ansible_type"


def read_result(finished: Finished) -> JsonObject:
    """Return a module's result. Without one it is a failure that shows all that the module wrote."""
    text = finished.stdout.decode("utf-8", "surrogateescape")
    try:
        found, junk = _json_of(text)
        result = loads(found)
        if not isinstance(result, dict):
            raise ValueError(f"the result is a {type(result).__name__}, not a dictionary")
    except ValueError as error:
        return {
            "failed": True,
            "changed": False,
            "msg": f"Module result deserialization failed: {error}",
            "module_stdout": text,
            "module_stderr": finished.stderr.decode("utf-8", "surrogateescape"),
            "rc": finished.rc,
            "_ansible_no_result": True,
        }
    if junk:
        before = result.get("warnings")
        warning = f"Module invocation had junk after the JSON data: {junk}"
        result["warnings"] = [*before, warning] if isinstance(before, list) else [warning]
    return _plain(result)


def _json_of(text: str) -> tuple[str, str]:
    """Return the part from the first line that opens an object to the last that closes one, and what follows it."""
    lines = text.splitlines()
    start = next((index for index, line in enumerate(lines) if line.lstrip().startswith("{")), None)
    if start is None:
        raise ValueError("No start of json char found")
    end = next((index for index in range(len(lines) - 1, start - 1, -1) if lines[index].rstrip().endswith("}")), None)
    if end is None:
        raise ValueError("No end of json char found")
    return "\n".join(lines[start : end + 1]), "\n".join(lines[end + 1 :]).strip()


def _plain(result: JsonObject) -> JsonObject:
    """Take apart what ansible-core 2.19 marks with a type: messages with their causes."""
    if isinstance(result.get("warnings"), list):
        result["warnings"] = [_message(item) for item in result["warnings"]]
    if isinstance(result.get("deprecations"), list):
        result["deprecations"] = [_deprecation(item) for item in result["deprecations"]]
    exception = result.get("exception")
    if isinstance(exception, dict) and _TYPE in exception:
        event = _inner(exception, "event")
        trace = event.get("formatted_traceback")
        if trace:
            result["exception"] = trace
        else:
            del result["exception"]
        causes = _causes(event)
        if causes:
            result["_ansible_cause"] = ": ".join(causes)
    return result


def _causes(event: JsonObject) -> list[str]:
    found = []
    while event := _inner(_inner(event, "chain"), "event"):
        found.append(str(event.get("msg", "")))
    return found


def _inner(value: JsonObject, name: str) -> JsonObject:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _message(item: JsonValue) -> JsonValue:
    if not isinstance(item, dict) or _TYPE not in item:
        return item
    event = _inner(item, "event")
    words = (event.get("msg"), event.get("help_text"))
    return " ".join(str(word) for word in words if word)


def _deprecation(item: JsonValue) -> JsonValue:
    if not isinstance(item, dict) or _TYPE not in item:
        return item
    plain: JsonObject = {"msg": _inner(item, "event").get("msg", "")}
    deprecator = item.get("deprecator")
    if isinstance(deprecator, dict):
        plain["collection_name"] = ".".join(str(deprecator.get("resolved_name", "")).split(".")[:2])
        plain["deprecator"] = {name: value for name, value in deprecator.items() if name != _TYPE}
    for name in ("version", "date"):
        if item.get(name) is not None:
            plain[name] = item[name]
    return plain
