import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from support.judged import CLASSES, write_checkpoint, write_judged
from typer.testing import CliRunner

from model.abstention import Abstention
from model.checkpoint import load
from schemas.calibration import CalibrationProfile
from schemas.errors import UsageError
from streams.cli.main import app
from training.calibrate import calibrate_checkpoint
from training.evaluate import evaluate_checkpoint
from training.manifest import Row, write_manifest
from training.params import CalibrateParams, EvaluateParams, Params
from training.report.html import render, write_report
from training.report.schema import Report, read_report

pytestmark = pytest.mark.timeout(900)  # the first test pays for what its fixture makes

PARAMS = Params(
    evaluate=EvaluateParams(
        bootstrap=30, jpeg_qualities=(90, 50), webp_qualities=(80,), resize_factors=(0.5,), examples=4
    )
)
RATES = CalibrateParams(false_positive_rate=0.1, false_negative_rate=0.1, coverage=0.8)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A manifest, a calibrated checkpoint of simulated images, and its report card on one corrupt and one true image more."""
    folder = tmp_path_factory.mktemp("judged")
    manifest = write_judged(folder)
    (folder / "test/real/bad.png").write_bytes(b"\x89PNG\r\n\x1a\n but cut short, so it cannot be judged")
    manifest = replace(manifest, rows=(*manifest.rows, Row("test/real/bad.png", "real", group="bad", split="test")))
    write_manifest(folder / "manifest.csv", manifest)
    (folder / "true.csv").write_text(
        "file,class,role,repo\ntest/real/0.png,real,pixel,a/b\ntest/flux/0.png,flux,pixel,c/d\ntest/flux/1.png,flux,trap,c/d\n"
    )
    write_checkpoint(folder / "last.safetensors", kind="demo_simulated")
    calibrate_checkpoint(folder / "last.safetensors", manifest, folder / "c.safetensors", map, params=RATES)
    params = PARAMS.model_copy(
        update={"evaluate": PARAMS.evaluate.model_copy(update={"true_images": folder / "true.csv"})}
    )
    counts = []
    done = evaluate_checkpoint(
        folder / "c.safetensors", manifest, map, params=params, notes=["A remark of the recipe."],
        advance=lambda count, total: counts.append((count, total)),
    )  # fmt: skip
    return folder, manifest, done, counts


@pytest.fixture(scope="module")
def report(world):
    return world[2].report


def test_every_split_is_judged_under_its_conditions(report):
    """All of them for the test split, two for the others; the unseen generator has figures of its own."""
    assert list(report.sets) == ["test", "later"]
    assert list(report.sets["test"]) == [
        "clean", "laundered", "jpeg_q90", "jpeg_q50", "webp_q80", "resize_x0.5", "screenshot", "double_jpeg",
    ]  # fmt: skip
    assert list(report.sets["later"]) == list(report.open_set) == ["clean", "laundered"]
    assert {figures.n for figures in report.sets["test"].values()} == {24}


def test_the_profile_counts_the_test_images_by_the_rules_of_the_checkpoint(world, report):
    """Nothing was fitted on them; the prior and the id are those of the calibration. A drift reference can be made from it."""
    carried = load(world[0] / "c.safetensors").meta.profile
    assert (report.profile.prior, report.profile.calibration_id) == (carried.prior, carried.calibration_id)
    assert {name: sum(row) for name, row in report.profile.cells.items()} == dict.fromkeys(CLASSES, 8)
    kept = json.loads(report.to_json())["profile"]
    assert CalibrationProfile.model_validate(kept) == report.profile
    assert read_report_without(report, "profile").profile is None


def read_report_without(report, name):
    """The card of an earlier release."""
    facts = json.loads(report.to_json())
    del facts[name]
    return Report.model_validate(facts)


def test_every_figure_has_its_n_and_its_intervals(report):
    """Shares have both kinds; the confusion adds up; units are the groups."""
    figures = report.sets["test"]["laundered"]
    assert (figures.n, figures.units, figures.refused) == (24, 8, 1)
    assert sum(map(sum, figures.confusion)) == 24
    assert figures.by_class == dict.fromkeys(CLASSES, 8)
    low, high = figures.accuracy.wilson_95
    assert low < figures.accuracy.value < high
    assert figures.accuracy.bootstrap_95[0] <= figures.accuracy.value <= figures.accuracy.bootstrap_95[1]
    assert sum(part.n for part in figures.calibration.reliability) == 24
    assert figures.roc[0] == (0, 0)
    assert figures.roc[-1] == (1, 1)
    assert figures.which.curve[-1][0] == 1


def test_a_rate_that_few_photographs_cannot_resolve_is_marked(report):
    """Eight photographs: neither 1 % nor 0.1 %."""
    assert [part.resolved for part in report.sets["test"]["clean"].tpr_at_fpr] == [False, False]
    assert any("cannot be resolved" in remark for remark in report.how_to_read)


def test_the_rules_of_the_checkpoint_are_held_against_every_condition(report):
    """What was asked stands beside what was found, and verdicts add up to all images."""
    for name, figures in report.sets["test"].items():
        decisions = figures.decisions
        assert decisions.false_positive_rate.asked == 0.1
        assert (decisions.false_positive_rate.kept_95 is None) == (name != "laundered")
        for side, n in ((decisions.photographs, 8), (decisions.generated, 16)):
            assert side.n == n
            assert side.ai_generated.value + side.real.value + side.inconclusive.value == pytest.approx(1, abs=1e-3)
        assert set(decisions.precision_at_prevalence) == {"0.01", "0.05", "0.2"}
        assert figures.label_sets.missed.asked == 0.2


def test_branches_are_judged_alone_and_left_out(report):
    """Leaving out needs the features, which are kept for clean and laundered images."""
    assert set(report.sets["test"]["clean"].alone) == set(report.sets["test"]["clean"].without) == {"cnn", "vit", "fft"}
    assert report.sets["test"]["jpeg_q50"].without == {}


def test_the_unseen_generator_is_held_against_the_known(report):
    """Six strangers against the test images, by three scores."""
    figures = report.open_set["laundered"]
    assert (figures.unknown, figures.known, figures.by_generator) == (6, 24, {"other_ai": 6})
    assert list(figures.auroc) == list(figures.oscr) == ["novelty", "max_probability", "energy"]
    assert figures.shares.n == 6


def test_each_generator_is_left_out_of_a_probe(report):
    """Photographs never are: a detector without them has nothing to clear."""
    assert list(report.left_out) == ["dalle3", "flux"]
    assert report.left_out["flux"]["clean"].unknown == 8
    assert any("probe" in remark for remark in report.how_to_read)


def test_deliveries_are_compared_with_the_clean_file(report):
    """Every condition but clean; what turned has changed."""
    assert list(report.delivery) == list(report.sets["test"])[1:]
    assert all(one.n == 24 and one.turned.value <= one.changed.value for one in report.delivery.values())


def test_true_images_are_figures_only_and_say_nothing(report, world):
    """Two of role pixel; no picture of them is shown."""
    assert (report.true_images.n, report.true_images.by_class) == (2, {"real": 1, "dalle3": 0, "flux": 1})
    assert "Chance is expected and says nothing" in report.true_images.reading
    assert report.true_images.chance["balanced_accuracy"] == 0.5
    assert len(world[2].shown) == len(report.examples)


def test_a_simulated_checkpoint_claims_nothing(report):
    """Card and remarks say so; the recipe's own remarks come first."""
    assert (report.checkpoint.kind, report.checkpoint.claims) == ("demo_simulated", "none")
    assert report.how_to_read[0] == "A remark of the recipe."
    assert "none says anything about true generators" in report.how_to_read[1]


