"""settings: the times and bounds of sessions. All times in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """What protocol.md says, unless the configuration says otherwise."""

    heartbeat_interval: float = 10.0
    # So many missed heartbeats make a session suspect.
    missed_heartbeats: int = 3
    disconnect_grace: float = 15.0
    # After so long it is looked at whether an agent has accepted what it was sent; SessionMachine says what then.
    accept_timeout: float = 10.0
    hello_timeout: float = 30.0
    # Streams of one agent that may wait for their Hello at once.
    silent_streams: int = 4
    # How long after a task's own timeout the controller ends the attempt by itself.
    deadline_slack: float = 15.0
    # How long a cancelled task has between SIGTERM and SIGKILL.
    cancel_grace: float = 5.0
    # More than so many changes between live incarnations of one identity within flip_period: two hosts have it.
    flips: int = 3
    flip_period: float = 60.0
    quarantine: float = 600.0
    # Handshakes admitted a second, and how many may come at once.
    handshakes: float = 500.0
    handshake_burst: int = 1000
    # How long a handshake may wait for its turn. Agents wait 30 s for their Welcome, TLS included.
    handshake_patience: float = 15.0

    @property
    def silence(self) -> float:
        """How long a session may say nothing. It is the lease of the agent, too."""
        return self.heartbeat_interval * self.missed_heartbeats

    @property
    def accept_heartbeats(self) -> int:
        """So many heartbeats after a task was sent show that its agent has had time, by its own clock: `silence`."""
        return self.missed_heartbeats + 1


# What an agent may send. Above these a Hello is refused, or a message cut.
JOURNAL_ENTRIES = 10_000
MODULES = 5_000
TEXT_LENGTH = 512
POLICY_LINES = 32
POLICY_LENGTH = 2_000
MESSAGE_LENGTH = 4_096
SLOTS = 1_024
FACTS_BYTES = 1024 * 1024
# Live output of one agent: so many bytes a second on average, what is above is dropped and said so.
OUTPUT_BYTES_A_SECOND = 4 * 1024 * 1024
