"""debug_dump: a result as Ansible's `debug` callback shows it: JSON, and output under headings, as it was written."""

from __future__ import annotations

from pybible.server.report.dump import dump_value
from pybible.server.report.visible import visible
from pybible.wire.values import JsonObject

_SHOWN_AS_TEXT = ("stdout", "stderr", "module_stdout", "module_stderr", "msg")
_REPEATED = ("stdout_lines", "stderr_lines")


def dump_debug(result: JsonObject) -> str:
    """Return a result (without what is not to be shown): JSON, then `STDOUT:`, `STDERR:`, `MSG:` where there is any."""
    kept = {key: value for key, value in result.items() if key not in (*_SHOWN_AS_TEXT, *_REPEATED)}
    texts = [
        f"\n\n{key.upper()}:\n\n{visible(str(result[key]))}\n"
        for key in _SHOWN_AS_TEXT
        if result.get(key) not in (None, "", [], {})
    ]
    return "".join([dump_value(kept, indent=4), *texts])
