"""test_strategies: plays under each strategy, their results in any order: every host ends, once and in order."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybible.server.engine.dispatcher import Outcome, Target
from pybible.server.engine.executor.options import RunOptions
from pybible.wire.tasks import TaskSpec
from pybible.wire.values import loads_object
from tests.support.plays import Played, play

HOSTS = ("h1", "h2", "h3", "h4")
FORKS = 2
# A task's name, or a block's three parts.
Tree: TypeAlias = "Sequence[str | tuple[Tree, Tree, Tree]]"


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Draw tasks and blocks, blocks in blocks too; each task has a name of its own."""
    names = iter(f"t{number}" for number in range(100))

    def part(depth: int, least: int) -> Tree:
        kinds = draw(st.lists(st.sampled_from("ttb" if depth < 2 else "t"), min_size=least, max_size=3))
        return [
            next(names) if kind == "t" else (part(depth + 1, 1), part(depth + 1, 0), part(depth + 1, 0))
            for kind in kinds
        ]

    return part(0, 1)


def written(tree: Tree, indent: int) -> str:
    """Return the tree as a playbook has it."""
    pad = " " * indent
    text = ""
    for node in tree:
        if isinstance(node, str):
            text += f"{pad}- {{name: {node}, ping: {{data: {node}}}}}\n"
        else:
            for start, name, part in zip(("- ", "  ", "  "), ("block", "rescue", "always"), node, strict=True):
                text += f"{pad}{start}{name}:\n{written(part, indent + 4)}" if part else ""
    return text


def walk(tree: Tree, ends: Mapping[str, str], ran: list[str]) -> str:
    """Add the tasks that a host runs, each ending as `ends` says; return how it goes on: ok, failed, unreachable."""
    for node in tree:
        if isinstance(node, str):
            ran.append(node)
            state = ends.get(node, "ok")
        else:
            block, rescue, always = node
            state = walk(block, ends, ran)
            if state == "failed" and rescue:
                state = walk(rescue, ends, ran)
            if state != "unreachable" and always:
                after = walk(always, ends, ran)
                state = after if after != "ok" else state
        if state != "ok":
            return state
    return "ok"


def run(strategy: str, tree: Tree, ends: Mapping[tuple[str, str], str], seed: int) -> Played:
    """Run the tree; each answer takes its own time."""
    choose = random.Random(seed)

    async def answer(target: Target, spec: TaskSpec) -> Outcome:
        for _ in range(choose.choice((0, 0, 1, 2, 5, 20))):
            await asyncio.sleep(0)
        end = ends.get((target.host, str(loads_object(spec.args)["data"])), "ok")
        return Outcome(
            result={"changed": False, "failed": end == "failed", "msg": end}, unreachable=end == "unreachable"
        )

    book = f"- hosts: all\n  gather_facts: false\n  strategy: {strategy}\n  tasks:\n{written(tree, 4)}"
    with tempfile.TemporaryDirectory() as folder:
        options = RunOptions(forks=FORKS)
        return asyncio.run(play(Path(folder), book, hosts=HOSTS, answer=answer, options=options))


def names_of(tree: Tree) -> list[str]:
    """Return every task's name."""
    return [
        name
        for node in tree
        for name in ([node] if isinstance(node, str) else names_of([*node[0], *node[1], *node[2]]))
    ]


ENDS = st.dictionaries(
    st.tuples(st.sampled_from(HOSTS), st.sampled_from([f"t{number}" for number in range(12)])),
    st.sampled_from(["failed", "failed", "unreachable"]),
    max_size=8,
)


@pytest.mark.parametrize("strategy", ["linear", "free", "host_pinned"])
@settings(max_examples=20, deadline=None)
@given(tree=trees(), ends=ENDS, seed=st.integers())
def test_in_any_interleaving_every_host_runs_what_it_is_to_run_once_and_in_order(
    strategy: str, tree: Tree, ends: Mapping[tuple[str, str], str], seed: int
) -> None:
    played = run(strategy, tree, ends, seed)

    seen = [line.split() for line in played.order()]
    for host in HOSTS:
        expected: list[str] = []
        state = walk(tree, {task: end for (name, task), end in ends.items() if name == host}, expected)
        assert [task for name, task in seen if name == host] == expected
        counts = played.counts()[host]
        assert ("unreachable=1" in counts) == (state == "unreachable")
        assert (" failed=" in f" {counts}") == (state == "failed")
    assert len(played.dispatcher.sent) == len(seen)
    match strategy:
        case "linear":
            # In lockstep: nothing comes between two hosts' results of a task.
            tasks = [task for task, _results in groupby(seen, key=lambda line: line[1])]
            assert len(tasks) == len(set(tasks))
        case "host_pinned":
            check_pinned([sent.target.host for sent in played.dispatcher.sent])


def check_pinned(hosts: Sequence[str]) -> None:
    """Hosts begin in their order, and no more than FORKS are between their first and their last task."""
    assert list(dict.fromkeys(hosts)) == list(HOSTS)
    under_way = [
        sum(1 for host in HOSTS if host in hosts[: number + 1] and host in hosts[number:])
        for number in range(len(hosts))
    ]
    assert max(under_way) <= FORKS
