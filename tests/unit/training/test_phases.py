import pytest
from support.tiny_training import TINY_MODEL
from torch import nn

from model.network import build
from schemas.errors import ConfigError
from training.phases import learning, prepare
from training.start import config_of

CONFIG = config_of(TINY_MODEL, ("real", "flux"))


@pytest.fixture(scope="module")
def network():
    return build(CONFIG)


def test_the_head_phase_leaves_both_backbones_alone(network):
    """Head, members and the FFT branch learn."""
    names = learning(network, "head")
    assert {name.split(".")[0] for name in names} == {"head", "members", "fft"}
    assert {name for name, _ in network.named_parameters() if name.split(".")[0] not in ("cnn", "vit")} == names


def test_the_top_phase_adds_the_last_two_blocks_and_what_follows_them(network):
    """Stages 3 and 4 of five, transformer blocks 4 and 5 of six, the last convolution and the last norm."""
    added = learning(network, "top") - learning(network, "head")
    assert {".".join(name.split(".")[2:4]) for name in added if ".blocks." in name and name.startswith("cnn")} == {
        "blocks.3",
        "blocks.4",
    }
    assert {".".join(name.split(".")[2:4]) for name in added if ".blocks." in name and name.startswith("vit")} == {
        "blocks.4",
        "blocks.5",
    }
    rest = {name for name in added if ".blocks." not in name}
    assert rest == {
        "cnn.backbone.conv_head.weight",
        "cnn.backbone.bn2.weight",
        "cnn.backbone.bn2.bias",
        "vit.backbone.norm.weight",
        "vit.backbone.norm.bias",
    }


def test_the_last_phase_is_everything(network):
    """No parameter is forgotten."""
    assert learning(network, "all") == {name for name, _ in network.named_parameters()}


def test_a_frozen_batch_norm_keeps_its_running_means(network):
    """In the head phase every batch norm of the backbone is in eval mode, and in train mode when everything learns."""
    norms = [module for module in network.cnn.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    prepare(network, "head")
    assert norms
    assert not any(norm.training for norm in norms)
    assert network.head[3].training
    prepare(network, "all")
    assert all(norm.training for norm in norms)
    network.eval()


def test_what_learns_is_what_gets_gradients(network):
    """The returned parameters are those that require gradients, no more and no fewer."""
    named = prepare(network, "top")
    assert [name for name, _ in named] == [name for name, value in network.named_parameters() if value.requires_grad]
    network.eval()


def test_a_backbone_without_known_blocks_is_an_error_with_a_remedy(network):
    """A module that timm did not group."""
    odd = build(CONFIG)
    odd.vit.backbone = nn.Linear(2, 2)
    with pytest.raises(ConfigError, match="top blocks of the vit branch") as caught:
        learning(odd, "top")
    assert "layers: all" in caught.value.remedy
