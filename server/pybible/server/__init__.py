"""server: the controller, the playbook engine and pybible-ctl."""

import pybible.wire  # noqa: F401  sets what gRPC reads at its import, before any module here imports it
