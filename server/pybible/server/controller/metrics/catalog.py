"""catalog: every metric of the controller: its name, type, meaning and labels. The reference page is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, slots=True)
class Described:
    """One metric. `labels`: what each one's values are. No label ever has a value that a host chose."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: Mapping[str, str] = field(default_factory=dict)


_QUEUES = {
    "queue": "`store` (works for the writer), `agents` (messages for an agent), `watchers` (batches of events for one "
    "who watches a run), `enrollments` (hosts that wait for an operator)"
}
_ROLES = {"role": "`agent`, `operator`"}

_DESCRIBED = (
    Described(
        "pybible_build_info", "gauge", "Always 1.", {"version": "of pybible", "protocol": "the newest that it speaks"}
    ),
    Described("pybible_agents", "gauge", "Enrolled agents."),
    Described(
        "pybible_sessions",
        "gauge",
        "Agents that came since the controller started, by the state of their session.",
        {"state": "`offline`, `sync`, `ready`, `draining`, `suspect`, `lost`, `quarantined`"},
    ),
    Described("pybible_sessions_opened_total", "counter", "Sessions that were agreed with agents."),
    Described(
        "pybible_sessions_denied_total",
        "counter",
        "Handshakes that were refused and sessions that the controller ended.",
        {
            "reason": "`overloaded`, `shutting_down`, `protocol`, `invalid`, `unknown_agent`, `superseded`, "
            "`quarantined`, `revoked`, `expired`, `silent`"
        },
    ),
    Described(
        "pybible_calls_refused_total",
        "counter",
        "Calls that were refused.",
        {
            "port": "`agents`, `enrolment`, `operators`, `socket`",
            "reason": "`unauthenticated` (no certificate that is valid here), `permission_denied` (of a role that may "
            "not), `not_served` (another port does), `rate_limited` and `enrollment` (on the enrolment port)",
        },
    ),
    Described("pybible_open_runs", "gauge", "Runs that go on."),
    Described(
        "pybible_runs_total",
        "counter",
        "Runs that have ended.",
        {"state": "`finished`, `failed`, `cancelled`, `interrupted`"},
    ),
    Described("pybible_watchers", "gauge", "Those who watch open runs."),
    Described("pybible_window_slots", "gauge", "The slots (forks) of all open runs."),
    Described(
        "pybible_window_attempts",
        "gauge",
        "Attempts in the windows of open runs.",
        {"state": "`out` (has a slot), `waiting` (for one)"},
    ),
    Described("pybible_window_wait_seconds", "histogram", "How long an attempt waited for its slot."),
    Described(
        "pybible_dispatch_latency_seconds",
        "histogram",
        "From an attempt's slot to the agent's first word of it: that it accepted it, or the result of a short task.",
    ),
    Described("pybible_attempt_duration_seconds", "histogram", "From an attempt's slot to its verdict."),
    Described(
        "pybible_attempts_total",
        "counter",
        "Attempts (one task on one host, one try) that have ended.",
        {
            "outcome": "`ok`, `failed`, `unreachable`: of the attempt itself, whatever the play makes of it",
            "reason": "empty for the module's own result, else [the reason](results.md); `other` for an unknown one",
        },
    ),
    Described("pybible_late_results_total", "counter", "Results that came after their attempts' verdict."),
    Described("pybible_queue_items", "gauge", "What waits in queues, all of a kind together.", _QUEUES),
    Described("pybible_queue_longest_items", "gauge", "What waits in the longest queue of a kind.", _QUEUES),
    Described("pybible_queue_limit_items", "gauge", "How much one queue of a kind takes.", _QUEUES),
    Described("pybible_ctl_queue_bytes", "gauge", "What waits for every `pybible-ctl` that has a run."),
    Described("pybible_ctl_queue_longest_bytes", "gauge", "What waits for the slowest of them."),
    Described("pybible_ctl_queue_limit_bytes", "gauge", "Above so much for one, no more of its attempts go out."),
    Described("pybible_store_batch_seconds", "histogram", "How long the store took for one batch of writes."),
    Described("pybible_store_batch_works", "histogram", "How many works were in one batch."),
    Described("pybible_store_failed_batches_total", "counter", "Batches of which nothing could be written."),
    Described(
        "pybible_store_bytes", "gauge", "The size of the store's files; 0 when it is not SQLite. Space is used again."
    ),
    Described("pybible_removed_runs_total", "counter", "Runs that were removed from the store because they were old."),
    Described("pybible_blobs", "gauge", "Blobs in the state folder, counted every minute at most."),
    Described("pybible_blobs_bytes", "gauge", "Their size."),
    Described("pybible_contents_sent_total", "counter", "Contents that agents fetched, whole or from some place on."),
    Described("pybible_contents_sent_bytes_total", "counter", "Their bytes."),
    Described("pybible_certificates", "gauge", "Certificates that are let in.", _ROLES),
    Described(
        "pybible_certificate_expiry_timestamp_seconds",
        "gauge",
        "When the first of them expires, as Unix time; of a holder with several the last one counts.",
        {"role": "`authority` (the root), `issuing` (the authority that signs), `controller`, `agent`, `operator`"},
    ),
    Described("pybible_event_loop_tasks", "gauge", "Coroutines that the event loop runs: some for each agent."),
    Described(
        "pybible_event_loop_lag_seconds",
        "histogram",
        "How much later than asked for the event loop called, twice a second: heartbeats are as late as that.",
    ),
)

CATALOG: Mapping[str, Described] = MappingProxyType({each.name: each for each in _DESCRIBED})
