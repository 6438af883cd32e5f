"""A real Prometheus scrapes a live scoring worker and a live drift worker, with the rules and the dashboard of this repository."""

import asyncio
import json
import signal
from pathlib import Path

import pytest
from support.prometheus import Prometheus, config
from support.world import World, native, picture

from streams.metrics_table import families, registries
from streams.stack.ports import free_ports

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).parents[3]
RULE_FILES = [ROOT / "docker/prometheus" / name for name in ("recording.yml", "alerts.yml")]
DASHBOARD = json.loads((ROOT / "docker/grafana/dashboards/deeptrace.json").read_text())
IMAGES = 60
PICTURES = 20
HELD_UP = 10
PARTITIONS = 4
NOTHING_HAPPENED = {
    "Dead letters by code",
    "Labels",
    "Moves of a followed alias",
    "Precision by source",
    "Put on a retry topic, by code",
    "Recall by source",
    "Withheld verdicts by reason",
}
"""Panels that have nothing to show here: any other that is empty asks for what is not there."""
TOPIC = 'topic="deeptrace.images.v1"'


@pytest.fixture
def watched(prometheus_binaries, tmp_path):
    """Both workers in a world of their own, and a Prometheus that scrapes them every second."""
    scoring, drift = free_ports(2)
    world = World(tmp_path, partitions=PARTITIONS)
    for n in range(PICTURES):
        world.put(f"picture-{n}", picture(n))
    targets = {"deeptrace-worker": [f"127.0.0.1:{scoring}"], "deeptrace-drift-worker": [f"127.0.0.1:{drift}"]}
    prometheus = None
    try:
        prometheus = Prometheus(prometheus_binaries, tmp_path, config(targets, RULE_FILES))
        world.worker(
            DEEPTRACE_HTTP__PORT=str(scoring),
            DEEPTRACE_PIPELINE__DEPENDENCY_WAIT_S="0.5",
            DEEPTRACE_PIPELINE__MIN_CONFIDENCE="0",  # so that each has a source
            DEEPTRACE_STORE__READ_TIMEOUT_S="0.5",
        )
        world.start(
            "-m",
            "streams.cli",
            "drift-worker",
            log="drift.log",
            DEEPTRACE_HTTP__DRIFT_PORT=str(drift),
            DEEPTRACE_DRIFT__WINDOWS='["10s"]',
            DEEPTRACE_DRIFT__ALLOWED_LATENESS_S="1",
            DEEPTRACE_DRIFT__IDLE_CLOSE_S="3",
            DEEPTRACE_DRIFT__MIN_IMAGES="1",  # a window may get its last images only
            DEEPTRACE_DRIFT__REFERENCE='{"dalle3": 0.96, "stable_diffusion": 0.01, "midjourney": 0.01, "real": 0.01, "flux": 0.01}',
        )
        prometheus.wait_ready(60)
        yield world, prometheus
    finally:
        if prometheus is not None:
            prometheus.close()
        world.close()


def said(world):
    """What the workers wrote to their logs."""
    return "\n".join(f"{path.name}:\n{path.read_text()[-3000:]}" for path in world.folder.glob("*.log"))


async def ask(prometheus, world, *expressions, timeout_s=90):
    """Wait until each expression has a value that is not zero."""
    for expression in expressions:
        try:
            await asyncio.to_thread(prometheus.wait_for, expression, timeout_s)
        except AssertionError as error:
            pytest.fail(f"{error}\n{said(world)}")


async def test_a_prometheus_sees_what_operators_ask_for(watched):
    """Throughput, latency, confidence, lag that grows and goes, windows and drift; rules that are healthy; a dashboard without a wrong query."""
    world, prometheus = watched
    await world.publish([native(f"event-{n}", f"picture-{n % PICTURES}") for n in range(IMAGES)])
    await world.wait_for_outcomes(IMAGES, timeout_s=120)
    await ask(
        prometheus,
        world,
        "sum(up) == 2",
        f'sum(deeptrace_outcomes_total{{kind="verdict"}}) == {IMAGES}',
        f"sum(deeptrace_verdicts_total) == {IMAGES}",
        f'deeptrace_end_to_end_seconds_count{{kind="verdict"}} == {IMAGES}',
        'histogram_quantile(0.99, deeptrace_end_to_end_seconds_bucket{kind="verdict"})',
        "sum(deeptrace_confidence_count)",
        'deeptrace_stage_duration_seconds_count{stage="infer"}',
        "count(deeptrace_build_info) == 2",
        "deeptrace_model_info",
        f"count(deeptrace_consumer_lag_messages{{{TOPIC}}}) == {PARTITIONS}",
        f"sum(deeptrace_consumer_lag_messages{{{TOPIC}}}) + 1 == 1",
        'count(deeptrace_consumer_lag_messages{topic="deeptrace.verdicts.v1"}) == 4',
        f'sum(deeptrace_drift_observations_total{{fate="counted"}}) == {IMAGES}',
        'sum(deeptrace_drift_windows_total{window="10s"})',
        'abs(sum(deeptrace_drift_window_share{tenant="*",window="10s",kind="raw"}) - 1) < bool 0.001',
        'deeptrace_drift_window_latest_images{tenant="*",window="10s"}',
        'count(deeptrace_drift_correction{tenant="*",window="10s"})',
        'sum(deeptrace_drift_alerts_total{state="raised"})',
        'ALERTS{alertname="DeepTraceDrift",alertstate="firing"}',  # the first alert of the worker's life
        "sum(deeptrace_drift_episodes_active)",
        "deeptrace:topic_lag_messages:sum + 1",
    )
    world.signal_store(signal.SIGSTOP)
    try:
        await world.publish([native(f"held-up-{n}", "picture-0") for n in range(HELD_UP)])
        await ask(
            prometheus,
            world,
            f"sum(deeptrace_consumer_lag_messages{{{TOPIC}}}) == {HELD_UP}",
            f"max(deeptrace_consumer_lag_seconds{{{TOPIC}}}) > 3",
            'sum(deeptrace_retries_total{code="store_unavailable"})',
        )
    finally:
        world.signal_store(signal.SIGCONT)
    await ask(prometheus, world, f"sum(deeptrace_consumer_lag_messages{{{TOPIC}}}) + 1 == 1")
    await asyncio.to_thread(rules_are_healthy, prometheus)
    await asyncio.to_thread(dashboard_is_understood, prometheus)
    await asyncio.to_thread(what_is_exposed_is_documented, prometheus)


def rules_are_healthy(prometheus):
    """Each was evaluated, and none failed."""
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert len(rules) > 25
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}


def dashboard_is_understood(prometheus):
    """Every panel's query is answered, and with nothing only where nothing has happened."""
    empty = set()
    for panel in DASHBOARD["panels"]:
        if panel["type"] == "row":
            continue
        found = []
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", "30s").replace("$tenant", "*")
            found += prometheus.get("query", query=expression.replace("$window", "10s"))["result"]
        if not found:
            empty.add(panel["title"])
    assert empty == NOTHING_HAPPENED


def what_is_exposed_is_documented(prometheus):
    """What no table knows is in no dashboard either."""
    # Prometheus asks for OpenMetrics, where the family of a counter goes without `_total`.
    known = {one.name.removesuffix("_total") for registry in registries().values() for one in families(registry)}
    exposed = {name for name in prometheus.get("metadata") if name.startswith("deeptrace_")}
    assert len(exposed) > 40
    assert exposed - known == set()
