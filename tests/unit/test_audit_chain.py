"""test_audit_chain: whatever is done to a log of chained records, it is noticed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybible.server.results.audit import BEGINNING, Actor, AuditEntry, AuditRecord, chained, first_flaw

ACTOR = Actor(identity="pybible://operator/ada", role="runner", address="192.0.2.7:4000", serial="1f")


def log(count: int) -> list[AuditRecord]:
    records: list[AuditRecord] = []
    for seq in range(1, count + 1):
        previous = records[-1].digest if records else BEGINNING
        entry = AuditEntry(
            moment=1000.25 + seq,
            actor=ACTOR,
            action="dispatch",
            target="command",
            run_id="run",
            details={"attempts": [["web01", f"run.{seq}"]]},
        )
        records.append(chained(entry, seq=seq, previous=previous))
    return records


def changed(record: AuditRecord, **values: object) -> AuditRecord:
    return replace(record, entry=replace(record.entry, **values))  # type: ignore[arg-type]


def test_what_was_written_is_whole() -> None:
    assert first_flaw([]) == ""
    assert first_flaw(log(5)) == ""
    assert first_flaw(log(5)[3:], after=3, previous=log(5)[2].digest) == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda record: changed(record, moment=0.0),
        lambda record: changed(record, actor=replace(ACTOR, identity="pybible://operator/bob")),
        lambda record: changed(record, actor=replace(ACTOR, role="admin")),
        lambda record: changed(record, actor=replace(ACTOR, address="192.0.2.8:4000")),
        lambda record: changed(record, actor=replace(ACTOR, serial="2f")),
        lambda record: changed(record, action="run.start"),
        lambda record: changed(record, target="ping"),
        lambda record: changed(record, allowed=False),
        lambda record: changed(record, reason="because"),
        lambda record: changed(record, run_id="another"),
        lambda record: changed(record, details={}),
        lambda record: replace(record, digest="0" * 64),
    ],
)
def test_a_record_that_was_changed_is_found(change: Callable[[AuditRecord], AuditRecord]) -> None:
    records = log(5)
    records[2] = change(records[2])
    assert first_flaw(records) == "record 3, or one before it, is not what was written"


@given(st.permutations(range(6)))
def test_reordered_records_are_found(order: list[int]) -> None:
    records = log(6)
    assert (first_flaw([records[index] for index in order]) == "") is (order == sorted(order))


@given(st.sets(st.integers(0, 5), min_size=1, max_size=5))
def test_removed_records_are_found_unless_they_were_the_last(removed: set[int]) -> None:
    left = [record for index, record in enumerate(log(6)) if index not in removed]
    last_only = removed == set(range(6 - len(removed), 6))
    assert (first_flaw(left) == "") is last_only


def test_a_record_that_was_renumbered_is_found() -> None:
    records = log(5)
    left = [replace(record, seq=seq) for seq, record in enumerate([*records[:1], *records[2:]], 1)]
    assert first_flaw(left) == "record 2, or one before it, is not what was written"
