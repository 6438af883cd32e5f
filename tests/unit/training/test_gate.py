import json

import pytest
from typer.testing import CliRunner

from schemas.errors import UsageError
from streams.cli.main import app
from training.gate import gate_report
from training.params import GateParams
from training.report.schema import Figure, Report, read_report


def figure(value, low=None, high=None):
    return {"value": value, "bootstrap_95": None if low is None else [low, high]}


def write_report(folder, macro_f1=0.85, ece=0.05, auroc=0.9):
    """The least that a report of one set says."""
    nothing = figure(None)
    selective = {"aurc": nothing, "coverage_at_2_percent_risk": nothing, "curve": []}
    laundered = {
        "n": 100, "units": 20, "refused": 0, "by_class": {"real": 50, "flux": 50},
        "accuracy": figure(0.86, 0.8, 0.9), "balanced_accuracy": nothing, "macro_f1": figure(macro_f1, round(macro_f1 - 0.05, 4), macro_f1 + 0.05),
        "per_class": {}, "confusion": [], "auroc": figure(auroc), "roc": [],
        "tpr_at_fpr": [{"fpr": 0.01, "tpr": figure(0.6, 0.4, 0.7), "photographs": 50, "resolved": False}],
        "generator_accuracy": nothing, "generator_macro_f1": nothing,
        "calibration": {"ece": figure(ece, ece, ece + 0.04), "classwise_ece": nothing, "brier": nothing, "nll": nothing, "before": {}, "reliability": []},
        "which": selective, "whether": selective, "alone": {},
    }  # fmt: skip
    checkpoint = {
        "file": "c.safetensors", "sha256": "0" * 64, "bytes": 1, "version": "1", "kind": "trained", "claims": "none", "training_data": "x",
        "note": "", "classes": ["real", "flux"], "preprocess_id": "p", "calibration_id": "c", "temperatures": {}, "abstention": None,
        "backbones": {}, "parameters": 1,
    }  # fmt: skip
    report = {
        "schema": "deeptrace.report/1", "checkpoint": checkpoint, "headline": {}, "how_to_read": [],
        "data": {"manifest_sha256": "0", "splits": {}, "sources": {}, "licences": {}, "refused": {}, "audit": None},
        "sets": {"test": {"laundered": laundered}}, "open_set": {}, "left_out": {}, "delivery": {}, "examples": [], "true_images": None,
        "made": {"date": "2026-11-25", "seconds": 1, "images": 1, "images_per_second": 1, "hardware": {}, "params": {}},
        "of_a_later_release": 1,
    }  # fmt: skip
    path = folder / "report.json"
    path.write_text(json.dumps(report))
    return path


def run(*arguments):
    return CliRunner().invoke(app, ["gate", *map(str, arguments)])


def test_a_report_that_shows_what_is_asked_passes(tmp_path):
    """Exit 0, and the table has asked, found and interval."""
    result = run(write_report(tmp_path), "--min-macro-f1", 0.82, "--max-ece", 0.08)
    assert result.exit_code == 0, result.output
    assert "at least 0.82" in result.stdout
    assert "0.8500" in result.stdout
    assert "0.800 to 0.900" in result.stdout
    assert result.stdout.count("met") == 2


@pytest.mark.parametrize(
    ("option", "value", "name"),
    [("--min-macro-f1", 0.86, "macro_f1"), ("--min-accuracy", 0.87, "accuracy"), ("--min-auroc", 0.91, "auroc"),
     ("--min-tpr-at-fpr-1", 0.61, "tpr_at_fpr_1"), ("--max-ece", 0.04, "ece")],
)  # fmt: skip
def test_each_figure_can_shut_the_gate(tmp_path, option, value, name):
    """Exit 3, and the figure is named."""
    result = run(write_report(tmp_path), option, value)
    assert result.exit_code == 3
    assert f"laundered: {name} " in result.output


def test_a_figure_on_the_limit_is_met(tmp_path):
    """At least and at most include it."""
    assert run(write_report(tmp_path), "--min-macro-f1", 0.85, "--max-ece", 0.05).exit_code == 0


@pytest.mark.parametrize(("option", "value", "code"), [("--min-macro-f1", 0.81, 3), ("--min-macro-f1", 0.80, 0), ("--max-ece", 0.08, 3), ("--max-ece", 0.09, 0)])  # fmt: skip
def test_the_pessimistic_end_of_the_interval_can_be_asked_for(tmp_path, option, value, code):
    """The low end of what should be high, the high end of what should be low."""
    assert run(write_report(tmp_path), option, value, "--by", "lower-bound").exit_code == code


def test_an_undefined_figure_is_not_met(tmp_path):
    """An AUROC without photographs is no AUROC; nor is a bound without an interval."""
    report = read_report(write_report(tmp_path, auroc=None))
    (held,) = gate_report(report, GateParams(min_auroc=0.0), split="test", condition="laundered")
    assert not held.met
    report = read_report(write_report(tmp_path))
    (held,) = gate_report(report, GateParams(min_auroc=0.0), split="test", condition="laundered", by="lower-bound")
    assert not held.met


def test_limits_come_from_the_parameters_and_options_override_them(tmp_path):
    """A repository writes its limits down once."""
    params = tmp_path / "params.yaml"
    params.write_text("gate: {min_macro_f1: 0.9}\n")
    report = write_report(tmp_path)
    assert run(report, "--params", params).exit_code == 3
    assert run(report, "--params", params, "--min-macro-f1", 0.8).exit_code == 0


def test_for_scripts_everything_is_json(tmp_path):
    """Also where it falls short."""
    result = run(write_report(tmp_path), "--min-macro-f1", 0.9, "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout) == [
        {"figure": "macro_f1", "asked": 0.9, "found": 0.85, "interval": [0.8, 0.9], "met": False}
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "deeptrace.report/2"}', "not json"])
def test_a_file_that_is_no_report_card_is_a_wrong_call(tmp_path, text):
    """Exit 2, with what is wrong with it."""
    (tmp_path / "report.json").write_text(text)
    result = run(tmp_path / "report.json", "--min-macro-f1", 0.8)
    assert result.exit_code == 2
    assert "is not a report card" in result.output


def test_a_file_that_is_not_there_is_a_wrong_call(tmp_path):
    """Exit 2."""
    assert run(tmp_path / "report.json", "--min-macro-f1", 0.8).exit_code == 2


def test_nothing_asked_is_a_wrong_call(tmp_path):
    """A gate that asks nothing would always be open."""
    result = run(write_report(tmp_path))
    assert result.exit_code == 2
    assert "nothing is asked" in result.output


@pytest.mark.parametrize("option", [("--split", "later"), ("--condition", "clean")])
def test_a_set_that_the_report_lacks_is_a_wrong_call(tmp_path, option):
    """It says which there are."""
    result = run(write_report(tmp_path), "--min-macro-f1", 0.8, *option)
    assert result.exit_code == 2
    assert "it has " in result.output


def test_a_figure_of_the_schema_may_be_undefined():
    """Null is a value, absence of intervals too."""
    assert Figure.model_validate({"value": None}).bootstrap_95 is None


def test_unknown_fields_of_a_later_release_are_ignored(tmp_path):
    """Fields are only added within a version."""
    assert isinstance(read_report(write_report(tmp_path)), Report)


def test_a_split_of_another_name_is_refused_by_the_function_too(tmp_path):
    """The command adds nothing to it."""
    with pytest.raises(UsageError, match="no split later"):
        gate_report(
            read_report(write_report(tmp_path)), GateParams(min_auroc=0.5), split="later", condition="laundered"
        )
