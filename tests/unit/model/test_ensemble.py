import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from model.abstention import Abstention, DecisionRule, NoveltyRule
from model.answer_cells import cell_count
from model.decode import from_array
from model.ensemble import CPU_TOLERANCE, EnsembleClassifier
from model.open_set import Landmarks, OpenSet
from model.pixels import Pixels, cut
from model.policy import policy_of
from schemas.calibration import CalibrationProfile
from schemas.errors import BatchFailed, DeviceLost


@pytest.fixture(scope="module")
def classifier(tiny_network, tiny_meta) -> EnsembleClassifier:
    return EnsembleClassifier(tiny_network, tiny_meta, "0" * 64, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def pictures() -> list[Pixels]:
    """Seven pictures with one, two or five crops each."""
    generator = np.random.default_rng(5)
    sizes = [(300, 300), (224, 224), (225, 224), (100, 180), (640, 300), (224, 300), (400, 400)]
    return [
        cut(
            from_array((generator.random((h, w, 3)) * generator.integers(40, 256)).astype(np.uint8)),
            seed=bytes([w % 256]),
        )
        for w, h in sizes
    ]


def test_probabilities_sum_to_one_for_the_ensemble_and_each_branch(classifier, pictures):
    """To the last digits of float64."""
    for prediction in classifier.predict(pictures, explain=[False] * 7):
        assert prediction.probs.dtype == np.float64
        assert prediction.probs.sum() == pytest.approx(1, abs=1e-12)
        assert [member.name for member in prediction.members] == ["cnn", "vit", "fft"]
        assert all(member.probs.sum() == pytest.approx(1, abs=1e-12) for member in prediction.members)


def test_an_image_does_not_feel_who_shares_its_batch(classifier, pictures):
    """Alone, in the batch, in the batch turned round: within the stated tolerance, heat and members too."""
    together = classifier.predict(pictures, explain=[True] * 7)
    turned = classifier.predict(pictures[::-1], explain=[True] * 7)[::-1]
    spread = {round(float(prediction.probs.max()), 2) for prediction in together}
    assert len(spread) > 1  # the network does tell these pictures apart
    for index, pixels in enumerate(pictures):
        (alone,) = classifier.predict([pixels], explain=[True])
        for other in (together[index], turned[index]):
            assert np.abs(alone.probs - other.probs).max() <= CPU_TOLERANCE
            for mine, theirs in zip(alone.members, other.members, strict=True):
                assert np.abs(mine.probs - theirs.probs).max() <= CPU_TOLERANCE
            assert np.abs(alone.cams - other.cams).max() <= 1e-3


@pytest.fixture(scope="module")
def open_set(tiny_meta) -> OpenSet:
    """One Gaussian a class about unequal logits, and landmarks that are all different."""
    generator = torch.Generator().manual_seed(3)
    width = tiny_meta.config.hidden[-1]
    landmarks = Landmarks(torch.zeros(width), torch.randn(width, 32, generator=generator))
    return OpenSet(torch.eye(3) * 5, torch.eye(3).expand(3, 3, 3).contiguous(), torch.zeros(3), landmarks)


@pytest.fixture(scope="module")
def watchful(tiny_network, tiny_meta, open_set, pictures) -> EnsembleClassifier:
    """A classifier with a rule of novelty that three of the seven pictures are over."""

    def over(threshold: float) -> EnsembleClassifier:
        rules = Abstention(
            fitted_on="nothing",
            decision=DecisionRule(
                ai_from=0.8, real_to=0.2, false_positive_rate=0, false_negative_rate=0, reals=1, generated=1
            ),
            novelty=NoveltyRule(method="m", threshold=threshold, false_rejection_rate=0.05, images=1),
        )
        meta = tiny_meta.model_copy(update={"abstention": rules})
        return EnsembleClassifier(tiny_network, meta, "0" * 64, device=torch.device("cpu"), open_set=open_set)

    scores = sorted(one.novelty for one in over(0).predict(pictures, explain=[False] * 7))
    return over((scores[3] + scores[4]) / 2)


def test_a_novel_image_says_what_it_is_nearest_to_and_where_it_lies(watchful, open_set, pictures):
    """By the mean over its crops; an image under the threshold says neither."""
    predictions = watchful.predict(pictures, explain=[True] * 7)
    threshold = watchful.info.abstention.novelty.threshold
    assert [one.place is not None for one in predictions] == [one.novelty > threshold for one in predictions]
    assert [one.nearest is not None for one in predictions] == [one.novelty > threshold for one in predictions]
    novel = [one for one in predictions if one.place is not None]
    assert len(novel) == 3
    with torch.inference_mode():
        for one in novel:
            joint = torch.from_numpy(one.features)
            place = open_set.landmarks.place(watchful.network.hidden(joint).mean(0))
            assert one.place == pytest.approx(place.numpy(), abs=1e-3)
            densities = open_set.by_class(watchful.network.head(joint)).mean(0)
            assert one.nearest == watchful.info.classes[int(densities.argmax())]


def test_a_novel_image_does_not_feel_who_shares_its_batch(watchful, pictures):
    """Its place and its nearest class are its own, alone and in the batch turned round."""
    together = watchful.predict(pictures, explain=[False] * 7)
    turned = watchful.predict(pictures[::-1], explain=[False] * 7)[::-1]
    for index, pixels in enumerate(pictures):
        (alone,) = watchful.predict([pixels], explain=[False])
        for other in (together[index], turned[index]):
            assert alone.nearest == other.nearest
            assert (alone.place is None) == (other.place is None)
            if alone.place is not None:
                assert np.abs(alone.place - other.place).max() <= 1e-4 * np.abs(alone.place).max()


def test_without_landmarks_a_novel_image_has_no_place(tiny_network, tiny_meta, watchful, open_set, pictures):
    """As with checkpoints that were calibrated by an earlier release; what it is nearest to is still said."""
    meta = tiny_meta.model_copy(update={"abstention": watchful.info.abstention})
    bare = dataclasses.replace(open_set, landmarks=None)
    old = EnsembleClassifier(tiny_network, meta, "0" * 64, device=torch.device("cpu"), open_set=bare)
    for one, other in zip(
        old.predict(pictures, explain=[False] * 7), watchful.predict(pictures, explain=[False] * 7), strict=True
    ):
        assert (one.nearest, one.place) == (other.nearest, None)


def test_the_prior_is_that_of_the_profile(tiny_network, tiny_meta):
    """Without a profile it is not known."""
    cells = dict.fromkeys(tiny_meta.config.classes, (0,) * cell_count(3))
    profile = CalibrationProfile(
        calibration_id=tiny_meta.calibration_id, classes=tiny_meta.config.classes, prior=(0.2, 0.3, 0.5), cells=cells
    )
    metas = tiny_meta, tiny_meta.model_copy(update={"profile": profile})
    served = [EnsembleClassifier(tiny_network, meta, "0" * 64, device=torch.device("cpu")) for meta in metas]
    assert [one.info.prior for one in served] == [None, (0.2, 0.3, 0.5)]


def test_probabilities_and_not_logits_are_averaged_over_crops(classifier, pictures):
    """The answer for five crops is the mean of the answers for each of them alone."""
    pixels = pictures[0]
    singles = [
        dataclasses.replace(pixels, crops=pixels.crops[index : index + 1], boxes=pixels.boxes[index : index + 1])
        for index in range(5)
    ]
    (whole,) = classifier.predict([pixels], explain=[False])
    parts = classifier.predict(singles, explain=[False] * 5)
    mean = np.mean([part.probs for part in parts], axis=0)
    assert np.abs(whole.probs - mean).max() <= CPU_TOLERANCE


def test_heat_is_given_for_those_who_asked(classifier, pictures):
    """One map a crop, 0..1 with its peak at 1, for the most probable class."""
    wanted = [True, False, False, True, False, False, True]
    for prediction, pixels, asked in zip(classifier.predict(pictures, explain=wanted), pictures, wanted, strict=True):
        if asked:
            assert prediction.cams.shape == (len(pixels.crops), 7, 7)
            assert prediction.cams.dtype == np.float32
            assert prediction.cams.min() >= 0
            assert prediction.cams.max() in (0.0, 1.0)
            assert prediction.cam_class == classifier.info.classes[int(prediction.probs.argmax())]
        else:
            assert (prediction.cams, prediction.cam_class) == (None, None)


def test_temperature_softens_without_changing_the_order(tiny_network, tiny_meta, pictures):
    """Each of the four temperatures acts on its own probabilities."""
    temperatures = {"fused": 3.0, "cnn": 3.0, "vit": 3.0, "fft": 3.0}
    warm = type(tiny_meta).model_validate(tiny_meta.model_dump() | {"temperatures": temperatures})
    one, three = (
        EnsembleClassifier(tiny_network, meta, "0" * 64, device=torch.device("cpu")).predict(
            pictures[1:2], explain=[False]
        )[0]
        for meta in (tiny_meta, warm)
    )
    for sharp, soft in zip((one, *one.members), (three, *three.members), strict=True):
        expected = sharp.probs ** (1 / 3)
        np.testing.assert_allclose(soft.probs, expected / expected.sum(), rtol=1e-9)


def test_pixels_of_another_policy_are_not_judged(classifier):
    """The last fence, should a worker be wired wrongly."""
    foreign = cut(from_array(np.zeros((300, 300, 3), np.uint8)), policy_of("crops1-224-native-v1"), seed=b"")
    with pytest.raises(ValueError, match="crops1-224-native-v1"):
        classifier.predict([foreign], explain=[False])


def test_an_empty_batch_has_no_predictions(classifier):
    """The batcher may be asked at shutdown."""
    assert classifier.predict([], explain=[]) == []


def test_warming_up_runs_the_whole_pass(classifier):
    """Heat included; nothing is returned."""
    classifier.warm_up(images=2)


class Failing(nn.Module):
    """A network whose device fails under it."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def to(self, *_args, **_kwargs):
        return self

    def forward(self, *_inputs):
        raise self.error


def test_want_of_memory_fails_the_batch(tiny_meta, pictures):
    """The batcher halves it then."""
    network = Failing(torch.OutOfMemoryError("memory"))
    classifier = EnsembleClassifier(network, tiny_meta, "0" * 64, device=torch.device("cpu"))
    with pytest.raises(BatchFailed):
        classifier.predict(pictures, explain=[False] * 7)


@pytest.mark.skipif(torch.version.cuda is None, reason="this torch was built without CUDA")
def test_a_gpu_that_is_gone_ends_the_worker_and_not_the_batch(tiny_meta, pictures):
    """Where there is no GPU torch itself says so; where there is one the network fails as on a lost one."""
    network = Failing(torch.AcceleratorError("CUDA error"))
    classifier = EnsembleClassifier(network, tiny_meta, "0" * 64, device=torch.device("cuda"))
    with pytest.raises(DeviceLost):
        classifier.predict(pictures[:1], explain=[False])


@pytest.mark.parametrize("part", ["fused", "cnn", "vit", "fft"])
def test_a_probability_that_is_not_finite_fails_the_batch(tiny_network, tiny_meta, pictures, part):
    """Of the ensemble or of a branch; it was "real, 100 %" once. The other images are judged without the one."""
    network = copy.deepcopy(tiny_network)
    network.register_forward_hook(lambda _, inputs, scores: _overflown(inputs, scores, part))
    classifier = EnsembleClassifier(network, tiny_meta, "0" * 64, device=torch.device("cpu"))
    black = cut(from_array(np.zeros((224, 224, 3), np.uint8)), seed=b"")
    with pytest.raises(BatchFailed):
        classifier.predict([pictures[0], black, pictures[1]], explain=[False, True, False])
    with pytest.raises(BatchFailed):
        classifier.predict([black], explain=[False])
    assert len(classifier.predict(pictures[:2], explain=[True, True])) == 2


def _overflown(inputs, scores, part):
    """Set one class of the black pictures to infinity, as an activation that overflows does."""
    crops, views, _ = inputs
    black = (views if part == "vit" else crops).flatten(1).amax(1) == 0
    logits = getattr(scores, part).clone()
    logits[black, 0] = torch.inf
    return scores._replace(**{part: logits})
