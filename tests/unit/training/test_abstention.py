import pytest
import torch

from model.config import Backbone
from training.calibrate import calibrate_checkpoint
from training.corpus.build import on_cores
from training.corpus.writing import CorpusOrder, write_corpus
from training.evaluate import evaluate_checkpoint
from training.manifest import Manifest
from training.params import CalibrateParams, EvaluateParams, ModelParams, Params, Phase, TrackingParams, TrainParams
from training.train import Surroundings, train

pytestmark = pytest.mark.timeout(900)  # the first test pays for what its fixture makes

PARAMS = Params(
    model=ModelParams(
        cnn=Backbone(name="test_efficientnet"),
        vit=Backbone(name="test_vit", kwargs={"img_size": 224}),
        hidden=(64, 32),
        preprocess_id="crops1-224-native-v1",
    ),
    train=TrainParams(
        phases=(Phase(name="all", layers="all", epochs=4, learning_rate=2e-3),),
        schedule="one_cycle",
        ema_decay=0,
        validation_share=0,
        device="cpu",
    ),
    calibrate=CalibrateParams(false_positive_rate=0.1, false_negative_rate=0.1, coverage=0.85, false_rejection_rate=0.1),
    evaluate=EvaluateParams(
        bootstrap=200, jpeg_qualities=(), webp_qualities=(), resize_factors=(), examples=0, leave_out=False
    ),
    tracking=TrackingParams(uri=None),
)  # fmt: skip
SCENES = {"train": 40, "calibration": 30, "test": 30, "unseen_generator": 30}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A small detector of four generators and photographs, held against a fifth that it never saw; the pipeline as it is run for real."""
    folder = tmp_path_factory.mktemp("simulated")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with on_cores(2) as ordered_map:
            rows = write_corpus(CorpusOrder(7, SCENES), folder, ordered_map)
            manifest = Manifest(folder, tuple(row for part in rows for row in part))
            trained = train(manifest, PARAMS, folder / "out", Surroundings(ordered_map, lambda _: None))
            out = folder / "calibrated.safetensors"
            calibrate_checkpoint(trained.path, manifest, out, ordered_map, params=PARAMS.calibrate)
            yield evaluate_checkpoint(out, manifest, ordered_map, params=PARAMS).report
    finally:
        torch.set_num_threads(threads)


@pytest.mark.slow
def test_photographs_are_accused_as_often_as_was_allowed(report):
    """In the range that a kept promise has on thirty scenes."""
    assert report.sets["test"]["laundered"].decisions.false_positive_rate.kept


@pytest.mark.slow
def test_label_sets_hold_the_true_class_as_often_as_promised(report):
    """On images laundered like those of the calibration."""
    sets = report.sets["test"]["laundered"].label_sets
    assert sets.missed.kept
    assert sets.mean_size.value > 1


@pytest.mark.slow
def test_the_known_are_rejected_as_often_as_was_allowed(report):
    """Images of known classes over the threshold of novelty."""
    assert report.sets["test"]["laundered"].decisions.false_rejection_rate.kept


@pytest.mark.slow
def test_abstaining_pays(report):
    """Answering the surest half makes fewer errors than answering all."""
    figures = report.sets["test"]["clean"]
    half = max(risk for coverage, risk in figures.which.curve if coverage <= 0.5 and coverage > 0.4)
    assert half < 1 - figures.accuracy.value


@pytest.mark.slow
def test_a_generator_that_was_never_seen_is_measured_by_every_score(report):
    """Thirty images of it, beside maximum probability and energy on the very same images."""
    figures = report.open_set["clean"]
    assert figures.by_generator == {"other_ai": 30}
    assert set(figures.auroc) == set(figures.oscr) == {"novelty", "max_probability", "energy"}
    assert all(0 <= figure.bootstrap_95[0] <= figure.value <= figure.bootstrap_95[1] <= 1 for figure in figures.auroc.values())  # fmt: skip
