"""The dashboard, the rules and the scrape targets against the metrics, labels, values of labels, codes and ports of the code."""

import json
import re
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from schemas import topics
from schemas.errors import leaves
from streams.drift.window_metrics import STATISTICS, STATUSES
from streams.drift.windows import Fate
from streams.metrics import STAGES, WorkerMetrics
from streams.metrics_table import families, registries
from streams.settings import Settings

ROOT = Path(__file__).parents[3]
DASHBOARD = json.loads((ROOT / "docker/grafana/dashboards/deeptrace.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def rules_of(name):
    """The rules of a file, of all its groups."""
    groups = yaml.safe_load((ROOT / "docker/prometheus" / name).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


RULES = rules_of("alerts.yml")
RECORDED = rules_of("recording.yml")
PROMETHEUS = yaml.safe_load((ROOT / "docker/prometheus/prometheus.yml").read_text())
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]

ADDED_BY_PROMETHEUS = {"job", "instance"}
WORDS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "group_right"}
VALUES = {
    "code": {error.code for error in leaves()},
    "stage": set(STAGES),
    "fate": set(Fate),
    "status": set(STATUSES),
    "statistic": set(STATISTICS),
    "bound": {"value", "low", "high"},
    "topic": {value for name, value in vars(topics).items() if name.isupper()},
    "state": {"raised", "resolved"},
}
"""What these labels may be compared with."""
GROUPING = r"\b(?:by|without|on|ignoring|group_left|group_right) *\(([^)]*)\)"


def exposed():
    """Every series that the workers can expose or the rules record, with its labels."""
    series = {"up": set(ADDED_BY_PROMETHEUS)}
    for registry in registries().values():
        for family in families(registry):
            series |= {name: set(labels) for name, labels in family.series.items()}
    for rule in RECORDED:
        _, labels = names(rule["expr"])
        series[rule["record"]] = labels
    return series


def names(expression):
    """The metrics and the labels that a PromQL expression names."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    labels = set(re.findall(r'(\w+) *(?:=~|!~|!=|=) *""', bare))
    labels |= {label.strip() for listed in re.findall(GROUPING, bare) for label in listed.split(",") if label.strip()}
    bare = re.sub(rf"{GROUPING}|\{{[^}}]*\}}|\[[^]]*\]", " ", bare)
    return set(re.findall(r"(?<![\w:])[A-Za-z_][\w:]*\b(?! *\()", bare)) - WORDS, labels


def faults(expression):
    """What an expression names and the code does not have."""
    series = exposed()
    metrics, labels = names(expression)
    unknown = sorted(metrics - series.keys())
    known_labels = ADDED_BY_PROMETHEUS.union(*(series.get(metric, set()) for metric in metrics))
    compared = [
        (label, value)
        for label, found in re.findall(rf'\b({"|".join(VALUES)}) *(?:=~|!~|!=|=) *"([\w.|]*)"', expression)
        for value in found.split("|")
    ]
    return unknown + sorted(labels - known_labels) + [value for label, value in compared if value not in VALUES[label]]


EXPRESSIONS = [
    *((f"alert {rule['alert']}", rule["expr"]) for rule in RULES),
    *((rule["record"], rule["expr"]) for rule in RECORDED),
    *((f"panel {panel['title']} {target['refId']}", target["expr"]) for panel in PANELS for target in panel["targets"]),
]


@pytest.mark.parametrize("expression", [text for _, text in EXPRESSIONS], ids=[name for name, _ in EXPRESSIONS])
def test_expression_names_only_what_the_workers_expose(expression):
    """A metric, label, error code or stage that does not exist gives an empty panel and an alert that never fires."""
    assert faults(expression) == []
    assert names(expression)[0]


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("sum(rate(deeptrace_outcomes[5m]))", "deeptrace_outcomes"),
        ("sum by (reason) (rate(deeptrace_dead_letters_total[5m]))", "reason"),
        ("histogram_quantile(0.5, sum by (le) (rate(deeptrace_batch_size[5m])))", "deeptrace_batch_size"),
        ('deeptrace_retries_total{code=~"store_unavailable|store_gone"}', "store_gone"),
        ('deeptrace_stage_duration_seconds_count{stage="inference"}', "inference"),
        ("deeptrace_inflight_references unless on (worker) up", "worker"),
        ('deeptrace_consumer_lag_seconds{topic="deeptrace.image.v1"}', "deeptrace.image.v1"),
        ('deeptrace_drift_correction{status="bad"}', "bad"),
        ('deeptrace_drift_observations_total{fate=~"late|early"}', "early"),
        ("deeptrace:topic_lag_seconds:min", "deeptrace:topic_lag_seconds:min"),
        ("sum by (partition) (deeptrace:topic_lag_seconds:max)", "partition"),
    ],
)
def test_wrong_expression_is_refused(expression, fault):
    """The check above sees metrics, labels and values of labels that are wrong."""
    assert fault in faults(expression)


@pytest.mark.parametrize(
    "metric",
    [
        "deeptrace_outcomes_total",
        "deeptrace_verdicts_total",
        "deeptrace_withheld_verdicts_total",
        "deeptrace_dead_letters_total",
        "deeptrace_stage_duration_seconds_bucket",
        "deeptrace_batch_size_bucket",
        "deeptrace_inflight_references",
        "deeptrace_retries_total",
        "deeptrace_drift_images_total",
        "deeptrace_drift_kl_nats_bucket",
        "deeptrace_end_to_end_seconds_bucket",
        "deeptrace_confidence_bucket",
        "deeptrace_consumer_lag_messages",
        "deeptrace_consumer_lag_seconds",
        "deeptrace_model_info",
        "deeptrace_drift_window_share",
        "deeptrace_drift_window_ai_share",
        "deeptrace_drift_statistic",
        "deeptrace_drift_episode_active",
        "deeptrace_drift_correction",
        "deeptrace_label_precision_ratio",
        "process_resident_memory_bytes",
    ],
)
def test_dashboard_shows(metric):
    """What an operator asks first is on the first dashboard."""
    assert any(metric in target["expr"] for panel in PANELS for target in panel["targets"])


@pytest.mark.parametrize("quantile", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("metric", ["deeptrace_end_to_end_seconds_bucket", "deeptrace_stage_duration_seconds_bucket"])
def test_dashboard_shows_each_latency_as_median_p95_and_p99(metric, quantile):
    """A median alone hides what the slowest users wait for."""
    begin = f"histogram_quantile({quantile}, "
    expressions = [target["expr"] for panel in PANELS for target in panel["targets"]]
    assert any(one.startswith(begin) and metric in one for one in expressions)


def test_a_panel_of_windows_asks_for_one_tenant_and_one_kind():
    """Without both, a minute and a day, or all tenants and one of them, would be drawn into one line."""
    shown = ("deeptrace_drift_window_", "deeptrace_drift_statistic", "deeptrace_drift_correction{")
    for panel in PANELS:
        for target in panel["targets"]:
            if "_images_bucket" not in target["expr"] and any(name in target["expr"] for name in shown):
                assert 'window="$window"' in target["expr"]
                assert "tenant=" in target["expr"]


def test_variables_are_asked_of_metrics_that_exist():
    """A variable without values leaves every panel below it empty."""
    for variable in DASHBOARD["templating"]["list"]:
        found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
        assert found[2] in exposed()[found[1]]


def test_decoder_restarts_are_read_at_each_scrape():
    """The alert on dying decoders sees the pool's own count, from zero on."""
    metrics, restarts = WorkerMetrics(), [3, 4]
    seen = [metrics.registry.get_sample_value("deeptrace_decoder_restarts_total")]
    metrics.count_decoder_restarts(lambda: restarts.pop(0))
    seen += [metrics.registry.get_sample_value("deeptrace_decoder_restarts_total") for _ in range(2)]
    assert seen == [0, 3, 4]


def test_panels_have_their_own_place_and_number():
    """Grafana draws panels that overlap on top of each other."""
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    overlaps = [
        (one["title"], other["title"])
        for one, other in combinations(DASHBOARD["panels"], 2)
        if all(
            one["gridPos"][at] < other["gridPos"][at] + other["gridPos"][size]
            and other["gridPos"][at] < one["gridPos"][at] + one["gridPos"][size]
            for at, size in (("x", "w"), ("y", "h"))
        )
    ]
    assert overlaps == []
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in DASHBOARD["panels"])


