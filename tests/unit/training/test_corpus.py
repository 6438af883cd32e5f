import numpy as np
import pytest

from training.corpus.build import CLASSES, build, examples_of, on_cores, simulate
from training.corpus.decoders import FAMILIES, TRAIN_CHECKPOINTS, Decoder
from training.corpus.files import as_found
from training.corpus.laundering import decoded, launder
from training.corpus.seeds import stream


def files(seed, scenes, processes):
    with on_cores(processes) as ordered_map:
        return list(build(seed, scenes, ordered_map))


@pytest.fixture(scope="module")
def scene():
    return {label: pixels for label, _, pixels in simulate(7, 3)}


@pytest.fixture(scope="module")
def run():
    return files(7, range(3, 5), 1)


def test_a_seed_gives_the_same_bytes_in_one_process_and_in_two(run):
    """The corpus does not depend on how many processes make it."""
    assert files(7, range(3, 5), 2) == run


def test_another_seed_gives_other_bytes(run):
    """The seed reaches the pixels."""
    assert examples_of(3, seed=8)[0].data != run[0].data


def test_a_scene_does_not_depend_on_those_before_it(run):
    """Scene 4 alone is scene 4 of a longer run."""
    assert examples_of(4, seed=7) == run[5:]


def test_one_scene_gives_all_five_classes_in_order(scene):
    """Classes are paired by content."""
    assert tuple(scene) == CLASSES == ("real", "stable_diffusion", "midjourney", "dalle3", "flux")


def test_classes_of_a_scene_share_size_mean_and_contrast(scene):
    """What is not acquisition is levelled, within rounding, clipping and grain."""
    photo = scene["real"]
    for pixels in scene.values():
        assert pixels.shape == photo.shape
        assert pixels.dtype == np.uint8
        assert np.abs(pixels.mean((0, 1)) - photo.mean((0, 1))).max() < 2
        assert np.abs(pixels.std((0, 1)) - photo.std((0, 1))).max() < 3


def test_classes_of_a_scene_show_the_same_content(scene):
    """At an eighth of the size, where no decoder invents anything, the pictures are one."""

    def small(pixels):
        h, w = pixels.shape[0] // 8, pixels.shape[1] // 8
        return pixels.reshape(h, 8, w, 8, 3).mean((1, 3)).ravel()

    for pixels in scene.values():
        assert np.corrcoef(small(pixels), small(scene["real"]))[0, 1] > 0.97


def test_images_leave_room_for_native_crops(scene):
    """Sides are between 224 and 512."""
    assert all(224 < side < 512 for side in scene["real"].shape[:2])


def test_files_of_a_scene_share_format_and_tables(run):
    """The history is the scene's, not the class's: the same start of file, up to the pixels."""
    for files_of_scene in (run[:5], run[5:]):
        assert len({file.data[:2] for file in files_of_scene}) == 1
        assert len({file.data[:160] for file in files_of_scene if file.data[:2] == b"\xff\xd8"}) <= 1


def test_unseen_checkpoints_are_not_among_the_trained(run):
    """Held-out decoders have numbers of their own."""
    unseen = {example.checkpoint for example in examples_of(3, seed=7, unseen=True)}
    assert max(example.checkpoint for example in run) < TRAIN_CHECKPOINTS <= min(unseen - {-1})


def test_a_checkpoint_has_the_same_weights_wherever_it_is_drawn():
    """Decoders depend on seed, family and number only."""
    one, two, other = (Decoder.draw(7, FAMILIES["flux"], number) for number in (4, 4, 5))
    assert np.array_equal(one.first[0], two.first[0])
    assert not np.array_equal(one.first[0], other.first[0])


def test_laundering_ends_in_jpeg_or_webp_and_repeats_by_seed(scene):
    """Laundered files are what a platform stores."""
    for number in range(12):
        data = launder(scene["flux"], stream(7, "x", number))
        assert data[:2] == b"\xff\xd8" or data[8:12] == b"WEBP"
        assert data == launder(scene["flux"], stream(7, "x", number))
        assert decoded(data).shape[2] == 3


def test_files_as_found_betray_their_class(scene):
    """Cameras write JPEG, generators sides that are multiples of 64."""
    photo = as_found(scene["real"], "real", stream(7))
    drawn = as_found(scene["midjourney"], "midjourney", stream(7))
    assert photo[:2] == b"\xff\xd8"
    assert [side % 64 for side in decoded(drawn).shape[:2]] == [0, 0]
