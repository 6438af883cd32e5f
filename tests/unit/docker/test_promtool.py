"""The rules and the configuration as Prometheus itself reads them: `promtool` checks them and runs their unit tests."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[3] / "docker/prometheus"
TESTS = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
ALERTS = [
    rule["alert"] for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]


@pytest.fixture
def promtool(prometheus_binaries):
    """Run promtool; returns exit code and output."""

    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [str(prometheus_binaries.promtool), *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.parametrize("name", ["alerts.yml", "recording.yml"])
def test_rules_are_valid(promtool, name):
    """Expressions parse, templates are templates, no rule stands twice."""
    code, said = promtool("check", "rules", str(FOLDER / name))
    assert code == 0, said


def test_the_configuration_is_valid(promtool, tmp_path):
    """With the rule files where compose mounts them."""
    text = (FOLDER / "prometheus.yml").read_text()
    for name in ("alerts.yml", "recording.yml"):
        assert f"/etc/prometheus/{name}" in text
        shutil.copy(FOLDER / name, tmp_path)
    file = tmp_path / "prometheus.yml"
    file.write_text(text.replace("/etc/prometheus/", f"{tmp_path}/"))
    code, said = promtool("check", "config", str(file))
    assert code == 0, said
    assert "2 rule files found" in said


def test_alerts_fire_when_they_should_and_not_when_they_should_not(promtool):
    """What each of them sees, and what it must not take for it, is written down in alerts_test.yml."""
    code, said = promtool("test", "rules", str(FOLDER / "alerts_test.yml"))
    assert code == 0, said


def expected(alert):
    """How often the alert is expected to fire at the moments that are looked at, 0 for not."""
    looks = [
        look for test in TESTS for look in test.get("promql_expr_test", ()) if f'alertname="{alert}"' in look["expr"]
    ]
    return [look["exp_samples"][0]["value"] if look["exp_samples"] else 0 for look in looks]


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_seen_to_fire_and_not_to_fire(alert):
    """A new alert without a test fails here."""
    found = expected(alert)
    assert any(found)
    assert not all(found)


def test_a_rule_that_would_never_fire_is_noticed(promtool, tmp_path):
    """The unit tests are about these rules: with a threshold that nothing reaches, they fail."""
    for file in FOLDER.iterdir():
        shutil.copy(file, tmp_path)
    rules = tmp_path / "alerts.yml"
    rules.write_text(re.sub(r"(topic_lag_seconds:max\S*) > 300", r"\1 > 1e9", rules.read_text()))
    code, said = promtool("test", "rules", str(tmp_path / "alerts_test.yml"))
    assert code != 0
    assert "DeepTraceBehind" in said
