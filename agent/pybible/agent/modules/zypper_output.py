"""zypper_output: what zypper says in XML: the packages that it finds or changes, and its errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# A section of the summary, and how a diff calls it.
SECTIONS = {
    "to-install": "installed",
    "to-upgrade": "upgraded",
    "to-upgrade-change-arch": "upgraded",
    "to-downgrade": "downgraded",
    "to-downgrade-change-arch": "downgraded",
    "to-reinstall": "reinstalled",
    "to-change-arch": "changed",
    "to-change-vendor": "changed",
    "to-remove": "removed",
}


class OutputError(ValueError):
    """It is no XML of zypper's."""


@dataclass(frozen=True, slots=True)
class Said:
    """Section of the summary -> names, names that a search found installed, and the errors."""

    changes: dict[str, list[str]]
    installed: frozenset[str]
    errors: list[str]

    def prepared(self) -> str:
        """Return the changes as a diff has them."""
        lines: dict[str, list[str]] = {}
        for section, names in self.changes.items():
            lines.setdefault(SECTIONS[section], []).extend(names)
        return "".join(f"{verb}: {', '.join(sorted(names))}\n" for verb, names in lines.items())


def _shown(solvable: Mapping[str, str]) -> str:
    old = solvable.get("edition-old")
    return f"{solvable['name']} ({old} => {solvable.get('edition', '')})" if old else solvable["name"]


def parse(output: str) -> Said:
    """Return what zypper said. OutputError when it can't be read."""
    from xml.etree import ElementTree as ET

    try:
        root = ET.fromstring(output)  # noqa: S314  zypper is no stranger, and expat knows how far entities may grow
    except (ET.ParseError, ValueError) as error:
        raise OutputError(str(error)) from error
    changes: dict[str, list[str]] = {}
    for section in root.iter():
        if section.tag in SECTIONS:
            names = [_shown(item.attrib) for item in section.iter("solvable") if item.get("name")]
            if names:
                changes.setdefault(section.tag, []).extend(names)
    found = [item for item in root.iter("solvable") if item.get("status") in ("installed", "other-version")]
    errors = [(item.text or "").strip() for item in root.iter("message") if item.get("type") == "error"]
    return Said(changes, frozenset(str(item.get("name")) for item in found), errors)
