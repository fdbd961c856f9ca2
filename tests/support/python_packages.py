"""python_packages: small wheels and a source distribution, and the simple index (PEP 503) that offers them."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping
from functools import cache

# No time of ours: what is made here is the same each time, and so are its sums.
_MOMENT = (2001, 9, 9, 1, 46, 40)
# The backend of the source distribution is in it, and needs nothing from an index.
_PROJECT = """[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
_BACKEND = """import pathlib, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "pbxsource-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as wheel:
        for path, text in eval(pathlib.Path("files").read_text()).items():
            wheel.writestr(path, text)
    return name
"""


def _files(name: str, version: str, *, requires: str = "") -> dict[str, str]:
    """Return what is in the wheel of one empty module."""
    info = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    return {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n",
    }


def _wheel(files: Mapping[str, str]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path, _MOMENT), text)
    return made.getvalue()


def _source() -> bytes:
    files = {
        "PKG-INFO": "Metadata-Version: 2.1\nName: pbxsource\nVersion: 1.0\n",
        "pyproject.toml": _PROJECT,
        "backend.py": _BACKEND,
        "files": repr(_files("pbxsource", "1.0")),
    }
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"pbxsource-1.0/{path}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return made.getvalue()


@cache
def distributions() -> Mapping[str, bytes]:
    """Return the files of the index, by name: pbxone 1.0 and 2.0, pbxtwo which requires it, the source of pbxsource."""
    return {
        "pbxone-1.0-py3-none-any.whl": _wheel(_files("pbxone", "1.0")),
        "pbxone-2.0-py3-none-any.whl": _wheel(_files("pbxone", "2.0")),
        "pbxtwo-1.0-py3-none-any.whl": _wheel(_files("pbxtwo", "1.0", requires="pbxone")),
        "pbxsource-1.0.tar": _source(),
    }


def index_page(project: str) -> bytes | None:
    """Return the page of a project in the index; None of one that is not there."""
    links = [
        f'<a href="/packages/{name}#sha256={hashlib.sha256(content).hexdigest()}">{name}</a><br>'
        for name, content in distributions().items()
        if name.partition("-")[0] == project
    ]
    return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode() if links else None
