"""mount_tables: what mount_facts reads mounts from: fstab and its kin of other systems, and what `mount` prints."""

from __future__ import annotations

import re
from collections.abc import Callable

from pybible.agent.modules.mounts import fields_of
from pybible.wire.values import JsonObject

Found = tuple[str, str, JsonObject]  # where it is mounted, the text that says so, the rest

# The fifth field of mnttab is a time, in seconds since 1970; that of fstab a small number.
_FIRST_TIME = 100_000
_LINUX = re.compile(r"(?P<device>.+?) on (?P<mount>.+) type (?P<fstype>\S+) \((?P<options>.*)\)")
_BSD = re.compile(r"(?P<device>.+?) on (?P<mount>.+) \((?P<fstype>[^,)]+)(?:, ?(?P<options>.*))?\)")


def of_file(text: str) -> list[Found]:
    """Return the mounts of a table, of whatever kind; none of a text that is no table."""
    lines = [line.strip() for line in text.split("\n")]
    lines = [line for line in lines if line and not line.startswith("#")]
    for read in (_fstab, _vfstab):
        found = [read(line) for line in lines]
        if found and all(item is not None for item in found):
            return [item for item in found if item is not None]
    return _aix(text)


def _fstab(line: str) -> Found | None:
    fields = fields_of(line)
    if not 4 <= len(fields) <= 6 or not all(field.isascii() and field.isdigit() for field in fields[4:]):
        return None
    device, mount, fstype, options = fields[:4]
    rest: JsonObject = {"device": device, "fstype": fstype, "options": options}
    numbers = [int(field) for field in fields[4:]]
    if len(numbers) == 1 and numbers[0] >= _FIRST_TIME:
        rest["time"] = numbers[0]
    else:
        rest |= dict(zip(("dump", "passno"), numbers, strict=False))
    return mount, line, rest


def _vfstab(line: str) -> Found | None:
    fields = line.split()
    if len(fields) != 7:
        return None
    device, check, mount, fstype, passno, boot, options = fields
    number = int(passno) if passno.isascii() and passno.isdigit() else passno
    rest: JsonObject = {
        "device": device, "device_to_fsck": check, "fstype": fstype, "passno": number, "mount_at_boot": boot,
        "options": options,
    }  # fmt: skip
    return mount, line, rest


def _aix(text: str) -> list[Found]:
    """Return the stanzas of AIX's /etc/filesystems: `/home:` and lines of `name = value` below it."""
    found = []
    for stanza in re.split(r"\n[ \t]*\n", text):
        lines = [line for line in stanza.split("\n") if line.strip() and not line.lstrip().startswith("*")]
        if not lines or not lines[0].rstrip().endswith(":") or lines[0][0] in " \t:":
            continue
        pairs = (line.partition("=") for line in lines[1:])
        attributes = {name.strip(): value.strip() for name, equals, value in pairs if equals}
        rest: JsonObject = {
            "device": attributes.get("dev", "unknown"),
            "fstype": attributes.get("vfs", "unknown"),
            "attributes": dict(attributes),
        }
        found.append((lines[0].rstrip().removesuffix(":"), "\n".join(lines), rest))
    return found


def of_program(text: str) -> list[Found]:
    """Return the mounts that `mount` prints; lines of another form are left out."""
    found = []
    for line in text.split("\n"):
        match = _first(line, _LINUX.fullmatch, _BSD.fullmatch)
        if match is not None:
            rest: JsonObject = {"device": match["device"], "fstype": match["fstype"], "options": match["options"] or ""}
            found.append((match["mount"], line, rest))
    return found


def _first(line: str, *matchers: Callable[[str], re.Match[str] | None]) -> re.Match[str] | None:
    return next((match for match in (matcher(line) for matcher in matchers) if match is not None), None)