def test_images_that_cannot_be_judged_are_listed(report):
    """With the code of why; they are no error."""
    assert set(report.data.refused) == {"test/real/bad.png"}


def test_the_headline_is_flat_numbers_for_a_registry(report):
    """The names that a release carries."""
    assert {"accuracy_laundered", "macro_f1_laundered", "ece_laundered", "open_set_auroc_novelty_laundered"} <= set(
        report.headline
    )
    assert all(isinstance(value, float) for value in report.headline.values())


def test_progress_ends_where_it_was_going(world):
    """Every image once for each condition, and the total is known from the start."""
    counts = world[3]
    assert counts[-1][0] == counts[-1][1] == counts[0][1] == world[2].report.made.images


def test_a_report_survives_being_written(world, tmp_path):
    """What is read is what was measured."""
    json_file, _ = write_report(world[2].report, world[2].shown, tmp_path)
    assert read_report(json_file) == world[2].report
    assert json.loads(json_file.read_text())["schema"] == "deeptrace.report/1"


def test_equal_inputs_give_equal_figures(world):
    """All but when and how fast."""
    folder, manifest, done, _ = world
    params = PARAMS.model_copy(
        update={"evaluate": PARAMS.evaluate.model_copy(update={"true_images": folder / "true.csv"})}
    )
    again = evaluate_checkpoint(
        folder / "c.safetensors", manifest, map, params=params, notes=["A remark of the recipe."]
    )
    apart = {"made"}
    assert again.report.model_dump(exclude=apart) == done.report.model_dump(exclude=apart)
    assert again.shown == done.shown


