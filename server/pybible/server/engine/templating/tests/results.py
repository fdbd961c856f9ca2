"""results: tests of a task's registered result."""

from __future__ import annotations

from collections.abc import Mapping

from pybible.server.engine.templating.plugins import Plugin


def _expect(result: object, test: str) -> Mapping[object, object]:
    if not isinstance(result, Mapping):
        raise TypeError(f"The '{test}' test expects a dictionary")
    return result


def _failed(result: object) -> bool:
    return bool(_expect(result, "failed").get("failed", False))


def _success(result: object) -> bool:
    return not _failed(result)


def _unreachable(result: object) -> bool:
    return bool(_expect(result, "unreachable").get("unreachable", False))


def _reachable(result: object) -> bool:
    return not _unreachable(result)


def _timedout(result: object) -> bool:
    timedout = _expect(result, "timedout").get("timedout", False)
    return bool(timedout.get("period", False)) if isinstance(timedout, Mapping) else bool(timedout)


def _changed(result: object) -> bool:
    found = _expect(result, "changed")
    if "changed" in found:
        return bool(found["changed"])
    results = found.get("results")
    if isinstance(results, list) and results and isinstance(results[0], Mapping):
        return any(bool(each.get("changed", False)) for each in results)
    return False


def _skipped(result: object) -> bool:
    return bool(_expect(result, "skipped").get("skipped", False))


def _finished(result: object) -> bool:
    found = _expect(result, "finished")
    return bool(found.get("finished", "ansible_job_id" not in found))


def _started(result: object) -> bool:
    found = _expect(result, "started")
    return bool(found.get("started", True))


TESTS: Mapping[str, Plugin] = {
    "failed": _failed,
    "failure": _failed,
    "succeeded": _success,
    "success": _success,
    "successful": _success,
    "reachable": _reachable,
    "unreachable": _unreachable,
    "timedout": _timedout,
    "changed": _changed,
    "change": _changed,
    "skipped": _skipped,
    "skip": _skipped,
    "finished": _finished,
    "started": _started,
}
