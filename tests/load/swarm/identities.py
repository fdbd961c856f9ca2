"""identities: where `enrol_all` was."""

from __future__ import annotations

from pybible.agent.swarm.identities import enrol_all as enrol_all