def test_dashboard_asks_the_provisioned_datasource():
    """The datasource is found by its uid and is the Prometheus of the compose file."""
    folder = ROOT / "docker/grafana/provisioning/datasources"
    [source] = yaml.safe_load((folder / "prometheus.yml").read_text())["datasources"]
    parts = [part for panel in PANELS for part in (panel, *panel["targets"])]
    parts += [*DASHBOARD["templating"]["list"], *DASHBOARD["annotations"]["list"]]
    asked = {part["datasource"]["uid"] for part in parts}
    assert asked == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"


def test_dashboard_is_mounted_where_grafana_looks():
    """The provider's folder is the mounted one, and the home page is a file in it."""
    folder = ROOT / "docker/grafana/provisioning/dashboards"
    [provider] = yaml.safe_load((folder / "deeptrace.yml").read_text())["providers"]
    mounted = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    assert mounted["./docker/grafana/dashboards"] == provider["options"]["path"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/deeptrace.json"


def test_prometheus_finds_the_services_at_their_ports():
    """Targets are service names of the compose file, at the ports of the settings."""
    http = Settings().http
    found = {
        (name, entry["port"])
        for job in PROMETHEUS["scrape_configs"]
        for entry in job.get("dns_sd_configs", [])
        for name in entry["names"]
    }
    assert found == {("worker", http.port), ("drift-worker", http.drift_port), ("narrator", http.narrator_port)}
    assert {name for name, _ in found} <= SERVICES.keys()


def test_alerts_know_the_jobs_that_are_scraped():
    """`up{job="..."}` of a job that is not scraped is always absent."""
    asked = {job for _, text in EXPRESSIONS for job in re.findall(r'job="([^"]+)"', text)}
    assert asked == {"deeptrace-worker", "deeptrace-drift-worker"}
    assert asked <= {job["job_name"] for job in PROMETHEUS["scrape_configs"]}


def test_alert_rules_are_mounted_where_prometheus_looks():
    """The rule files that prometheus.yml names are those that the compose file mounts."""
    mounted = {volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"]}
    assert set(PROMETHEUS["rule_files"]) <= mounted


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alert_says_what_to_do(rule):
    """Each alert has a severity, a summary and a remedy."""
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["do"]
