"""process: who the worker runs as, in which environment, on which Python."""

from __future__ import annotations

import os
import pwd
import sys
from importlib.util import find_spec

from pybible.agent.facts.source import Collector, Host
from pybible.wire.values import JsonObject


def _environment(host: Host) -> JsonObject:
    return {"env": dict(host.environment)}


def _user(host: Host) -> JsonObject:
    facts: JsonObject = {
        "real_user_id": os.getuid(),
        "effective_user_id": os.geteuid(),
        "real_group_id": os.getgid(),
        "effective_group_id": os.getegid(),
    }
    try:
        user = pwd.getpwuid(os.geteuid())
    except KeyError:
        facts["user_id"] = str(os.geteuid())
        return facts
    facts["user_id"] = user.pw_name
    facts["user_uid"] = user.pw_uid
    facts["user_gid"] = user.pw_gid
    facts["user_gecos"] = user.pw_gecos
    facts["user_dir"] = user.pw_dir
    facts["user_shell"] = user.pw_shell
    return facts


def _python(host: Host) -> JsonObject:
    version = sys.version_info
    python: JsonObject = {
        "version": {
            "major": version.major,
            "minor": version.minor,
            "micro": version.micro,
            "releaselevel": version.releaselevel,
            "serial": version.serial,
        },
        "version_info": list(version),
        "executable": sys.executable,
        "has_sslcontext": find_spec("ssl") is not None,
        "type": sys.implementation.name,
    }
    return {"python": python}


ENVIRONMENT = Collector(name="env", collect=_environment, minimal=True)
USER = Collector(
    name="user",
    collect=_user,
    subsets=(
        "effective_group_ids", "effective_user_id", "real_user_id", "user_dir", "user_gecos", "user_gid", "user_id",
        "user_shell", "user_uid",
    ),
    minimal=True,
)  # fmt: skip
PYTHON = Collector(name="python", collect=_python, minimal=True)
