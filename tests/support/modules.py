"""modules: run a native module as a worker does, in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pybible.agent.modules import registry, runner
from pybible.agent.modules.api import Context
from pybible.wire.values import JsonObject, JsonValue


def _no_content(sha256: str) -> Path:
    raise AssertionError(f"nobody attached {sha256}")


def context(
    *,
    check: bool = False,
    diff: bool = False,
    environment: Mapping[str, str] | None = None,
    content: Mapping[str, Path] | None = None,
    emit: Callable[[str, bytes], None] | None = None,
) -> Context:
    """Return how a module is run: what is not said is as quiet as possible."""
    return Context(
        check=check,
        diff=diff,
        environment=environment or {},
        content=_no_content if content is None else content.__getitem__,
        emit=emit or (lambda _stream, _data: None),
    )


def run_module(name: str, args: Mapping[str, JsonValue], how: Context | None = None) -> JsonObject:
    """Run the module and return its result."""
    module = registry.find(name)
    assert module is not None
    return runner.run(module, dict(args), how or context())
