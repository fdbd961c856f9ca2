"""protos: the committed code is what the generator makes of the .proto files, and each of them is commented."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

PROTOS = Path(__file__).resolve().parents[2] / "protos"
SOURCES = sorted((PROTOS / "pybible" / "v1").glob("*.proto"))


def test_the_generated_code_has_not_drifted(tmp_path: Path) -> None:
    scripts = Path(sys.executable).parent
    outputs = ["python", "grpc_python", "mypy", "mypy_grpc"]
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"--proto_path={PROTOS}",
            *(f"--plugin=protoc-gen-{name}={scripts}/protoc-gen-{name}" for name in ("mypy", "mypy_grpc")),
            *(f"--{name}_out={'quiet:' if name.startswith('mypy') else ''}{tmp_path}" for name in outputs),
            *map(str, SOURCES),
        ],
        check=True,
        timeout=60,
    )
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*_pb2*"))
    assert len(made) == 4 * len(SOURCES)
    drifted = [str(path) for path in made if (tmp_path / path).read_bytes() != (PROTOS / path).read_bytes()]
    assert drifted == [], "run `make protos`"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_service_rpc_message_and_enum_has_its_comment(source: Path) -> None:
    lines = source.read_text().splitlines()
    bare = [
        line.strip()
        for before, line in pairwise(lines)
        if re.match(r" *(service|rpc|message|enum) \w+", line) and not before.strip().startswith("//")
    ]
    assert lines[0].startswith("//")
    assert bare == []
