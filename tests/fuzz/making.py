"""making: examples from a process of their own, so that what hypothesis keeps of them is nobody else's memory."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

BATCH = 200
# Batches until the process is replaced by a new one.
_LIFE = 25


def made(material: st.SearchStrategy[Any], *, start: int, count: int = BATCH) -> list[Any]:
    """Return examples: with the same `start` the same ones."""
    found: list[Any] = []
    quiet = settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )

    def keep(example: object) -> None:
        found.append(example)

    seed(start)(quiet(given(material)(keep)))()
    return found


def _made_for(name: str, start: int) -> list[Any]:
    # Here, for every target's file needs this one.
    from tests.fuzz.targets import TARGETS

    return made(TARGETS[name].material(), start=start)


@contextmanager
def batches(name: str, *, start: int) -> Iterator[Iterator[tuple[int, list[Any]]]]:
    """Give batches of a target's examples without end, each with its seed; one is always made ahead."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=_LIFE) as maker:

        def all_of_them() -> Iterator[tuple[int, list[Any]]]:
            number = start
            ahead = maker.submit(_made_for, name, number)
            while True:
                found, ahead = ahead, maker.submit(_made_for, name, number + 1)
                yield number, found.result()
                number += 1

        try:
            yield all_of_them()
        finally:
            maker.shutdown(wait=False, cancel_futures=True)
