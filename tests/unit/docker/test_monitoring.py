"""The dashboard, the alert rules and the scrape targets against the metrics, labels, codes and ports of the code."""

import json
import re
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from schemas.errors import leaves
from streams.drift.metrics import DriftMetrics
from streams.metrics import STAGES, WorkerMetrics
from streams.narrator.metrics import NarratorMetrics
from streams.settings import Settings

ROOT = Path(__file__).parents[3]
DASHBOARD = json.loads((ROOT / "docker/grafana/dashboards/deeptrace.json").read_text())
RULES = [
    rule
    for group in yaml.safe_load((ROOT / "docker/prometheus/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
PROMETHEUS = yaml.safe_load((ROOT / "docker/prometheus/prometheus.yml").read_text())
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]

ADDED_BY_PROMETHEUS = {"job", "instance"}
WORDS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "group_right"}
GROUPING = r"\b(?:by|without|on|ignoring|group_left|group_right) *\(([^)]*)\)"


def exposed():
    """Every series that the workers can expose, with its labels."""
    series = {"up": set(ADDED_BY_PROMETHEUS)}
    for metrics in (WorkerMetrics(), DriftMetrics(), NarratorMetrics()):
        for metric in vars(metrics).values():
            if isinstance(metric, MetricWrapperBase):
                family, labels = metric.describe()[0], set(metric._labelnames)
                endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
                series |= {
                    family.name + ending: labels | ({"le"} if ending == "_bucket" else set()) for ending in endings
                }
        for family in metrics.registry.collect():  # what is not kept by a metric of ours but read at the scrape
            for sample in family.samples:
                series.setdefault(sample.name, set(sample.labels))
    return series


def names(expression):
    """The metrics and the labels that a PromQL expression names."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    labels = set(re.findall(r'(\w+) *(?:=~|!~|!=|=) *""', bare))
    labels |= {label.strip() for listed in re.findall(GROUPING, bare) for label in listed.split(",") if label.strip()}
    bare = re.sub(rf"{GROUPING}|\{{[^}}]*\}}|\[[^]]*\]", " ", bare)
    return set(re.findall(r"\b[A-Za-z_]\w*\b(?! *\()", bare)) - WORDS, labels


def faults(expression):
    """What an expression names and the code does not have."""
    series = exposed()
    metrics, labels = names(expression)
    unknown = sorted(metrics - series.keys())
    known_labels = ADDED_BY_PROMETHEUS.union(*(series.get(metric, set()) for metric in metrics))
    codes = {error.code for error in leaves()}
    values = [
        (label, value)
        for label, found in re.findall(r'(code|stage)=~?"([^"]*)"', expression)
        for value in found.split("|")
    ]
    return (
        unknown
        + sorted(labels - known_labels)
        + [value for label, value in values if value not in (codes if label == "code" else STAGES)]
    )


EXPRESSIONS = [
    *((f"alert {rule['alert']}", rule["expr"]) for rule in RULES),
    *(
        (f"panel {panel['title']} {target['refId']}", target["expr"])
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    ),
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
    ],
)
def test_wrong_expression_is_refused(expression, fault):
    """The check above sees metrics, labels, codes and stages that are wrong."""
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
    ],
)
def test_dashboard_shows(metric):
    """What an operator asks first is on the first dashboard."""
    assert any(metric in target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])


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
    asked = {part["datasource"]["uid"] for panel in DASHBOARD["panels"] for part in (panel, *panel["targets"])}
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
    """The rule file that prometheus.yml names is one that the compose file mounts."""
    mounted = {volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"]}
    assert set(PROMETHEUS["rule_files"]) <= mounted


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alert_says_what_to_do(rule):
    """Each alert has a severity, a summary and a remedy."""
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["do"]
