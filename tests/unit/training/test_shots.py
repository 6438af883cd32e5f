import numpy as np
import pytest
from support.tiny_training import write_pictures

from model.policy import DEFAULT_POLICY
from training.dataset import collate, training_batches
from training.items import Item
from training.params import AugmentParams
from training.shots import Draw, Shot, training_shot, validation_shot

ALWAYS = AugmentParams(launder_share=1.0)
NEVER = AugmentParams(launder_share=0.0)


@pytest.fixture(scope="module")
def item(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder, {"real": 1, "flux": 1})
    return Item(folder / "flux" / "0.png", "flux/0.png", 1)


def shot(item, epoch=0, again=0, augment=ALWAYS):
    return training_shot(Draw(item, again), seed=7, epoch=epoch, augment=augment, policy=DEFAULT_POLICY)


def test_a_training_shot_is_one_native_crop_and_the_view(item):
    """With the label of its image."""
    taken = shot(item)
    assert (taken.crops.shape, taken.view.shape, taken.label) == ((1, 224, 224, 3), (224, 224, 3), 1)


def test_a_training_shot_changes_with_the_epoch_and_with_each_showing(item):
    """And repeats by them."""
    assert np.array_equal(shot(item).crops, shot(item).crops)
    assert not np.array_equal(shot(item).crops, shot(item, epoch=1).crops)
    assert not np.array_equal(shot(item).crops, shot(item, again=1).crops)


def test_an_image_that_is_not_laundered_is_shown_as_it_is(item):
    """Doubled pixels stay doubled, whatever the crop."""
    crop = shot(item, augment=NEVER).crops[0]
    assert min(np.abs(np.diff(crop.astype(int), axis=1))[:, start::2].max() for start in (0, 1)) == 0


def test_a_validation_shot_is_the_same_whatever_share_training_launders(item):
    """A search over the share must judge every trial by the same pixels."""
    taken = [validation_shot(item, seed=7, augment=augment, policy=DEFAULT_POLICY) for augment in (ALWAYS, NEVER)]
    assert np.array_equal(taken[0].crops, taken[1].crops)


def test_an_image_too_long_for_webp_is_shown_as_it_is(tmp_path):
    """20,000 pixels wide: laundering would fail on it now and then."""
    from PIL import Image

    Image.new("RGB", (20_000, 8), "red").save(tmp_path / "long.png")
    for epoch in range(12):
        assert shot(Item(tmp_path / "long.png", "long.png", 0), epoch=epoch).crops.min(axis=(0, 1, 2)).tolist() == [
            255,
            0,
            0,
        ]


def test_batches_keep_crops_with_their_images():
    """Rows of crops point at their image, also where images have several."""
    pixels = np.zeros((3, 224, 224, 3), np.uint8)
    batch = collate([Shot(pixels[:2], pixels[0], 1), Shot(pixels, pixels[0], 0)])
    assert batch.image_of.tolist() == [0, 0, 1, 1, 1]
    assert batch.labels.tolist() == [1, 0]
    assert batch.crops.shape[0] == 5


def test_a_last_batch_that_is_not_full_is_dropped(item):
    """Five draws in batches of two."""
    batches = training_batches(
        [Draw(item, again) for again in range(5)],
        map,
        seed=7,
        epoch=0,
        batch_size=2,
        augment=NEVER,
        policy=DEFAULT_POLICY,
    )
    assert [len(batch.labels) for batch in batches] == [2, 2]
