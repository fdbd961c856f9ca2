"""failures: the results that the agent gives in a module's stead."""

from __future__ import annotations

from pybible.wire.outcomes import Reason
from pybible.wire.values import JsonValue, dumps


def failure(reason: Reason, msg: str, **values: JsonValue) -> bytes:
    """Return a failed result as JSON."""
    return dumps({"failed": True, "changed": False, "msg": msg, "reason": reason.value, **values})
