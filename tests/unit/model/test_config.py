import pytest
from pydantic import ValidationError

from model.config import Backbone, EnsembleConfig


@pytest.mark.parametrize(
    "name", ["checkpoint_path", "pretrained", "pretrained_cfg_overlay", "cache_dir", "num_classes"]
)
def test_a_backbone_refuses_arguments_that_would_read_files(name):
    """A checkpoint's config must not make timm open or download anything."""
    with pytest.raises(ValidationError, match=name):
        Backbone(name="tinynet_e", kwargs={name: "x"})


@pytest.mark.parametrize("name", ["local-dir:/etc", "hf-hub:a/b", "../x", ""])
def test_a_backbone_is_a_plain_name(name):
    """Schemes and paths are no architecture."""
    with pytest.raises(ValidationError):
        Backbone(name=name)


def test_classes_may_not_repeat():
    """Two columns of one name could not be told apart in a verdict."""
    with pytest.raises(ValidationError, match="classes repeat"):
        EnsembleConfig(classes=("real", "real"))


def test_the_default_is_the_documented_ensemble():
    """EfficientNet-B0, ViT-Small/16, 64 spectral features, 512 and 256 hidden units."""
    config = EnsembleConfig(classes=("flux", "real"))
    assert (config.cnn.name, config.vit.name) == ("efficientnet_b0", "vit_small_patch16_224")
    assert (config.fft_features, config.hidden, config.dropout) == (64, (512, 256), 0.3)
