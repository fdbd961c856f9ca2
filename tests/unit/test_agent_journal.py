"""test_agent_journal: what an agent remembers, whatever end its process came to."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pybible.agent.journal import KEPT_ACKNOWLEDGED, KEPT_SECONDS, EntryState, Journal
from pybible.wire.errors import ConfigError
from pybible.wire.limits import INLINE_RESULT_BYTES


class Clock:
    """A wall clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def states(journal: Journal) -> dict[str, EntryState]:
    return {attempt_id: entry.state for attempt_id, entry in journal.open_entries()}


def test_what_was_only_accepted_is_interrupted_for_the_next_process(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.accept("a1")
    assert states(journal) == {"a1": EntryState.RUNNING}
    again = Journal(tmp_path)
    assert states(again) == {"a1": EntryState.INTERRUPTED}
    entry = again.find("a1")
    assert entry is not None
    assert entry.result is not None
    assert json.loads(entry.result.content)["reason"] == "interrupted"


def test_a_result_is_kept_until_it_is_acknowledged(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.accept("a1")
    journal.finish("a1", b'{"x":1}', reason="", elapsed=1.5)
    again = Journal(tmp_path)
    [(attempt_id, entry)] = again.open_entries()
    assert (attempt_id, entry.state) == ("a1", EntryState.FINISHED)
    assert entry.result is not None
    assert (entry.result.content, entry.result.reason, entry.result.elapsed) == (b'{"x":1}', "", 1.5)
    again.acknowledge(["a1", "unknown"])
    assert again.unacknowledged == 0
    last = Journal(tmp_path)
    assert states(last) == {}
    found = last.find("a1")
    assert found is not None
    assert found.state is EntryState.ACKNOWLEDGED


def test_an_interrupted_attempt_stays_so_until_the_controller_knows(tmp_path: Path) -> None:
    Journal(tmp_path).accept("a1")
    for _ in range(3):
        journal = Journal(tmp_path)
        assert states(journal) == {"a1": EntryState.INTERRUPTED}
        journal.close()
    Journal(tmp_path).acknowledge(["a1"])
    assert states(Journal(tmp_path)) == {}


def test_a_large_result_lies_beside_the_journal_as_long_as_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pybible.agent.journal.KEPT_FILE_BYTES", 3 * INLINE_RESULT_BYTES // 2)
    large = b'"' + b"x" * (INLINE_RESULT_BYTES + 1) + b'"'
    journal = Journal(tmp_path)
    journal.accept("a1")
    stored = journal.finish("a1", large, reason="", elapsed=0)
    assert stored.file is not None
    assert stored.file.read_bytes() == large
    assert (tmp_path / "journal").stat().st_size < 1000
    again = Journal(tmp_path)
    entry = again.find("a1")
    assert entry is not None
    assert entry.result is not None
    assert entry.result.file is not None
    assert entry.result.file.read_bytes() == large
    again.acknowledge(["a1"])
    # A ctl that lost its controller just now asks for it again.
    entry = Journal(tmp_path).find("a1")
    assert entry is not None
    assert entry.result is not None
    assert entry.result.file is not None
    assert entry.result.file.read_bytes() == large
    again = Journal(tmp_path)
    again.accept("a2")
    newer = again.finish("a2", large, reason="", elapsed=0)
    again.acknowledge(["a2"])
    assert list((tmp_path / "results").iterdir()) == [newer.file]
    entry = again.find("a1")
    assert entry is not None
    assert (entry.state, entry.result) == (EntryState.ACKNOWLEDGED, None)


def test_acknowledged_results_are_kept_as_far_as_they_fit_the_newest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pybible.agent.journal.KEPT_BYTES", 12_000)
    journal = Journal(tmp_path)
    content = b'"' + b"y" * 5000 + b'"'
    for number in range(4):
        journal.accept(f"a{number}")
        journal.finish(f"a{number}", content, reason="", elapsed=0)
        journal.acknowledge([f"a{number}"])
    for known in (journal, Journal(tmp_path)):
        entries = [known.find(f"a{number}") for number in range(4)]
        assert [entry is not None and entry.result is not None for entry in entries] == [False, False, True, True]


def test_a_result_nobody_asked_for_in_a_day_is_forgotten(tmp_path: Path) -> None:
    clock = Clock()
    journal = Journal(tmp_path, clock=clock)
    journal.accept("old")
    journal.finish("old", b"{}", reason="", elapsed=0)
    clock.now += KEPT_SECONDS - 10
    journal.accept("new")
    journal.finish("new", b"{}", reason="", elapsed=0)
    clock.now += 20
    assert list(states(Journal(tmp_path, clock=clock))) == ["new"]


def test_only_so_many_acknowledged_results_are_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for number in range(KEPT_ACKNOWLEDGED + 50):
        journal.accept(f"a{number}")
        journal.finish(f"a{number}", b"{}", reason="", elapsed=0)
        journal.acknowledge([f"a{number}"])
    assert len(journal) == KEPT_ACKNOWLEDGED
    assert journal.find("a0") is None
    assert journal.find(f"a{KEPT_ACKNOWLEDGED + 49}") is not None


def test_what_was_signed_is_remembered_as_long_as_the_signature_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    journal = Journal(tmp_path, clock=clock)
    journal.accept("signed", until=clock.now + 7200)
    journal.finish("signed", b"{}", reason="", elapsed=0)
    journal.acknowledge(["signed"])
    for number in range(KEPT_ACKNOWLEDGED + 1):
        journal.accept(f"a{number}")
        journal.finish(f"a{number}", b"{}", reason="", elapsed=0)
        journal.acknowledge([f"a{number}"])
    assert journal.find("a0") is None
    monkeypatch.setattr("pybible.agent.journal._COMPACT_BYTES", 0)
    for known in (journal, Journal(tmp_path, clock=clock), Journal(tmp_path, clock=clock)):
        entry = known.find("signed")
        assert entry is not None
        assert (entry.state, entry.result) == (EntryState.ACKNOWLEDGED, None)
    clock.now += 7200
    assert Journal(tmp_path, clock=clock).find("signed") is None


def test_nothing_is_remembered_for_longer_than_any_signature_is_good(tmp_path: Path) -> None:
    clock = Clock()
    journal = Journal(tmp_path, clock=clock)
    journal.accept("a1", until=1e18)
    clock.now += KEPT_SECONDS + 1
    assert Journal(tmp_path, clock=clock).find("a1") is None


def test_the_file_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pybible.agent.journal._COMPACT_BYTES", 100_000)
    monkeypatch.setattr("pybible.agent.journal.KEPT_BYTES", 20_000)
    journal = Journal(tmp_path)
    journal.accept("waits")
    journal.finish("waits", b'{"kept":true}', reason="", elapsed=0)
    for number in range(200):
        journal.accept(f"a{number}")
        journal.finish(f"a{number}", b'"' + b"y" * 5000 + b'"', reason="", elapsed=0)
        journal.acknowledge([f"a{number}"])
    assert (tmp_path / "journal").stat().st_size < 200_000
    assert states(Journal(tmp_path)) == {"waits": EntryState.FINISHED}


def test_a_folder_that_can_not_be_used_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("in the way")
    with pytest.raises(ConfigError, match="can't use the journal"):
        Journal(tmp_path)


@given(
    finished=st.lists(st.booleans(), min_size=1, max_size=5),
    cut=st.floats(0, 1),
    rubbish=st.sampled_from([b"", b"\0" * 20, b"\xff" * 20]),
)
def test_a_journal_torn_anywhere_keeps_all_that_was_whole(finished: list[bool], cut: float, rubbish: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "journal"
        journal = Journal(folder, clock=Clock())
        expected: dict[str, EntryState] = {}
        history = [(0, dict(expected))]
        for number, done in enumerate(finished):
            journal.accept(f"a{number}")
            expected[f"a{number}"] = EntryState.INTERRUPTED
            history.append((file.stat().st_size, dict(expected)))
            if done:
                journal.finish(f"a{number}", b"{}", reason="", elapsed=0)
                expected[f"a{number}"] = EntryState.FINISHED
                history.append((file.stat().st_size, dict(expected)))
        journal.close()
        whole = file.read_bytes()
        size = int(cut * len(whole))
        file.write_bytes(whole[:size] + rubbish)
        again = Journal(folder, clock=Clock())
        assert states(again) == [state for written, state in history if written <= size][-1]
        again.close()


class JournalMachine(RuleBasedStateMachine):
    """The journal beside a dictionary, through restarts."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.journal = Journal(self.folder)
        self.model: dict[str, EntryState] = {}
        self.count = 0

    @rule()
    def accept(self) -> None:
        self.count += 1
        self.journal.accept(f"a{self.count}")
        self.model[f"a{self.count}"] = EntryState.RUNNING

    @rule(content=st.binary(max_size=50))
    def finish(self, content: bytes) -> None:
        for name, state in self.model.items():
            if state is EntryState.RUNNING:
                self.journal.finish(name, content, reason="", elapsed=0.5)
                self.model[name] = EntryState.FINISHED
                return

    @rule(how_many=st.integers(1, 3))
    def acknowledge(self, how_many: int) -> None:
        names = [name for name, state in self.model.items() if state is not EntryState.RUNNING][:how_many]
        self.journal.acknowledge(names)
        for name in names:
            del self.model[name]

    @rule()
    def restart(self) -> None:
        self.journal.close()
        self.journal = Journal(self.folder)
        for name, state in self.model.items():
            if state is EntryState.RUNNING:
                self.model[name] = EntryState.INTERRUPTED

    @invariant()
    def same(self) -> None:
        if hasattr(self, "journal"):
            assert states(self.journal) == self.model
            assert self.journal.unacknowledged == len(self.model)

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.journal.close()
            shutil.rmtree(self.folder)


TestJournalMachine = JournalMachine.TestCase


def test_a_secret_result_is_kept_in_memory_only(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.accept("a1")
    stored = journal.finish("a1", b'{"x":"planted"}', reason="", elapsed=1, secret=True)
    assert stored.content == b'{"x":"planted"}'
    assert b"planted" not in (tmp_path / "journal").read_bytes()
    journal.close()

    again = Journal(tmp_path)
    entry = again.find("a1")
    assert entry is not None
    assert entry.result is not None
    assert (entry.state, entry.result.reason) == (EntryState.FINISHED, "interrupted")
    assert b"no_log keeps off its disk" in entry.result.content
    again.close()


def test_a_secret_result_is_forgotten_once_it_is_heard(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.accept("a1")
    journal.finish("a1", b"{}", reason="", elapsed=1, secret=True)
    journal.acknowledge(["a1"])
    entry = journal.find("a1")
    assert entry is not None
    assert entry.result is None
    journal.close()
