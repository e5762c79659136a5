"""Dashboard and alerts ask for figures that exist, in queries that Prometheus understands."""

import json
import re
from pathlib import Path

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from service import counts
from service.database import open_database
from service.metrics import Metrics
from service.settings import ServiceSettings

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
VARIABLE = re.compile(r"\$__rate_interval")
HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")


@pytest.fixture(scope="module")
def dashboard() -> dict:
    return json.loads((MONITORING / "dashboards" / "penumbra.json").read_text())


@pytest.fixture(scope="module")
def alerts() -> list[dict]:
    (group,) = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return group["rules"]


@pytest.fixture(scope="module")
def queries(dashboard, alerts) -> list[str]:
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    return [VARIABLE.sub("5m", query) for query in (*shown, *(rule["expr"] for rule in alerts))]


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> dict[str, set[str]]:
    """Names of all samples that /metrics may give, with their labels."""
    settings = ServiceSettings(data_dir=tmp_path_factory.mktemp("figures"))
    database = open_database(settings)
    metrics = Metrics(settings, database)
    metrics.requests.labels("GET", "/", "200").inc()
    metrics.seconds.labels("GET", "/").observe(1)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        suffixes = HISTOGRAM_PARTS if family.type == "histogram" else ("_total",)
        for name in [family.name, *(family.name + suffix for suffix in suffixes)]:
            found[name] = {label for sample in family.samples for label in sample.labels}
    database.dispose()
    return found


def test_queries_are_understood_and_name_figures_that_exist(queries, samples) -> None:
    assert len(queries) > 40
    for query in queries:
        promql_parser.parse(query)
        named = set(re.findall(r"\bpenumbra_\w+", query))
        assert named and named <= set(samples), query


def test_no_figure_is_left_out(queries, samples) -> None:
    """What is worth counting is worth showing."""
    asked = " ".join(queries)
    families = {
        name for name in samples if not name.endswith((*HISTOGRAM_PARTS, "_total")) and "_created" not in name
    }
    unasked = {name for name in families if not re.search(rf"\b{name}(_total|_bucket|_sum|_count)?\b", asked)}
    assert unasked <= {"penumbra_uploaded_instances"}


def test_several_apis_are_not_counted_several_times(queries) -> None:
    """Every API tells the same of the database, so sums over instances would multiply."""
    for query in queries:
        if "penumbra_http_" not in query:
            assert "without (instance)" in query or not re.search(r"\bsum\b", query), query


def test_panels_have_places_and_numbers_of_their_own(dashboard) -> None:
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
    assert all(panel["targets"] for panel in panels if panel["type"] != "row")


def test_each_alert_says_what_is_wrong_and_what_to_do(alerts) -> None:
    assert len({rule["alert"] for rule in alerts}) == len(alerts)
    for rule in alerts:
        assert {"summary", "remedy"} == set(rule["annotations"]), rule["alert"]
        assert rule["labels"]["severity"] in {"page", "mail"}


def test_the_alert_is_raised_by_the_wait_that_the_page_and_the_doctor_call_long(alerts) -> None:
    (alert,) = [rule for rule in alerts if rule["alert"] == "PenumbraQueueStands"]
    assert alert["expr"] == f"max(penumbra_queue_oldest_seconds) > {counts.LONG_WAIT_S:.0f}"
