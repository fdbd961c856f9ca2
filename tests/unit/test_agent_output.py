"""test_agent_output: coalescing of live output, and what the one writer of a stream sends first."""

from __future__ import annotations

import asyncio

from pybible.agent.outbox import Outbox
from pybible.agent.output import OutputBuffer
from pybible.v1 import agent_pb2
from pybible.wire.limits import OUTPUT_CHUNK_BYTES

Part = tuple[str, int, bytes, int]


def buffer() -> tuple[OutputBuffer, list[Part]]:
    sent: list[Part] = []
    return OutputBuffer(lambda *part: sent.append(part)), sent


async def test_small_pieces_become_one() -> None:
    output, sent = buffer()
    for number in range(10):
        output.add("stdout", number * 2, b"x\n", 0)
    assert not sent
    await asyncio.sleep(0.2)
    assert sent == [("stdout", 0, b"x\n" * 10, 0)]


async def test_a_large_piece_is_cut() -> None:
    output, sent = buffer()
    output.add("stderr", 5, b"y" * (2 * OUTPUT_CHUNK_BYTES + 1), 7)
    output.flush()
    assert [(offset, len(data), dropped) for _, offset, data, dropped in sent] == [
        (5, OUTPUT_CHUNK_BYTES, 7),
        (5 + OUTPUT_CHUNK_BYTES, OUTPUT_CHUNK_BYTES, 0),
        (5 + 2 * OUTPUT_CHUNK_BYTES, 1, 0),
    ]


async def test_the_streams_do_not_mix() -> None:
    output, sent = buffer()
    output.add("stdout", 0, b"a", 0)
    output.add("stderr", 0, b"b", 0)
    output.add("stdout", 1, b"c", 0)
    output.flush()
    assert sent == [("stdout", 0, b"ac", 0), ("stderr", 0, b"b", 0)]


async def test_what_was_dropped_is_said_even_without_bytes() -> None:
    output, sent = buffer()
    output.add("stdout", 9, b"", 9)
    output.flush()
    assert sent == [("stdout", 9, b"", 9)]


async def test_of_a_quick_task_nothing_is_sent() -> None:
    """Its result says it all."""
    output, sent = buffer()
    output.add("stdout", 0, b"quick", 0)
    output.close()
    await asyncio.sleep(0.2)
    assert sent == []


async def test_of_a_slow_task_the_rest_is_sent_at_its_end() -> None:
    output, sent = buffer()
    output.add("stdout", 0, b"slow", 0)
    await asyncio.sleep(0.2)
    output.add("stderr", 0, b"end", 0)
    output.close()
    assert sent == [("stdout", 0, b"slow", 0), ("stderr", 0, b"end", 0)]


def beat(sequence: int) -> agent_pb2.AgentMessage:
    return agent_pb2.AgentMessage(heartbeat=agent_pb2.Heartbeat(sequence=sequence))


def started(attempt_id: str) -> agent_pb2.AgentMessage:
    return agent_pb2.AgentMessage(started=agent_pb2.Started(attempt_id=attempt_id))


def printed(size: int) -> agent_pb2.AgentMessage:
    return agent_pb2.AgentMessage(output=agent_pb2.Output(attempt_id="a", data=b"x" * size))


async def test_heartbeats_go_first_and_only_the_newest() -> None:
    outbox = Outbox()
    outbox.put(started("a1"))
    outbox.put_first(beat(1))
    outbox.put_first(beat(2))
    outbox.close()
    taken = [await outbox.take() for _ in range(3)]
    assert taken == [beat(2), started("a1"), None]


async def test_output_is_refused_when_too_much_of_it_waits() -> None:
    outbox = Outbox()
    assert outbox.put_output(printed(1_500_000))
    assert not outbox.put_output(printed(1_500_000))
    await outbox.take()
    assert outbox.put_output(printed(1_500_000))


async def test_reading_stops_while_too_much_waits() -> None:
    outbox = Outbox()
    for number in range(1000):
        outbox.put(started(f"a{number}"))
    waiting = asyncio.ensure_future(outbox.room())
    for _ in range(400):
        await outbox.take()
    assert not waiting.done()
    for _ in range(200):
        await outbox.take()
    await asyncio.wait_for(waiting, 1)
