import math

import pytest
import torch

from model.checkpoint import load, save
from model.open_set import OpenSet, constant
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
    ],
    ids=["numbers differ", "not finite", "wrong type", "other classes"],
)
def test_one_that_does_not_fit_is_refused(tmp_path, tiny_network, tiny_meta, change):
    """Before any verdict is given by it."""
    save(tmp_path / "c.safetensors", tiny_network, tiny_meta, change(gaussians(3, len(tiny_meta.config.classes))))
    with pytest.raises(CheckpointRefused, match="open set does not fit") as caught:
        load(tmp_path / "c.safetensors")
    assert "deeptrace calibrate" in caught.value.remedy


def test_half_an_open_set_is_refused(tmp_path, tiny_network, tiny_meta):
    """A tensor of it is missing."""

    class Half(OpenSet):
        def tensors(self):
            return {name: value for name, value in super().tensors().items() if "means" in name}

    whole = gaussians(3, len(tiny_meta.config.classes))
    save(tmp_path / "c.safetensors", tiny_network, tiny_meta, Half(whole.means, whole.whitening, whole.offsets))
    with pytest.raises(CheckpointRefused, match="open set does not fit"):
        load(tmp_path / "c.safetensors")
