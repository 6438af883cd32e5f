import math
from dataclasses import replace

import pytest
import torch

from model.checkpoint import load, save
from model.open_set import Landmarks, OpenSet, constant
from schemas.errors import CheckpointRefused


def gaussians(count, classes):
    """So many round ones of variance 1/4, a step of ten apart."""
    means = 10 * torch.arange(count, dtype=torch.float32)[:, None].expand(count, classes).contiguous()
    whitening = 2 * torch.eye(classes).expand(count, classes, classes).contiguous()
    offset = constant(classes * math.log(0.25), classes, 1 / count)
    return OpenSet(means, whitening, torch.full((count,), offset))


def test_the_score_by_hand():
    """One Gaussian over two logits with deviation 1/2: at its middle the density is 2 / pi, one deviation away less by exp(-1/2)."""
    middle, beside = gaussians(1, 2).score(torch.tensor([[0.0, 0.0], [0.5, 0.0]])).tolist()
    assert middle == pytest.approx(-math.log(2 / math.pi), abs=1e-5)
    assert beside == pytest.approx(middle + 0.5, abs=1e-5)


def test_the_nearest_of_several_counts():
    """Two far apart with half the weight each: near either the score is that of one alone and log 2 more."""
    one, two = gaussians(1, 2), gaussians(2, 2)
    logits = torch.tensor([[0.1, 0.2]])
    assert two.score(logits).item() == pytest.approx(one.score(logits).item() + math.log(2), abs=1e-4)
    assert two.score(logits + 10).item() == pytest.approx(two.score(logits).item(), abs=1e-3)


def test_the_further_the_less_known():
    """Without bound, and finite for logits as large as they come."""
    scores = gaussians(3, 4).score(torch.tensor([[0.0] * 4, [25.0] * 4, [1e4] * 4]))
    assert scores.tolist() == sorted(scores.tolist())
    assert torch.isfinite(scores).all()


def test_the_density_of_each_class_by_hand():
    """Four Gaussians of two classes, a quarter of the weight each: the first and the third are of class 0, the second and the fourth of class 1."""
    open_set = gaussians(4, 2)
    first, second = open_set.by_class(torch.tensor([[20.0, 20.0]]))[0].tolist()
    assert first == pytest.approx(math.log(2 / math.pi / 4), abs=1e-4)
    assert second < first - 100
    assert open_set.by_class(torch.tensor([[30.0, 31.0]])).argmax(1).tolist() == [1]


def test_the_classes_densities_add_up_to_the_score():
    """They are the same mixture, taken apart."""
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    open_set = gaussians(6, 3)
    assert torch.allclose(-torch.logsumexp(open_set.by_class(logits), 1), open_set.score(logits), atol=1e-4)


def landmarks(hidden, side=32):
    return Landmarks(torch.arange(hidden).float(), torch.eye(hidden, side) * 2)


def test_a_place_is_measured_from_the_middle():
    """Centred, then along the axes."""
    place = landmarks(40).place(torch.arange(40).float()[None] + torch.eye(40)[1])
    assert place.tolist() == [[0.0, 2.0] + [0.0] * 30]


def test_landmarks_are_kept_beside_the_weights(tmp_path, tiny_network, tiny_meta):
    """And a checkpoint without them, as older ones are, loads too."""
    bare, hidden = gaussians(3, 3), tiny_meta.config.hidden[-1]
    save(tmp_path / "new.safetensors", tiny_network, tiny_meta, replace(bare, landmarks=landmarks(hidden)))
    save(tmp_path / "old.safetensors", tiny_network, tiny_meta, bare)
    assert load(tmp_path / "old.safetensors").open_set.landmarks is None
    kept = load(tmp_path / "new.safetensors").open_set.landmarks
    features = torch.randn(2, hidden)
    assert torch.equal(kept.place(features), landmarks(hidden).place(features))


def test_it_is_kept_beside_the_weights(tmp_path, tiny_network, tiny_meta):
    """What is loaded scores like what was saved, and the weights are the same."""
    open_set = gaussians(3, len(tiny_meta.config.classes))
    save(tmp_path / "c.safetensors", tiny_network, tiny_meta, open_set)
    loaded = load(tmp_path / "c.safetensors")
    logits = torch.randn(5, len(tiny_meta.config.classes))
    assert torch.equal(loaded.open_set.score(logits), open_set.score(logits))


@pytest.mark.parametrize(
    "change",
    [
        lambda fit: OpenSet(fit.means[:2], fit.whitening, fit.offsets),
        lambda fit: OpenSet(fit.means, fit.whitening, fit.offsets * float("nan")),
        lambda fit: OpenSet(fit.means.double(), fit.whitening, fit.offsets),
        lambda _: gaussians(3, 11),
        lambda _: gaussians(4, 3),
        lambda fit: replace(fit, landmarks=landmarks(17)),
        lambda fit: replace(fit, landmarks=landmarks(256, side=31)),
        lambda fit: replace(fit, landmarks=Landmarks(landmarks(256).middle * float("nan"), landmarks(256).axes)),
    ],
    ids=[
        "numbers differ",
        "not finite",
        "wrong type",
        "other classes",
        "a class has more Gaussians",
        "other features",
        "other places",
        "landmarks not finite",
    ],
)
def test_one_that_does_not_fit_is_refused(tmp_path, tiny_network, tiny_meta, change):
    """Before any verdict is given by it."""
    save(tmp_path / "c.safetensors", tiny_network, tiny_meta, change(gaussians(3, len(tiny_meta.config.classes))))
    with pytest.raises(CheckpointRefused, match="open set does not fit") as caught:
        load(tmp_path / "c.safetensors")
    assert "deeptrace calibrate" in caught.value.remedy


@pytest.mark.parametrize("kept", [{"means"}, {"means", "whitening", "offsets", "axes"}])
def test_half_an_open_set_is_refused(tmp_path, tiny_network, tiny_meta, kept):
    """A tensor of it is missing."""

    class Half(OpenSet):
        def tensors(self):
            return {name: value for name, value in super().tensors().items() if name.split(".")[1] in kept}

    whole = gaussians(3, len(tiny_meta.config.classes))
    half = Half(whole.means, whole.whitening, whole.offsets, landmarks(tiny_meta.config.hidden[-1]))
    save(tmp_path / "c.safetensors", tiny_network, tiny_meta, half)
    with pytest.raises(CheckpointRefused, match="open set does not fit"):
        load(tmp_path / "c.safetensors")
