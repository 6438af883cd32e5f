"""Deletion against chance: what is removed, what it becomes, and what comes out where the answer is known."""

import copy
import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from model import faithfulness
from model.decode import from_array
from model.ensemble import CPU_TOLERANCE, EnsembleClassifier
from model.pixels import cut


def _heat(*hot: int) -> np.ndarray:
    """Heat in these cells of 49, each hotter than the next."""
    heat = np.zeros(49, np.float32)
    for rank, cell in enumerate(hot):
        heat[cell] = 1 - rank / 100
    return heat


def test_the_hottest_quarter_goes_and_four_random_sets_of_as_many_that_do_not_overlap():
    """12 of 49; the random sets are of one permutation."""
    removed = faithfulness.deletions(_heat(*range(20, 40)), b"seed")
    assert removed.sum(1).tolist() == [12] * 5
    assert np.flatnonzero(removed[0]).tolist() == list(range(20, 32))
    assert removed[1:].sum(0).max() == 1


def test_a_cell_without_heat_is_never_the_maps_choice():
    """Three hot cells: three go, at random too."""
    removed = faithfulness.deletions(_heat(5, 9, 40), b"seed")
    assert np.flatnonzero(removed[0]).tolist() == [5, 9, 40]
    assert removed.sum(1).tolist() == [3] * 5


def test_the_same_seed_gives_the_same_sets():
    """Pinned: a release of numpy that shuffles otherwise must not change what is published."""
    one, two = (faithfulness.deletions(_heat(1, 2, 3, 4), b"image") for _ in range(2))
    other = faithfulness.deletions(_heat(1, 2, 3, 4), b"another image")
    assert np.array_equal(one, two)
    assert not np.array_equal(one[1:], other[1:])
    assert np.flatnonzero(one[1]).tolist() == [7, 35, 43, 46]


def test_a_map_without_heat_has_made_no_choice():
    """What to remove cannot be said."""
    with pytest.raises(ValueError, match="no heat"):
        faithfulness.deletions(np.zeros(49, np.float32), b"")


def test_where_all_cells_count_alike_no_map_is_better_than_chance():
    """The probability falls by 0.01 a cell, whichever it is: exactly 0."""
    removed = faithfulness.deletions(_heat(*range(49)), b"x")
    assert faithfulness.gain(0.9 - 0.01 * removed.sum(1)) == 0


def test_a_map_that_names_the_cells_that_count_gets_what_they_are_worth():
    """Three cells carry 0.1 each. The map takes 0.3; the four random sets take at most 0.3 between them, 0.075 on average."""
    worth = np.zeros(49)
    worth[[7, 8, 9]] = 0.1
    good = faithfulness.deletions(_heat(7, 8, 9), b"x")
    bad = faithfulness.deletions(_heat(30, 31, 32), b"x")
    taken = good[1:, [7, 8, 9]].sum() * 0.1 / 4
    assert 0 <= taken <= 0.075
    assert faithfulness.gain(0.8 - good @ worth) == pytest.approx(0.3 - taken)
    assert -0.075 <= faithfulness.gain(0.8 - bad @ worth) <= 0


@pytest.mark.parametrize("number", range(5))
def test_a_random_map_is_worth_nothing_on_average(number):
    """200 random maps over cells of random worth: the mean is within four standard errors of 0."""
    generator = np.random.default_rng(number)
    worth = generator.random(49) / 49
    gains = []
    for draw in range(200):
        removed = faithfulness.deletions(generator.random(49).astype(np.float32), bytes([draw]))
        gains.append(faithfulness.gain(0.9 - removed @ worth))
    assert abs(np.mean(gains)) <= 4 * np.std(gains) / np.sqrt(200)


