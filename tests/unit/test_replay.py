"""test_replay: a run that is resumed from any moment on runs what is left, once, and ends as if nothing had been."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import dedent

import pytest

from pybible.server.engine.dispatcher import Outcome, Target
from pybible.server.engine.executor.context import Report
from pybible.server.engine.executor.options import RunOptions
from pybible.server.engine.executor.replay import Recorded, Replay, events_of, merged, recorded, unfinished
from pybible.server.results.events import (
    HostResult,
    ItemResult,
    Message,
    MessageLevel,
    RunEvent,
    Status,
    decode_event,
    encode_event,
)
from pybible.wire.tasks import TaskSpec
from pybible.wire.values import loads_object
from tests.support.plays import Played, play

SITE = """
- hosts: all
  gather_facts: false
  strategy: STRATEGY
  tasks:
    - {name: first, command: "first {{ inventory_hostname }}", register: first}
    - set_fact: {moment: "{{ 9999999 | random }}", typed: {1: one}}
    - {name: moment, command: "moment {{ moment }}"}
    - name: loop
      command: "loop {{ item }} {{ first.said }}"
      loop: [a, b, c]
      register: looped
      notify: handler
    - block:
        - {name: breaks, command: "breaks {{ inventory_hostname }}"}
      rescue:
        - {name: saves, command: "saves {{ ansible_failed_result.said }}"}
      always:
        - {name: always, command: "always {{ looped.results | length }}"}
    - {name: out, command: "breaks for good", when: inventory_hostname == 'h2'}
    - group_by: {key: "of_{{ inventory_hostname }}"}
    - include_tasks: more.yml
      loop: [x, y]
    - {name: hidden, command: "hidden {{ inventory_hostname }}", no_log: true}
    - {name: ignored, command: "breaks, ignored", ignore_errors: true}
  handlers:
    - {name: handler, command: "handler {{ typed[1] }}"}
- hosts: of_h1:of_h3
  gather_facts: false
  serial: 1
  tasks:
    - {name: second, command: "second {{ first.said }} {{ hostvars.h1.moment }}"}
