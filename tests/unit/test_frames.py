"""test_frames: frames and tasks on a pipe, there and back, however the bytes arrive."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybible.wire.errors import ProtocolError
from pybible.wire.frames import Frame, FrameBuffer, encode, read_frame_blocking
from pybible.wire.tasks import Attachment, Become, TaskSpec, spec_from_header, spec_to_header
from pybible.wire.values import dumps, loads_object

headers = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=10) | st.booleans(), max_size=4)
frames = st.lists(st.builds(Frame, headers, st.binary(max_size=50)), max_size=6)


@given(sent=frames, cuts=st.lists(st.integers(1, 40), max_size=50))
def test_frames_arrive_whole_however_they_are_cut(sent: list[Frame], cuts: list[int]) -> None:
    data = b"".join(encode(frame.header, frame.body) for frame in sent)
    buffer = FrameBuffer()
    received: list[Frame] = []
    for cut in cuts:
        received += buffer.feed(data[:cut])
        data = data[cut:]
    received += buffer.feed(data)
    assert received == sent
    assert not buffer.partial


@given(sent=frames)
def test_frames_are_read_from_a_blocking_stream(sent: list[Frame]) -> None:
    stream = io.BytesIO(b"".join(encode(frame.header, frame.body) for frame in sent))
    received = []
    while (frame := read_frame_blocking(stream)) is not None:
        received.append(frame)
    assert received == sent


@pytest.mark.parametrize(
    "data", [b"Traceback (most recent call last)", b"\0\0\0\x02\0\0\0\0[]", b"\0\0\0\x01\0\0\0\0{"]
)
def test_what_is_not_a_frame_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(FrameBuffer().feed(data))


specs = st.builds(
    TaskSpec,
    module=st.text(min_size=1, max_size=8),
    args=st.binary(max_size=20),
    environment=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    become=st.none()
    | st.builds(Become, user=st.text(max_size=5), method=st.text(max_size=4), flags=st.text(max_size=4)),
    timeout=st.none() | st.floats(0.1, 1000),
    check=st.booleans(),
    diff=st.booleans(),
    no_log=st.booleans(),
    output_limit=st.integers(0, 1 << 40),
    attachments=st.lists(
        st.builds(
            Attachment, sha256=st.text("0123456789abcdef", max_size=8), size=st.integers(0, 99), inline=st.binary()
        )
        | st.builds(Attachment, sha256=st.just("ab"), size=st.just(5), path=st.text(max_size=8)),
        max_size=3,
    ).map(tuple),
    terminate=st.booleans(),
    verbosity=st.integers(0, 6),
    directory=st.text(max_size=5),
)


@given(spec=specs)
def test_a_task_comes_back_as_it_went(spec: TaskSpec) -> None:
    header = loads_object(dumps(spec_to_header(spec)))
    assert spec_from_header(header, spec.args) == spec


@pytest.mark.parametrize("header", [{}, {"module": "ping", "become": ["x"]}, {"module": "ping", "attachments": [3]}])
def test_what_is_not_a_task_is_refused(header: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a task"):
        spec_from_header(header, b"{}")
