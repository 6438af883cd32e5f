import numpy as np
import pytest
import torch

from model.config import Backbone, EnsembleConfig, Temperatures
from model.network import build
from training.ablation import without_branches
from training.metrics import auroc
from training.probe import leave_out
from training.scores import Answers, Rows
from training.served import UNKNOWN, Image

pytestmark = pytest.mark.timeout(900)  # the first test pays for what its fixture makes

CLASSES = ("real", "dalle3", "flux")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build(
        EnsembleConfig(
            classes=CLASSES,
            cnn=Backbone(name="test_efficientnet"),
            vit=Backbone(name="test_vit", kwargs={"img_size": 224}),
            hidden=(32, 16),
        )
    )


def answers(network, n=120, seed=0):
    """Features in which every class has a direction of its own; one crop an image."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1, 2], n)
    width = sum(network.widths.values())
    joint = (0.5 * rng.normal(size=(3 * n, width))).astype(np.float32)
    joint[:, :3] += 12 * np.eye(3, dtype=np.float32)[labels]
    images = tuple(Image(None, f"{seed}/{i}", int(label), f"{i}") for i, label in enumerate(labels))
    rows = Rows(network.head(torch.from_numpy(joint)).detach().double().numpy(), np.arange(3 * n))
    return Answers(CLASSES, "clean", images, (), {"fused": rows}, joint=joint)


def test_a_head_without_a_class_knows_the_others_and_finds_it_strange(network):
    """Classes are numbered anew, the one that is gone is unknown, and its density is low."""
    (probed,) = leave_out(network, "dalle3", [answers(network)], [answers(network, seed=1)], seed=7)
    assert probed.known.classes == ("real", "flux")
    assert set(probed.known.labels) == {0, 1}
    assert set(probed.unknown.labels) == {UNKNOWN}
    right = probed.known.probs(Temperatures()).argmax(1) == probed.known.labels
    assert right.mean() > 0.9
    scores = np.concatenate([probed.known.novelty, probed.unknown.novelty])
    assert auroc(scores, np.arange(len(scores)) >= len(probed.known.images)) > 0.8


def test_the_network_itself_is_left_as_it_was(network):
    """A copy of the head learns."""
    before = [value.clone() for value in network.head.parameters()]
    leave_out(network, "flux", [answers(network)], [answers(network, seed=1)], seed=7)
    assert all(torch.equal(a, b) for a, b in zip(before, network.head.parameters(), strict=True))


def test_the_same_seed_gives_the_same_probe(network):
    """Whatever torch's global generator was used for in between."""
    first, second = (
        leave_out(network, "flux", [answers(network)], [answers(network, seed=1)], seed=7)[0] for _ in range(2)
    )
    assert np.array_equal(first.unknown.novelty, second.unknown.novelty)


def test_a_branch_that_is_left_out_says_the_same_of_every_image(network):
    """With the features of all but one branch equal, leaving that branch out makes all answers equal."""
    found = answers(network)
    first = network.widths["cnn"]
    found.joint[:, first:] = found.joint[:1, first:]
    without = without_branches(network, found, Temperatures())
    assert np.ptp(without["cnn"], axis=0) == pytest.approx(0, abs=1e-6)
    assert np.ptp(without["vit"], axis=0).max() > 1e-3