"""
FILES = {"more.yml": '- {name: more, command: "more {{ item }} {{ inventory_hostname }}"}\n'}


def says(_target: Target, spec: TaskSpec) -> Outcome:
    """Answer with what was asked; what breaks, fails."""
    said = str(loads_object(spec.args).get("_raw_params"))
    return Outcome(result={"changed": True, "said": said, "failed": said.startswith("breaks")})


def resuming(events: Sequence[RunEvent], *, failed_again: bool = False) -> Callable[[Report], Replay]:
    """Return what a run that told these events did, as it was written down and read."""
    hosts = recorded([decode_event(encode_event(event)) for event in events], failed_again=failed_again)

    def replay(report: Report) -> Replay:
        return Replay("r1", hosts, warn=lambda text: report(Message(level=MessageLevel.WARNING, text=text)))

    return replay


def sent(played: Played) -> Counter[tuple[str, str]]:
    """Return what was sent to each host."""
    return Counter((each.target.host, str(each.args["_raw_params"])) for each in played.dispatcher.sent)


def told(events: Sequence[RunEvent]) -> Counter[tuple[str, str]]:
    """Return what events tell the end of."""
    found: Counter[tuple[str, str]] = Counter()
    for event in events:
        if isinstance(event, ItemResult) or (isinstance(event, HostResult) and not event.loop):
            said = event.result.get("said")
            if "censored" in event.result:
                said = f"hidden {event.host}"
            if said is not None:
                found[event.host, str(said)] += 1
    return found


@pytest.mark.parametrize("strategy", ["linear", "free"])
async def test_a_run_that_was_cut_at_any_moment_ends_as_if_it_had_not_been(tmp_path: Path, strategy: str) -> None:
    site = SITE.replace("STRATEGY", strategy)
    whole = await play(tmp_path, site, answer=says, files=FILES)
    assert whole.counts()["h2"] == "ok=6 changed=5 failed=1 rescued=1"
    assert whole.counts()["h1"].endswith("skipped=1 rescued=1 ignored=1")

    for cut in range(1, len(whole.events), 7):
        before = whole.events[:cut]
        again = await play(tmp_path, site, answer=says, files=FILES, replay=resuming(before))

        assert again.counts() == whole.counts()
        assert again.warnings() == []
        assert kinds(sent(again)) == kinds(sent(whole)) - kinds(told(before))


def kinds(counted: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """Return what was asked of each host by its first word: a value that nobody had yet may be another."""
    return Counter((host, text.split()[0]) for host, text in counted.elements())


async def test_facts_are_those_of_then(tmp_path: Path) -> None:
    site = """
        - hosts: h1
          gather_facts: false
          tasks:
            - set_fact: {moment: "{{ 99999999 | random }}", typed: {1: one}}
            - {name: use, command: "use {{ moment }} {{ typed[1] }}"}
    """
    whole = await play(tmp_path, site, answer=says)
    again = await play(tmp_path, site, answer=says, replay=resuming(whole.events[:-1]))

    assert sent(again) == sent(whole)
    assert again.results()[0].from_run == "r1"


async def test_a_resumed_run_that_was_cut_is_resumed_from_what_it_told(tmp_path: Path) -> None:
    site = SITE.replace("STRATEGY", "linear")
    whole = await play(tmp_path, site, answer=says, files=FILES)
    first = whole.events[: len(whole.events) // 3]
    again = await play(tmp_path, site, answer=says, files=FILES, replay=resuming(first))
    second = again.events[: 2 * len(again.events) // 3]
    last = await play(tmp_path, site, answer=says, files=FILES, replay=resuming(second))

    assert last.counts() == whole.counts()
    assert sum(sent(last).values()) == sum((sent(again) - told(second)).values())
    assert {event.from_run for event in last.results("h1")} == {"r1", ""}


async def test_a_resumed_run_that_was_cut_while_it_took_over_loses_nothing(tmp_path: Path) -> None:
    site = SITE.replace("STRATEGY", "linear")
    whole = await play(tmp_path, site, answer=says, files=FILES)
    first = recorded(whole.events[: 2 * len(whole.events) // 3])
    again = await play(tmp_path, site, answer=says, files=FILES, replay=lambda report: Replay("r1", first))
    total = sum(sent(again).values())
    for cut in range(1, len(again.events), 9):
        second = merged(recorded(events_of(first)), recorded(again.events[:cut]))
        last = await play(tmp_path, site, answer=says, files=FILES, replay=_given(second))

        assert last.counts() == whole.counts()
        own = [event for event in again.events[:cut] if not getattr(event, "from_run", "")]
        assert sum(sent(last).values()) == total - sum(told(own).values())


def _given(hosts: dict[str, list[Recorded]]) -> Callable[[Report], Replay]:
    return lambda report: Replay("r2", hosts, warn=lambda text: report(Message(level=MessageLevel.WARNING, text=text)))


async def test_what_was_cancelled_is_run_again_and_known_to_be_unfinished(tmp_path: Path) -> None:
    def cancels(target: Target, spec: TaskSpec) -> Outcome:
        if target.host == "h2":
            return Outcome(result={"failed": True, "msg": "cancelled", "reason": "cancelled"}, reason="cancelled")
        return says(target, spec)

    site = """
        - hosts: all
          gather_facts: false
          tasks:
            - {name: one, command: one}
    """
    before = (await play(tmp_path, site, answer=cancels)).events
    [(record, hosts)] = unfinished(recorded(before))
    again = await play(tmp_path, site, answer=says, replay=resuming(before))

    assert (record.name, hosts) == ("one", ["h2"])
    assert list(sent(again)) == [("h2", "one")]
    assert again.counts() == dict.fromkeys(("h1", "h2", "h3"), "ok=1 changed=1")


async def test_hosts_that_failed_stay_out_unless_they_are_to_go_on(tmp_path: Path) -> None:
    site = """
        - hosts: all
          gather_facts: false
          tasks:
            - {name: one, command: one}
            - {name: two, command: two}
            - {name: three, command: three}
    """

    def fails(target: Target, spec: TaskSpec) -> Outcome:
        outcome = says(target, spec)
        failed = target.host == "h2" and outcome.result["said"] == "two"
        return Outcome(result={**outcome.result, "failed": failed})

    before = (await play(tmp_path, site, answer=fails)).events
    out = await play(tmp_path, site, answer=says, replay=resuming(before))
    again = await play(tmp_path, site, answer=says, replay=resuming(before, failed_again=True))

    assert not sent(out)
    assert out.counts()["h2"] == "ok=1 changed=1 failed=1"
    assert list(sent(again)) == [("h2", "two"), ("h2", "three")]
    assert again.counts() == dict.fromkeys(("h1", "h2", "h3"), "ok=3 changed=3")


async def test_what_no_log_hides_is_run_again_when_it_is_registered(tmp_path: Path) -> None:
    site = """
        - hosts: h1
          gather_facts: false
          no_log: true
          tasks:
            - {name: kept, command: secret, register: kept}
            - {name: dropped, command: other}
            - {name: loop, command: "{{ item }}", loop: [a, b]}
            - set_fact: {derived: "{{ kept.said }}!"}
            - {name: use, command: "use {{ derived }}", no_log: false}
    """
    whole = await play(tmp_path, site, answer=says)
    before = [event for event in whole.events if not _tells(event, "use")]
    again = await play(tmp_path, site, answer=says, replay=resuming(before))

    assert [text for _host, text in sent(again)] == ["secret", "use secret!"]
    assert again.counts() == whole.counts()
    [warning] = again.warnings()
    assert warning.startswith("h1: [kept] (")
    assert "no_log" in warning


def _tells(event: RunEvent, word: str) -> bool:
    return isinstance(event, HostResult) and str(event.result.get("said", "")).startswith(word)


async def test_a_playbook_that_became_another_is_followed_as_far_as_it_is_the_same(tmp_path: Path) -> None:
    site = """
        - hosts: h1
          gather_facts: false
          tasks:
            - {name: one, command: one}
            - {name: two, command: two}
    """
    before = (await play(tmp_path, site, answer=says)).events
    two = "    - {name: two, command: two}"
    changed = dedent(site).replace(two, f"    - {{name: new, ping: }}\n{two}")
    again = await play(tmp_path, changed, replay=resuming(before))

    assert [each.spec.module for each in again.dispatcher.sent] == ["ping", "command"]
    [warning] = again.warnings()
    assert warning.startswith("h1: run r1 can't be followed any further")
    assert "[new]" in warning


async def test_other_items_of_a_loop_are_not_taken_for_those_of_then(tmp_path: Path) -> None:
    site = """
        - hosts: h1
          gather_facts: false
          tasks:
            - {name: loop, command: "{{ item }}", loop: "{{ wanted }}"}
            - {name: two, command: two}
    """
    before = (await play(tmp_path, site, answer=says, extra_vars={"wanted": ["a", "b"]})).events
    again = await play(tmp_path, site, answer=says, extra_vars={"wanted": ["a", "c"]}, replay=resuming(before))

    assert [text for _host, text in sent(again)] == ["c", "two"]
    assert "other items" in again.warnings()[0]


async def test_hosts_that_were_unreachable_stay_so(tmp_path: Path) -> None:
    site = """
        - hosts: all
          gather_facts: false
          tasks:
            - {name: one, command: one}
            - {name: two, command: two}
    """

    def answers(target: Target, spec: TaskSpec) -> Outcome:
        if target.host == "h3":
            return Outcome(result={"msg": "gone"}, reason="not_connected", unreachable=True)
        return says(target, spec)

    whole = await play(tmp_path, site, answer=answers, options=RunOptions(forks=1))
    before = whole.events[: whole.events.index(whole.results("h3")[0]) + 1]
    again = await play(tmp_path, site, answer=says, options=RunOptions(forks=1), replay=resuming(before))

    assert list(sent(again)) == [("h1", "two"), ("h2", "two")]
    assert again.counts() == whole.counts()
    assert again.results("h3")[0].status is Status.UNREACHABLE
