import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import save_for_hf

from model.config import Backbone, EnsembleConfig
from model.network import build
from schemas.errors import CheckpointRefused


def _batch(crops: int, views: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(crops)
    return tuple(  # type: ignore[return-value]
        torch.randint(0, 256, (count, 224, 224, 3), dtype=torch.uint8, generator=generator) for count in (crops, views)
    )


def test_the_reference_ensemble_has_the_documented_widths():
    """1280 + 384 + 64 = 1728 features enter the head."""
    network = build(EnsembleConfig(classes=("flux", "real")))
    assert network.widths == {"cnn": 1280, "vit": 384, "fft": 64}
    layers = [tuple(layer.weight.shape) for layer in network.head if hasattr(layer, "weight")]
    assert layers == [(1728,), (512, 1728), (256, 512), (2, 256)]


def test_each_crop_is_scored_with_the_view_of_its_image(tiny_network):
    """Three crops of two images: shapes, and the joint rows carry the right image's view."""
    crops, views = _batch(3, 2)
    with torch.inference_mode():
        scores = tiny_network(crops, views, torch.tensor([0, 1, 1]))
    assert [tuple(part.shape) for part in scores[:4]] == [(3, 3), (3, 3), (2, 3), (3, 3)]
    assert tuple(scores.maps.shape) == (3, 1280, 7, 7)
    view = slice(1280, 1280 + 48)
    assert torch.equal(scores.joint[1, view], scores.joint[2, view])
    assert not torch.equal(scores.joint[0, view], scores.joint[1, view])


def test_the_pooled_features_are_what_timm_would_pool(tiny_network):
    """Grad-CAM needs plain means; timm's own forward must give the same."""
    crops, views = _batch(2, 2)
    with torch.inference_mode():
        scores = tiny_network(crops, views, torch.tensor([0, 1]))
        pooled = tiny_network.cnn.backbone(tiny_network.cnn.pixels(crops))
    torch.testing.assert_close(scores.joint[:, :1280], pooled)


def test_each_branch_is_normalised_as_it_was_trained(tiny_network):
    """ImageNet's mean for the CNN, one half for the ViT, applied to bytes inside the network."""
    white = torch.full((1, 224, 224, 3), 255, dtype=torch.uint8)
    cnn, vit = tiny_network.cnn.pixels(white)[0, :, 0, 0], tiny_network.vit.pixels(white)[0, :, 0, 0]
    torch.testing.assert_close(cnn, torch.tensor([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]))
    torch.testing.assert_close(vit, torch.ones(3))


def test_local_weights_are_loaded_from_a_file_and_from_a_folder(tiny_config, tmp_path):
    """Both of timm's offline ways give the same backbone, and the other branch stays random."""
    torch.manual_seed(1)
    trained = timm.create_model("tinynet_e", pretrained=False)
    file = tmp_path / "weights.safetensors"
    save_file(trained.state_dict(), file)
    folder = tmp_path / "folder"
    trained.pretrained_cfg["mean"] = (0.5, 0.5, 0.5)
    save_for_hf(trained, folder, safe_serialization=True)
    for path in (file, folder):
        network = build(tiny_config, pretrained={"cnn": path})
        loaded = network.cnn.backbone.state_dict()
        assert all(torch.equal(loaded[name], value) for name, value in trained.state_dict().items() if name in loaded)
    assert network.cnn.mean.flatten().tolist() == [127.5] * 3  # the folder's own normalisation


@pytest.mark.parametrize("name", ["weights.pth", "weights.bin", "nothing.safetensors"])
def test_weights_that_are_no_safetensors_are_refused(name, tiny_config, tmp_path):
    """A pickle runs code when it is read."""
    (tmp_path / name.replace("nothing", "other")).write_bytes(b"\x80\x02")
    with pytest.raises(CheckpointRefused, match="no usable weights"):
        build(tiny_config, pretrained={"vit": tmp_path / name})


@pytest.mark.parametrize("backbone", [Backbone(name="resnet_9000"), Backbone(name="tinynet_e", kwargs={"wheels": 4})])
def test_an_architecture_that_cannot_be_built_is_refused(backbone):
    """With the branch's name, as a checkpoint at fault."""
    with pytest.raises(CheckpointRefused, match="cnn branch"):
        build(EnsembleConfig(classes=("flux", "real"), cnn=backbone))


def test_a_folder_of_another_architecture_is_refused(tiny_config, tmp_path):
    """timm would build what the folder says, whatever the configuration says."""
    save_for_hf(timm.create_model("tinynet_d"), tmp_path, safe_serialization=True)
    with pytest.raises(CheckpointRefused, match="tinynet_d"):
        build(tiny_config, pretrained={"cnn": tmp_path})
