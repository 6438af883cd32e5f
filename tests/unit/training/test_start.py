import pytest
import safetensors.torch
import torch
from support.tiny_training import TINY_MODEL

from model.checkpoint import save
from model.checkpoint_meta import CheckpointMeta
from model.network import build
from schemas.errors import CheckpointRefused
from training.start import config_of, grown, network_of, new_network

pytestmark = pytest.mark.timeout(900)  # the first test pays for what its fixture makes

CONFIG = config_of(TINY_MODEL, ("real", "flux", "dalle3"))
POLICY = "crops5-224-native-v1"


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return build(CONFIG)


def scores(network):
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8)
    with torch.inference_mode():
        return network(pixels, pixels, torch.arange(2))


def test_a_seed_gives_the_same_weights():
    """And another seed others."""
    one, two, other = (new_network(CONFIG, TINY_MODEL, seed=seed).head[1].weight for seed in (7, 7, 8))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_random_first_filters_do_not_see_flat_areas():
    """The CNN's first filters sum to nothing; pretrained ones are left as they are."""
    stem = new_network(CONFIG, TINY_MODEL, seed=7).cnn.backbone.conv_stem.weight
    assert stem.sum((2, 3)).abs().max() < 1e-6


def test_a_backbone_from_a_local_file_is_the_one_in_the_file(tmp_path, network):
    """Weights given by path stand in the network, and the first filters stay what they were."""
    backbone = {name: value.contiguous() for name, value in network.cnn.backbone.state_dict().items()}
    safetensors.torch.save_file(backbone, tmp_path / "cnn.safetensors")
    model = TINY_MODEL.model_copy(update={"pretrained": {"cnn": tmp_path / "cnn.safetensors"}})
    loaded = new_network(CONFIG, model, seed=1).cnn.backbone.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in backbone.items())


def test_a_grown_network_says_the_same_of_the_old_classes(network):
    """Two classes added at the end; every old logit is what it was, the bigger shape has the new classes."""
    before, after = scores(network), scores(grown(network, ["imagen", "ideogram"], seed=1))
    for branch in ("fused", "cnn", "vit", "fft"):
        assert getattr(after, branch).shape[1] == 5
        assert torch.allclose(getattr(after, branch)[:, :3], getattr(before, branch), atol=1e-5)


def test_a_new_class_starts_as_the_mean_of_the_known_generators(network):
    """Near the mean of the rows of flux and dalle3, and not the same as the other new class."""
    bigger = grown(network, ["imagen", "ideogram"], seed=1)
    old, new = network.head[6].weight, bigger.head[6].weight
    mean, spread = old[1:].mean(0), old.std()
    assert (new[3] - mean).abs().mean() < 0.2 * spread
    assert not torch.equal(new[3], new[4])
    assert bigger.config.classes == ("real", "flux", "dalle3", "imagen", "ideogram")


def test_a_class_that_is_known_cannot_be_added(network):
    """Classes are distinct."""
    with pytest.raises(ValueError, match="repeat"):
        grown(network, ["flux"], seed=1)


@pytest.fixture
def checkpoint(tmp_path, network):
    path = tmp_path / "start.safetensors"
    save(
        path,
        network,
        CheckpointMeta(version="v", kind="trained", config=CONFIG, preprocess_id=POLICY, training_data="x"),
    )
    return path


def test_a_checkpoint_of_this_shape_is_a_start(checkpoint, network):
    """Its weights, and another dropout if the parameters say so."""
    other = CONFIG.model_copy(update={"dropout": 0.5})
    loaded = network_of(checkpoint, other, POLICY)
    assert loaded.network.config.dropout == 0.5
    assert torch.equal(loaded.network.head[1].weight, network.head[1].weight)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"classes": ("real", "flux")}, "classes"),
        ({"hidden": (64, 16)}, "hidden"),
        ({"cnn": TINY_MODEL.vit}, "cnn"),
    ],
)
def test_a_checkpoint_of_another_shape_is_refused(checkpoint, change, named):
    """The error names what differs and says what to do."""
    with pytest.raises(CheckpointRefused, match="does not fit this training") as caught:
        network_of(checkpoint, CONFIG.model_copy(update=change), POLICY)
    assert caught.value.why.startswith(f"it has {named} ")
    assert "finetune" in caught.value.remedy
