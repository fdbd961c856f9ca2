"""local: the facts that the host's owner keeps in facts.d: files of JSON or INI, or programs that print them."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
from pathlib import Path

from pybible.agent.facts.source import Collector, Host
from pybible.wire.values import JsonObject, JsonValue

# What a file that is wrong has in place of its facts begins with this.
NOT_READABLE = "error loading facts as JSON or ini - please check content"
NOT_RUN = "Failure executing fact script"


def collect(host: Host) -> JsonObject:
    """Read every *.fact."""
    folder = host.path(host.fact_path)
    if not folder.is_dir():
        return {"local": {}}
    return {"local": {path.stem: _read(host, path) for path in sorted(folder.glob("*.fact"))}}


def _read(host: Host, path: Path) -> JsonValue:
    try:
        text = _output(host, path) if os.access(path, os.X_OK) and path.is_file() else path.read_text("utf-8")
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace")
        return f"{NOT_RUN} ({path}), rc: {error.returncode}, err: {said}"
    except (OSError, UnicodeDecodeError, subprocess.SubprocessError) as error:
        return f"{NOT_READABLE}: {path}: {error}"
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    parser = configparser.ConfigParser()
    try:
        parser.read_string(text)
        return {section: dict(parser.items(section)) for section in parser.sections()}
    except configparser.Error:
        return f"{NOT_READABLE}: {path}"


def _output(host: Host, path: Path) -> str:
    done = subprocess.run(
        [str(path)],
        capture_output=True,
        check=True,
        stdin=subprocess.DEVNULL,
        timeout=host.timeout,
        env=dict(host.environment),
    )
    return done.stdout.decode("utf-8")


COLLECTOR = Collector(name="local", collect=collect, minimal=True)
