from functools import partial

import numpy as np
import pytest

from training.corpus.build import CLASSES, files_of, on_cores, simulate
from training.corpus.camera import Camera
from training.corpus.decoders import Decoder, decode
from training.corpus.families import FAMILIES, FURTHER_FAMILIES
from training.corpus.files import as_found
from training.corpus.laundering import decoded, launder
from training.corpus.ornaments import bokeh, lettering, line_grid, sky
from training.corpus.plan import ORIGINS, SAMPLES, SCENES_A_SPLIT
from training.corpus.population import ELSEWHERE, HOME
from training.corpus.scene import render_scene
from training.corpus.seeds import stream
from training.manifest import SPLITS
from training.params import AugmentParams


def files(seed, scenes, processes):
    with on_cores(processes) as ordered_map:
        return list(ordered_map(partial(files_of, seed=seed), scenes))


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
    assert files_of(3, seed=8)[0] != run[0][0]


def test_a_scene_does_not_depend_on_those_before_it(run):
    """Scene 4 alone is scene 4 of a longer run."""
    assert files_of(4, seed=7) == run[1]


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
    for scene in run:
        starts = [data[:160] for _, _, data in scene]
        assert len({start[:2] for start in starts}) == 1
        assert len({start for start in starts if start[:2] == b"\xff\xd8"}) <= 1


@pytest.mark.parametrize(
    ("split", "lowest", "highest"), [("train", 0, 11), ("unseen_checkpoint", 12, 71), ("later", 100, 123)]
)
def test_a_split_draws_its_decoders_from_a_range_of_its_own(split, lowest, highest):
    """Held-out and later decoders have numbers that no trained one has; the camera has none."""
    (label, camera, _), *drawn = files_of(ORIGINS[split].first_scene, seed=7, split=split)
    assert (label, camera) == ("real", -1)
    assert all(lowest <= checkpoint <= highest for _, checkpoint, _ in drawn)


def test_no_two_splits_share_a_scene():
    """Each split has 100,000 scenes of its own, and the samples of demos come after all of them."""
    firsts = [origin.first_scene for origin in ORIGINS.values()]
    assert tuple(ORIGINS) == SPLITS
    assert firsts == [number * SCENES_A_SPLIT for number in range(7)]
    assert firsts[-1] + SCENES_A_SPLIT <= SAMPLES


def test_a_later_version_keeps_the_architecture_and_moves_the_numbers():
    """It loses less and invents more faintly, with the same up-sampling."""
    flux = FAMILIES["flux"]
    assert flux.later().upsampling == flux.upsampling
    assert (flux.later().bottleneck_sigma_px, flux.later().gain) == pytest.approx((1.105, 0.0104))


def test_further_generators_are_built_like_none_of_the_four():
    """One has a stride of 16 and mixed up-sampling, the other no grid of 8; both work on sides that only 8 divides."""
    assert {family.stride for family in FAMILIES.values()} == {8}
    assert {name: family.stride for name, family in FURTHER_FAMILIES.items()} == {"other_ai": 16, "pixel_ai": 2}
    content = np.random.default_rng(1).random((3, 24, 40), dtype=np.float32)
    for family in FURTHER_FAMILIES.values():
        assert decode(content, Decoder.draw(7, family, 0), stream(7)).shape == (3, 24, 40)


def test_another_population_has_other_cameras_and_scenes():
    """What is held out as a source is drawn from ranges that differ in noise, tables and what scenes show."""
    assert not set(HOME.makers) & set(ELSEWHERE.makers)
    dim, dimmer = (Camera.draw(stream(1), people).electrons_at_white for people in (HOME, ELSEWHERE))
    assert dimmer < dim
    assert not np.array_equal(*(render_scene(stream(1), 120, 128, people) for people in (HOME, ELSEWHERE)))


@pytest.mark.parametrize("ornament", [bokeh, line_grid, lettering])
def test_an_ornament_paints_a_part_of_the_scene(ornament):
    """It changes something, not everything, and stays in the range of light."""
    canvas = np.full((3, 200, 300), 0.2, np.float32)
    ornament(stream(3), canvas)
    touched = (canvas != np.float32(0.2)).mean()
    assert 0 < touched < 0.6
    assert canvas.min() >= 0
    assert canvas.max() <= 1.2


def test_a_sky_is_smooth_and_above():
    """The upper edge is sky in every column, the lower half is untouched."""
    canvas = np.full((3, 200, 300), 0.2, np.float32)
    sky(stream(3), canvas, np.zeros((200, 300), np.float32))
    assert (canvas[:, 0] != np.float32(0.2)).all()
    assert (canvas[:, 100:] == np.float32(0.2)).all()


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


@pytest.mark.parametrize(
    ("shares", "start"),
    [({"webp_share": 1.0}, b"RIFF"), ({"webp_share": 0.0}, b"\xff\xd8\xff\xe0")],
)
def test_the_shares_of_laundering_are_those_of_the_parameters(scene, shares, start):
    """Always WebP, or never: what params.yaml says is what happens."""
    files = [launder(scene["flux"], stream(7, "x", number), AugmentParams(**shares)) for number in range(6)]
    assert {data[:4] for data in files} == {start}


def test_laundering_keeps_the_size_where_nothing_resizes(scene):
    """With no share for resizing and screenshots, each image leaves as large as it came; with full shares none does."""
    still = AugmentParams(resize_share=0, screenshot_share=0)
    assert decoded(launder(scene["flux"], stream(7), still)).shape == scene["flux"].shape
    moved = AugmentParams(resize_share=0, screenshot_share=1)
    assert decoded(launder(scene["flux"], stream(7), moved)).shape != scene["flux"].shape


def test_files_as_found_betray_their_class(scene):
    """Cameras write JPEG, generators sides that are multiples of 64."""
    photo = as_found(scene["real"], "real", stream(7))
    drawn = as_found(scene["midjourney"], "midjourney", stream(7))
    assert photo[:2] == b"\xff\xd8"
    assert [side % 64 for side in decoded(drawn).shape[:2]] == [0, 0]