class Page(HTMLParser):
    """Collects tags, and notes what is opened and never closed."""

    VOID = frozenset("meta img br path use rect circle line polyline".split())

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.ids, self.links = [], [], [], []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        if "id" in found:
            self.ids.append(found["id"])
        self.links += [value for name, value in found.items() if name in {"href", "src"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_is_one_file_that_fetches_nothing(world):
    """No script, no address but data and the page's own places, every tag closed."""
    text = render(world[2].report, world[2].shown)
    page = Page()
    page.feed(text)
    assert page.open == []
    assert "script" not in page.tags
    assert all(link.startswith(("#", "data:image/webp;base64,")) for link in page.links)
    assert not re.search(r"url\((?!#)", text)
    assert len(text) < 1_500_000


def test_every_picture_has_a_name_and_every_table_a_caption_or_header(world):
    """For those who do not see the picture."""
    text = render(world[2].report, world[2].shown)
    assert text.count("<svg") == len(re.findall('<svg class="[a-z]+" role="img" aria-label="[^"]+"', text)) >= 7
    assert all(re.search("<caption|<th ", table) for table in text.split("<table")[1:])


def test_the_page_goes_with_the_reader_s_colours(world):
    """Pictures use the page's variables, so none of the placeholders is left."""
    text = render(world[2].report, world[2].shown)
    assert "prefers-color-scheme: dark" in text
    assert "var(--s1)" in text
    assert "#0102" not in text


def test_the_page_is_the_same_for_the_same_report(world):
    """No date, no random id."""
    assert render(world[2].report, world[2].shown) == render(world[2].report, world[2].shown)


def test_names_from_outside_are_text(world):
    """A file called like a tag is shown, not obeyed."""
    name = "<script>alert(1)</script>.png"
    data = world[2].report.data.model_copy(update={"refused": {name: "not_an_image"}})
    text = render(world[2].report.model_copy(update={"data": data}), [])
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_an_uncalibrated_checkpoint_is_judged_and_says_so(world):
    """No rules, no novelty, and a remark; two of the three scores remain."""
    folder, manifest, _, _ = world
    quick = Params(
        evaluate=EvaluateParams(
            bootstrap=10, jpeg_qualities=(), webp_qualities=(), resize_factors=(), examples=0, leave_out=False
        )
    )
    done = evaluate_checkpoint(folder / "last.safetensors", manifest, map, params=quick)
    assert done.report.sets["test"]["clean"].decisions is None
    assert list(done.report.open_set["clean"].auroc) == ["max_probability", "energy"]
    assert "Not calibrated" in render(done.report, [])
    assert any("not calibrated" in remark for remark in done.report.how_to_read)


def test_a_manifest_without_test_images_is_refused(world):
    """There is nothing to evaluate on."""
    folder, manifest, _, _ = world
    nothing = replace(manifest, rows=tuple(row for row in manifest.rows if row.split != "test"))
    with pytest.raises(UsageError, match="nothing to evaluate on"):
        evaluate_checkpoint(folder / "c.safetensors", nothing, map, params=PARAMS)


def test_a_class_that_the_checkpoint_does_not_know_is_named(world):
    """Only the split of unseen generators may have one."""
    folder, manifest, _, _ = world
    write_checkpoint(folder / "two.safetensors", ("real", "dalle3"))
    with pytest.raises(UsageError, match="split test has classes that the checkpoint was not taught: flux"):
        evaluate_checkpoint(folder / "two.safetensors", manifest, map, params=PARAMS)


def test_the_rules_are_those_of_the_checkpoint(report):
    """The card repeats them, readable as the rules they are."""
    assert Abstention.model_validate(report.checkpoint.abstention).fitted_on == "laundered"


def test_the_command_writes_both_files(world, tmp_path):
    """And prints the headline."""
    folder = world[0]
    params = tmp_path / "params.yaml"
    params.write_text(
        "evaluate: {bootstrap: 5, jpeg_qualities: [], webp_qualities: [], resize_factors: [], examples: 0, leave_out: false}\n"
        "train: {processes: 1}\n"
    )
    options = ["--checkpoint", f"{folder}/c.safetensors", "--manifest", f"{folder}/manifest.csv"]
    result = CliRunner().invoke(
        app, ["evaluate", *options, "--params", str(params), "--out", str(tmp_path / "report"), "--json"]
    )
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert isinstance(read_report(tmp_path / "report/report.json"), Report)
    assert (tmp_path / "report/report.html").read_text().startswith("<!doctype html>")
    assert (
        printed["headline"]["accuracy_clean"] == read_report(tmp_path / "report/report.json").headline["accuracy_clean"]
    )
