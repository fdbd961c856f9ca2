"""module_reasons: what a case says that a stock module does otherwise, and whether the stock module does so.

A reason for what does not happen (any more) hides what comes in its place: the list of them stays true.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from tests.conformance.module_cases import Case

# What there is of an outcome.
PARTS = frozenset(("check", "touched", "result", "again", "probe", "tree"))


def given(case: Case) -> dict[str, str]:
    """Return the reasons of a case, by what they are for: `unforeseen`, `touches`, `repeats`, and parts set apart."""
    said = {"unforeseen": case.unforeseen, "touches": case.touches, "repeats": case.repeats}
    return {what: text for what, text in said.items() if text} | {
        f"apart {part}": text for part, text in case.apart.items()
    }


def shown(case: Case, theirs: Mapping[str, Any]) -> set[str]:
    """Return the reasons that a stock outcome, recorded or fresh, asks for; of the parts set apart none."""
    asked = {what for what, part in (("unforeseen", "check"), ("repeats", "again")) if part in case.apart}
    # Where the part is set apart, the reason is for what ours does.
    asked &= given(case).keys()
    if theirs["touched"] and "touched" not in case.apart:
        asked.add("touches")
    first, foreseen, again = (theirs.get(part) for part in ("result", "check", "again"))
    first, foreseen = first or {}, foreseen or {}
    compared = first and foreseen and not set_apart(case) & {"check", "result"}
    if compared and any(first.get(key, False) != foreseen.get(key, False) for key in ("changed", "failed")):
        asked.add("unforeseen")
    if "again" not in set_apart(case) and again and again.get("changed"):
        asked.add("repeats")
    return asked


def set_apart(case: Case) -> frozenset[str]:
    """Return the parts of a case's outcome that are neither recorded nor compared."""
    return frozenset((*case.apart, *case.unsteady)) - {"touched"}


def recorded(case: Case, theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record holds of a stock outcome."""
    return {part: found for part, found in theirs.items() if part not in set_apart(case)}


def unneeded(cases: Iterable[Case], asked: Mapping[str, Set[str]]) -> list[str]:
    """Return the reasons that no case asks for: those of an entry in none of its modes, those of a file nowhere.

    asked: what each case asks for, by its name; of one that is not in it (it can not run here) nothing is known.
    """
    needed: dict[tuple[str, str], bool] = {}
    for case in cases:
        for what in given(case):
            place = case.entry if what.split(" ")[0] in case.own else "the whole file"
            needed[place, what] = needed.get((place, what), False) or what in asked.get(case.name, {what})
    return [f"{place}: nothing asks for `{what}`" for (place, what), is_needed in needed.items() if not is_needed]
