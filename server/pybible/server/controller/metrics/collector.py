"""collector: the controller's metrics, read from its live parts whenever somebody asks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from pybible.server.controller.counts import Histogram
from pybible.server.controller.metrics.catalog import CATALOG
from pybible.server.controller.metrics.lag import LoopLag
from pybible.server.controller.metrics.sources import Sources
from pybible.server.controller.runs.events import WATCHER_BATCHES
from pybible.server.controller.runs.outgoing import FULL_BYTES
from pybible.server.controller.sessions.instructions import SessionState
from pybible.server.controller.sessions.outbox import BOUND
from pybible.server.controller.store.runs import RunState
from pybible.server.controller.store.writer import QUEUE_WORKS
from pybible.wire.identity import Identity, Role
from pybible.wire.protocol import PROTOCOL_MAX

# (values of the labels, in the catalog's order; the value)
_Sample = tuple[Sequence[str], float]


class ControllerCollector(Collector):
    """Reads the parts in the loop's thread. `blobs`: how many there are and their bytes, counted elsewhere."""

    def __init__(self, sources: Sources, lag: LoopLag) -> None:
        self._sources = sources
        self._lag = lag
        self.blobs = (0, 0)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what is registered need not be collected for its names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return every metric of the catalog as it is now."""
        yield from self._fleet()
        yield from self._runs()
        yield from self._queues()
        yield from self._store()
        yield from self._certificates()
        yield _single("pybible_event_loop_tasks", len(asyncio.all_tasks()))
        yield _histogram("pybible_event_loop_lag_seconds", self._lag.seen)

    def _fleet(self) -> Iterator[Metric]:
        sources, sessions = self._sources, self._sources.sessions
        states = sessions.states()
        yield _metric("pybible_build_info", [((sources.version, str(PROTOCOL_MAX)), 1)])
        yield _single("pybible_agents", len(sources.database.directory))
        yield _metric("pybible_sessions", [((state.value,), states[state]) for state in SessionState])
        yield _single("pybible_sessions_opened_total", sessions.opened)
        yield _metric("pybible_sessions_denied_total", _counted(sessions.denied))
        yield _metric("pybible_calls_refused_total", list(sources.access.refused.items()))

    def _runs(self) -> Iterator[Metric]:
        opened, counts = self._sources.runs.opened, self._sources.counts
        windows = [run.window for run in opened]
        out = sum(window.out for window in windows)
        waiting = sum(window.waiting for window in windows)
        yield _single("pybible_open_runs", len(opened))
        ended = [state for state in RunState if state is not RunState.RUNNING]
        yield _metric("pybible_runs_total", [((state.value,), counts.runs[state]) for state in ended])
        yield _single("pybible_watchers", sum(len(run.events.waiting()) for run in opened))
        yield _single("pybible_window_slots", sum(window.forks for window in windows))
        yield _metric("pybible_window_attempts", [(("out",), out), (("waiting",), waiting)])
        yield _histogram("pybible_window_wait_seconds", counts.waits)
        yield _histogram("pybible_dispatch_latency_seconds", counts.dispatches)
        yield _histogram("pybible_attempt_duration_seconds", counts.times)
        yield _metric("pybible_attempts_total", list(counts.attempts.items()))
        yield _single("pybible_late_results_total", counts.late)

    def _queues(self) -> Iterator[Metric]:
        sources, opened = self._sources, self._sources.runs.opened
        waiting = {
            "store": [sources.database.writer.waiting],
            "agents": sources.sessions.waiting(),
            "watchers": [length for run in opened for length in run.events.waiting()],
            "enrollments": [len(sources.waiting)],
        }
        limits = {
            "store": QUEUE_WORKS,
            "agents": BOUND,
            "watchers": WATCHER_BATCHES,
            "enrollments": sources.waiting.limit,
        }
        yield _metric("pybible_queue_items", [((name,), sum(found)) for name, found in waiting.items()])
        longest = [((name,), max(found, default=0)) for name, found in waiting.items()]
        yield _metric("pybible_queue_longest_items", longest)
        yield _metric("pybible_queue_limit_items", [((name,), limit) for name, limit in limits.items()])
        sizes = [run.outgoing.waiting_bytes for run in opened]
        yield _single("pybible_ctl_queue_bytes", sum(sizes))
        yield _single("pybible_ctl_queue_longest_bytes", max(sizes, default=0))
        yield _single("pybible_ctl_queue_limit_bytes", FULL_BYTES)

    def _store(self) -> Iterator[Metric]:
        writer, sent = self._sources.database.writer, self._sources.traffic.total()
        yield _histogram("pybible_store_batch_seconds", writer.batch_seconds)
        yield _histogram("pybible_store_batch_works", writer.batch_works_seen)
        yield _single("pybible_store_failed_batches_total", writer.failures)
        yield _single("pybible_store_bytes", self._sources.database.size())
        yield _single("pybible_removed_runs_total", self._sources.retention.removed)
        yield _single("pybible_blobs", self.blobs[0])
        yield _single("pybible_blobs_bytes", self.blobs[1])
        yield _single("pybible_contents_sent_total", sent.contents)
        yield _single("pybible_contents_sent_bytes_total", sent.bytes)

    def _certificates(self) -> Iterator[Metric]:
        authority = self._sources.authority
        counts, expiries = [], []
        for role in (Role.AGENT, Role.OPERATOR):
            # Of a holder with several, the last one counts: the others are on their way out.
            lasts: dict[Identity, float] = {}
            records = self._sources.allowed.of_role(role)
            for record in records:
                lasts[record.identity] = max(record.expires, lasts.get(record.identity, 0.0))
            counts.append(((role.value,), len(records)))
            if lasts:
                expiries.append(((role.value,), min(lasts.values())))
        yield _metric("pybible_certificates", counts)
        own = {"authority": authority.root, "issuing": authority.issuing, "controller": authority.server_certificate}
        for name, certificate in own.items():
            expiries.append(((name,), certificate.not_valid_after_utc.timestamp()))
        yield _metric("pybible_certificate_expiry_timestamp_seconds", expiries)


def _counted(counter: Mapping[str, int]) -> list[_Sample]:
    return [((name,), count) for name, count in counter.items()]


def _single(name: str, value: float) -> Metric:
    return _metric(name, [((), value)])


def _metric(name: str, samples: Sequence[_Sample]) -> Metric:
    described = CATALOG[name]
    kind = CounterMetricFamily if described.kind == "counter" else GaugeMetricFamily
    family = kind(name, described.text, labels=tuple(described.labels))
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _histogram(name: str, seen: Histogram) -> Metric:
    bounds = [*(str(bound) for bound in seen.bounds), "+Inf"]
    buckets = list(zip(bounds, accumulate(seen.counts), strict=True))
    return HistogramMetricFamily(name, CATALOG[name].text, buckets=buckets, sum_value=seen.total)
