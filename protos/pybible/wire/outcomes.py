"""outcomes: the words for why an attempt has no ordinary module result."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a host's result is not the module's own. The word is part of the result, under `reason`."""

    NOT_CONNECTED = "not_connected"
    LOST_MID_TASK = "lost_mid_task"
    INTERRUPTED = "interrupted"
    ACCEPT_TIMEOUT = "accept_timeout"
    POLICY_DENIED = "policy_denied"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    UNKNOWN_MODULE = "unknown_module"
    WORKER_DIED = "worker_died"
    BECOME_FAILED = "become_failed"
    BAD_RESULT = "bad_result"
    RESULT_TOO_LARGE = "result_too_large"
    CONTENT_MISSING = "content_missing"
    INTERNAL_ERROR = "internal_error"
