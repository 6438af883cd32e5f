"""The runbook against the alerts, the metrics, the settings and the commands that it names; and docs/metrics.md against the code."""

import re
from pathlib import Path

import pytest
import typer
import yaml

from schemas.errors import leaves
from streams.cli.main import app
from streams.metrics_table import families, main, registries
from streams.settings_sources import known_settings

ROOT = Path(__file__).parents[3]
RUNBOOK = (ROOT / "docs/runbook.md").read_text()
RULES = [
    rule
    for name in ("alerts.yml", "recording.yml")
    for group in yaml.safe_load((ROOT / "docker/prometheus" / name).read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
WORKERS = {
    name: series
    for registry in registries().values()
    for one in families(registry)
    for name, series in one.series.items()
}
COMMANDS = sorted(
    set(re.findall(r"`(deeptrace [a-z][^`]*)`", "\n".join((RUNBOOK, *(rule["annotations"]["do"] for rule in ALERTS)))))
)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_the_link_of_an_alert_leads_to_its_section(alert):
    """Who is woken up follows one link."""
    path, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert (ROOT / path).read_text() == RUNBOOK
    assert anchor == alert["alert"].lower()  # what a heading of one word becomes
    assert alert["alert"] in SECTIONS


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_belongs_to_an_alert_and_says_what_to_do(name):
    """A rule that was dropped leaves no section behind, and each says the same three things."""
    assert name in {alert["alert"] for alert in ALERTS}
    assert re.findall(r"^\*\*(\w+)\.\*\*", SECTIONS[name], re.MULTILINE) == ["Means", "Look", "Do"]


def test_every_metric_that_the_runbook_names_exists():
    """A query that finds nothing at three in the morning is worse than none."""
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    named = set(re.findall(r"\bdeeptrace(?:_\w+|:[\w:]+)", RUNBOOK)) | set(re.findall(r"\bprocess_\w+", RUNBOOK))
    assert len(named) > 30
    assert named - WORKERS.keys() - recorded == set()


def test_every_label_that_the_runbook_groups_by_exists():
    """`by (reason)` of a metric without it is one line of everything."""
    grouped = re.findall(r"by \(([\w, ]+)\) \((?:\w+\()?(deeptrace_\w+)", RUNBOOK)
    assert grouped
    always = {"instance", "job", "le"}
    assert [
        (metric, label)
        for labels, metric in grouped
        for label in labels.split(", ")
        if label not in WORKERS[metric] | always
    ] == []


def test_every_setting_that_the_runbook_names_exists():
    """A misspelt one would be refused at start, at the worst time."""
    known = {setting.env_name for setting in known_settings()}
    named = set(re.findall(r"\bDEEPTRACE_[A-Z_]+\b", RUNBOOK))
    assert named
    assert {name for name in named if name not in known and name.removesuffix("_FILE") not in known} == set()


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_runbook_and_the_alerts_exists(line):
    """With its options."""
    command = typer.main.get_command(app)
    words = line.split()[1:]
    while words and hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_every_error_code_that_the_runbook_names_exists():
    """`image_*` stands for those that begin so."""
    codes = {error.code for error in leaves()}
    named = set(re.findall(r"`((?:bucket|object|store|broker|decoder|decode|image|message|not)_[a-z_]+\*?)`", RUNBOOK))
    assert named
    unknown = {
        name
        for name in named
        if not any(code == name or (name[-1] == "*" and code.startswith(name[:-1])) for code in codes)
    }
    assert unknown == set()


def test_links_within_the_runbook_lead_somewhere():
    """To a section, or to a file beside it."""
    links = re.findall(r"\]\(([^)]+)\)", RUNBOOK)
    assert [
        link for link in links if link.startswith("#") and link[1:] not in {name.lower() for name in SECTIONS}
    ] == []
    assert [link for link in links if link[0] != "#" and not (ROOT / "docs" / link).exists()] == []


def test_every_metric_of_the_code_is_documented():
    """`make generate` writes docs/metrics.md; a metric that is not in it fails here."""
    assert main(["--check", str(ROOT / "docs/metrics.md")]) == 0
    documented = (ROOT / "docs/metrics.md").read_text()
    assert [
        one.name
        for registry in registries().values()
        for one in families(registry)
        if f"`{one.name}`" not in documented
    ] == []


def test_a_table_that_is_out_of_date_is_seen(tmp_path, capsys):
    """The check says which file, and what to run."""
    file = tmp_path / "metrics.md"
    file.write_text("before\n<!-- metrics: generated by `make generate` -->\nold\n<!-- /metrics -->\nafter\n")
    assert main(["--check", str(file)]) == 3
    assert "make generate" in capsys.readouterr().err
    assert main([str(file)]) == 0
    assert main(["--check", str(file)]) == 0
    text = file.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")


def test_every_metric_says_what_it_is():
    """A unit in the name and a sentence: what is seen on a graph is not enough."""
    ours = [
        one for registry in registries().values() for one in families(registry) if one.name.startswith("deeptrace_")
    ]
    assert [one.name for one in ours if not one.meaning.endswith(".")] == []
    assert [one.name for one in ours if (one.kind == "counter") != one.name.endswith("_total")] == []
