import numpy as np
import pytest

from model.abstention import Abstention, DecisionRule, NoveltyRule
from model.decode import from_array
from model.embedding import directions, packed, unpacked
from model.fake import FakeClassifier
from model.pixels import Pixels, cut
from schemas.errors import BatchFailed


def _pixels(shade: int) -> Pixels:
    return cut(from_array(np.full((300, 300, 3), shade, np.uint8)), seed=b"")


def test_the_same_pixels_always_get_the_same_answer():
    """From any instance, in any batch."""
    one = FakeClassifier().predict([_pixels(1), _pixels(2)], explain=[False, False])
    two = FakeClassifier().predict([_pixels(2)], explain=[False])
    assert np.array_equal(one[1].probs, two[0].probs)
    assert not np.array_equal(one[0].probs, one[1].probs)
    assert one[0].probs.sum() == pytest.approx(1, abs=1e-12)


def test_heat_has_a_map_for_each_crop():
    """As the ensemble's has."""
    (prediction,) = FakeClassifier().predict([_pixels(3)], explain=[True])
    assert prediction.cams.shape == (5, 7, 7)
    assert 0 <= prediction.cams.min() <= prediction.cams.max() <= 1
    assert prediction.cam_class in FakeClassifier().info.classes


def test_a_poisoned_image_fails_its_whole_batch():
    """As a true one would; alone, its mates pass."""
    classifier = FakeClassifier(poison=lambda pixels: pixels.view[0, 0, 0] == 66)
    with pytest.raises(BatchFailed):
        classifier.predict([_pixels(1), _pixels(66)], explain=[False, False])
    assert len(classifier.predict([_pixels(1)], explain=[False])) == 1


def test_the_null_classifier_says_nothing():
    """Every class alike, never any heat: what is left to measure is the pipeline."""
    (prediction,) = FakeClassifier(null=True).predict([_pixels(1)], explain=[True])
    assert prediction.probs.tolist() == [0.2] * 5
    assert prediction.cams is None


RULES = Abstention(
    fitted_on="nothing",
    decision=DecisionRule(ai_from=0.6, real_to=0.4, false_positive_rate=0, false_negative_rate=0, reals=1, generated=1),
    novelty=NoveltyRule(method="fake", threshold=0.5, false_rejection_rate=0.5, images=1),
)


def test_what_is_novel_by_its_rules_has_a_place_of_its_own():
    """Two of them lie no nearer to one another than chance has it, and what is not novel has none."""
    predictions = FakeClassifier(abstention=RULES).predict([_pixels(n) for n in range(60)], explain=[False] * 60)
    assert [one.place is not None for one in predictions] == [one.novelty > 0.5 for one in predictions]
    rows = directions([unpacked(packed(one.place)) for one in predictions if one.place is not None])
    assert len(rows) > 10
    assert np.abs(np.triu(rows @ rows.T, 1)).max() < 0.8


def test_images_of_an_unknown_generator_are_novel_and_lie_together():
    """As the test numbers them: two generators, two places; `None` leaves an image to chance."""
    classifier = FakeClassifier(abstention=RULES, unknown=lambda pixels: int(pixels.view[0, 0, 0]) % 2)
    predictions = classifier.predict([_pixels(n) for n in range(20)], explain=[False] * 20)
    assert all(one.novelty > 0.5 and one.nearest in classifier.info.classes for one in predictions)
    rows = directions([unpacked(packed(one.place)) for one in predictions])
    alike = rows @ rows.T
    assert alike[::2, ::2].min() > 0.8
    assert alike[1::2, 1::2].min() > 0.8
    assert alike[::2, 1::2].max() < 0.6


def test_with_rules_it_scores_novelty_and_without_it_says_nothing():
    """So that tests and first steps can see abstention without a network."""
    scores = [
        one.novelty
        for one in FakeClassifier(abstention=RULES).predict([_pixels(1), _pixels(2)], explain=[False, False])
    ]
    assert all(0 <= score <= 1 for score in scores)
    assert scores[0] != scores[1]
    assert FakeClassifier().predict([_pixels(1)], explain=[False])[0].novelty is None


def test_it_takes_a_class_list_of_any_length():
    """More classes than its hash has bytes."""
    classes = (*(f"g{n}" for n in range(99)), "real")
    (prediction,) = FakeClassifier(classes=classes).predict([_pixels(1)], explain=[False])
    assert prediction.probs.shape == (100,)
    assert prediction.model.classes == classes
