"""drop: a worker that was started as root becomes another user, for good."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from importlib import import_module

# What modules that come as content use of Python's own library.
_LIBRARY = (
    "__future__", "argparse", "array", "ast", "atexit", "base64", "binascii", "bisect", "calendar", "codecs",
    "collections.abc", "configparser", "contextlib", "copy", "csv", "dataclasses", "datetime", "decimal", "difflib",
    "email.mime.text", "email.utils", "encodings.ascii", "encodings.cp437", "encodings.idna", "encodings.latin_1",
    "enum", "fcntl", "fnmatch", "fractions", "ftplib", "functools", "gc", "getpass", "glob", "grp", "gzip",
    "hashlib", "heapq", "hmac", "html", "http.client", "http.cookiejar", "importlib.metadata", "importlib.util",
    "inspect", "io", "ipaddress", "itertools", "json", "locale", "logging", "math", "mimetypes", "netrc", "numbers",
    "operator", "os", "pathlib", "pickle", "pkgutil", "platform", "pprint", "pwd", "queue", "random", "re",
    "resource", "runpy", "select", "selectors", "shlex", "shutil", "signal", "smtplib", "socket", "sqlite3", "ssl",
    "stat", "string", "struct", "subprocess", "syslog", "tarfile", "tempfile", "textwrap", "threading", "time",
    "tomllib", "traceback", "types", "typing", "urllib.error", "urllib.parse", "urllib.request", "uuid", "warnings",
    "xml.etree.ElementTree", "zipfile", "zipimport", "zlib",
)  # fmt: skip


class DropError(Exception):
    """The user can't be become. `str()` says why."""


def drop_to(name: str) -> None:
    """Become the user of that name or number, with its groups and its HOME, USER, LOGNAME and SHELL."""
    try:
        user = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        raise DropError(f"there is no user {name!r} on this host") from None
    _preload(user.pw_uid)
    try:
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    except OSError as error:
        raise DropError(f"can't become {name}: {error.strerror}") from error
    for variable in ("XDG_RUNTIME_DIR", "XDG_SESSION_ID", "MAIL"):
        os.environ.pop(variable, None)
    os.environ.update(HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name, SHELL=user.pw_shell or "/bin/sh")


def _preload(uid: int) -> None:
    """Load every module now if the user could not: Python may be installed where only root may look."""
    os.seteuid(uid)
    try:
        readable = os.access(os.__file__, os.R_OK, effective_ids=True)
    finally:
        os.seteuid(0)
    if readable:
        return
    from pybible.agent.modules import registry, runner  # noqa: F401

    for name in _LIBRARY:
        with suppress(ImportError):
            import_module(name)
    for name in (*registry.NAMES, "bridge"):
        # What can't be loaded fails the task that needs it, with its own text.
        with suppress(Exception):
            registry.find(name)
