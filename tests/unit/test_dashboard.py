"""test_dashboard: what deploy/grafana shows exists, and what it needs to be imported is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybible.agent.metrics import CATALOG as AGENT
from pybible.server.controller.metrics.catalog import CATALOG
from pybible.wire.values import JsonObject

ROOT = Path(__file__).resolve().parents[2]
# Those of prometheus-client that are shown.
_PROCESS = {
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
}
_NAME = re.compile(r"\b(?:pybible|process)_[a-z_]+\b")
_GUIDE = ROOT / "docs" / "how-to" / "watch-the-daemons.md"


@pytest.fixture(name="dashboard")
def _dashboard() -> JsonObject:
    found: JsonObject = json.loads((ROOT / "deploy" / "grafana" / "pybible.json").read_text())
    return found


def _known() -> set[str]:
    """Return the names of all samples."""
    names = {*AGENT, *_PROCESS}
    for name, described in CATALOG.items():
        endings = ("_bucket", "_count", "_sum") if described.kind == "histogram" else ("",)
        names.update(f"{name}{ending}" for ending in endings)
    return names


def _expressions(dashboard: JsonObject) -> Iterator[str]:
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


def test_every_metric_that_is_shown_exists(dashboard: JsonObject) -> None:
    shown = {name for expression in _expressions(dashboard) for name in _NAME.findall(expression)}
    assert shown - _known() == set()


def test_every_label_that_is_asked_for_exists(dashboard: JsonObject) -> None:
    labels = {label for described in CATALOG.values() for label in described.labels}
    labels |= {label for _, _, label in AGENT.values()} | {"job", "instance", "le"}
    asked = set()
    for expression in _expressions(dashboard):
        asked |= set(re.findall(r"([a-z_]+)=~?\"", expression))
        asked |= {name for names in re.findall(r"by \(([a-z, ]+)\)", expression) for name in names.split(", ")}
    assert asked - labels == set()


def test_whatever_the_controller_counts_is_shown_or_named_in_the_guide(dashboard: JsonObject) -> None:
    named = _NAME.findall(" ".join((*_expressions(dashboard), _GUIDE.read_text())))
    shown = {re.sub("_(bucket|count|sum)$", "", name) for name in named}
    # The figures behind those that are shown.
    behind = {
        "pybible_blobs",
        "pybible_certificates",
        "pybible_contents_sent_total",
        "pybible_ctl_queue_bytes",
        "pybible_late_results_total",
        "pybible_sessions_opened_total",
        "pybible_watchers",
    }
    assert CATALOG.keys() - shown == behind


def test_it_asks_for_the_data_source_when_it_is_imported(dashboard: JsonObject) -> None:
    kinds = {variable["name"]: variable["type"] for variable in dashboard["templating"]["list"]}
    assert kinds["datasource"] == "datasource"
    shown = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    for panel in shown:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
    assert dashboard.keys() >= {"title", "uid", "schemaVersion", "panels", "templating", "time"}
    assert "id" not in dashboard


def test_its_panels_have_numbers_and_places_of_their_own(dashboard: JsonObject) -> None:
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        squares = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not squares & taken
        taken |= squares


def test_the_guide_names_metrics_that_exist() -> None:
    named = set(_NAME.findall(_GUIDE.read_text()))
    assert named - _known() - {"pybible_agent"} == set()