def test_what_is_removed_is_blurred_and_the_rest_is_untouched():
    """One cell of noise becomes smooth at its own brightness; to the last bit nothing else changes."""
    noise = torch.randint(90, 170, (1, 224, 224, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    removed = torch.zeros(1, 7, 7, dtype=torch.bool)
    removed[0, 2, 5] = True
    (seen,) = faithfulness.without(noise, removed, torch.tensor([0]))
    cell = (slice(64, 96), slice(160, 192))
    assert seen[cell].float().std() < 2
    assert abs(float(seen[cell].float().mean()) - 129.5) < 3
    assert noise[0][cell].float().std() > 20
    seen[cell] = noise[0][cell]
    assert torch.equal(seen, noise[0])


class Bright(nn.Module):
    """A CNN whose maps are the brightness of each cell, and a head that adds them up: removal has a known answer."""

    def __init__(self):
        super().__init__()
        self.cnn = SimpleNamespace(
            pixels=lambda crops: crops.permute(0, 3, 1, 2).float() / 255,
            backbone=SimpleNamespace(forward_features=lambda pixels: nn.functional.avg_pool2d(pixels[:, :1], 32)),
        )
        self.head = nn.Linear(3, 2, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[49.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))


def test_only_the_cnn_runs_again_and_the_other_branches_stay_as_they_were():
    """Seven white cells give 7; of the held features the first, which is the CNN's, is not used."""
    crops = torch.zeros(6, 224, 224, 3, dtype=torch.uint8)
    crops[:, :32] = 255
    joint = torch.tensor([[1000.0, 5.0, 2.0]]).repeat(6, 1)
    logits = faithfulness.cnn_logits(Bright(), crops, joint)
    torch.testing.assert_close(logits, torch.tensor([[12.0, 2.0]]).repeat(6, 1).detach())


@pytest.fixture(scope="module")
def classifier(tiny_network, tiny_meta):
    """One whose answer hangs on the CNN."""
    network = copy.deepcopy(tiny_network)
    with torch.no_grad():
        network.head[1].weight[:, : network.widths["cnn"]].mul_(300)
    return EnsembleClassifier(network, tiny_meta, "0" * 64, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def pictures():
    generator = np.random.default_rng(5)
    sizes = [(300, 300), (224, 224), (640, 300), (100, 180)]
    return [
        cut(from_array((generator.random((h, w, 3)) * generator.integers(90, 256)).astype(np.uint8)), seed=bytes([i]))
        for i, (w, h) in enumerate(sizes)
    ]


def test_a_figure_does_not_depend_on_who_shares_the_batch(classifier, pictures):
    """Alone, together, and in another order: within the tolerance of two probabilities."""
    predictions = classifier.predict(pictures, explain=[True] * 4)
    together = classifier.faithfulness(pictures, predictions)
    turned = classifier.faithfulness(pictures[::-1], predictions[::-1])[::-1]
    assert np.ptp(together) > 100 * CPU_TOLERANCE  # there is something to move
    for pixels, prediction, one, other in zip(pictures, predictions, together, turned, strict=True):
        (alone,) = classifier.faithfulness([pixels], [prediction])
        assert abs(alone - one) <= 2 * CPU_TOLERANCE
        assert abs(alone - other) <= 2 * CPU_TOLERANCE


def test_the_figure_is_that_of_judging_the_masked_crops(classifier, pictures):
    """By the network's own whole pass over the five variants, with the view as it was and the FFT branch overruled."""
    pixels = pictures[1]
    (prediction,) = classifier.predict([pixels], explain=[True])
    crop, target = pixels.crops[0], classifier.info.classes.index(prediction.cam_class)
    removed = faithfulness.deletions(prediction.cams[0].ravel(), faithfulness.seed_of(crop)).reshape(-1, 7, 7)
    variants = faithfulness.without(
        torch.tensor(crop[None]), torch.from_numpy(removed), torch.zeros(5, dtype=torch.long)
    )
    network = classifier.network
    with torch.no_grad():
        maps = network(variants, torch.tensor(pixels.view)[None], torch.zeros(5, dtype=torch.long)).joint
        maps[:, -64:] = torch.tensor(prediction.features[0, -64:])
        probs = network.head(maps).double().softmax(1)[:, target]
    assert classifier.faithfulness([pixels], [prediction])[0] == pytest.approx(
        float(probs[1:].mean() - probs[0]), abs=1e-5
    )


def test_no_heat_is_no_better_than_chance(classifier, pictures):
    """Nothing to remove, so 0, and the overlay is withheld."""
    (prediction,) = classifier.predict(pictures[:1], explain=[True])
    cold = dataclasses.replace(prediction, cams=np.zeros_like(prediction.cams))
    assert classifier.faithfulness(pictures[:1], [cold]) == [0.0]


def test_what_cannot_be_measured_has_no_figure(classifier, pictures):
    """Heat that was not asked for, and the prediction of a model that was exchanged meanwhile."""
    (unasked,) = classifier.predict(pictures[:1], explain=[False])
    (asked,) = classifier.predict(pictures[:1], explain=[True])
    foreign = dataclasses.replace(asked, model=dataclasses.replace(asked.model, sha256="f" * 64))
    found = classifier.faithfulness([pictures[0]] * 3, [unasked, asked, foreign])
    assert (found[0], found[2]) == (None, None)
    assert found[1] is not None
