"""The figure: everything in its place and nothing over the edge."""

import io

import numpy as np
import pytest
from PIL import Image

from model.explain.figure import WIDTH_PX, Bars, Header, Panel, encode, figure, places

HEADER = Header("AI-generated: flux", ("p(AI) 93.1%", "model m-1"), warning="simulated")
RED = np.full((60, 120, 3), (200, 0, 0), np.uint8)


def _panels(count: int) -> list[Panel]:
    return [Panel(f"panel {number}", RED, ("one", "two")) for number in range(count)]


@pytest.mark.parametrize(("panels", "rows"), [(1, 1), (3, 1), (4, 2), (6, 2)])
def test_three_panels_stand_in_a_row(panels, rows):
    """1200 pixels wide; each panel 368 pixels wide, 24 apart, none over the edge."""
    boxes = list(places(HEADER, panels))
    image = figure(HEADER, _panels(panels))
    assert image.width == WIDTH_PX == 1200
    assert {right - left for left, _, right, _ in boxes} == {368}
    assert [left for left, _, _, _ in boxes[:3]] == [24, 416, 808][:panels]
    assert len({top for _, top, _, _ in boxes}) == rows
    assert image.height == boxes[-1][3] + 24


def test_every_picture_is_in_the_middle_of_its_place_in_its_own_shape():
    """Twice as wide as high: 368 x 184 in a place of 368 x 320 under the title."""
    pixels = np.asarray(figure(HEADER, _panels(4))).astype(int)
    for left, top, right, _ in places(HEADER, 4):
        middle_x, middle_y = (left + right) // 2, top + 30 + 160
        red = (pixels[..., 0] == 200) & (pixels[..., 1] == 0)
        assert red[middle_y, [left, right - 1]].all()
        assert red[[middle_y - 91, middle_y + 91], middle_x].all()
        assert not red[middle_y - 94, middle_x]
        assert not red[middle_y + 94, middle_x]


def test_a_note_fades_the_picture_it_is_written_across():
    """What is withheld must not look like a map."""
    panels = [Panel("a", RED), Panel("b", RED, note="withheld: no better than a random map")]
    pixels = np.asarray(figure(HEADER, panels)).astype(int)
    (_, first, *_), (left, top, right, _) = list(places(HEADER, 2))
    assert first == top
    assert pixels[top + 30 + 90, (left + right) // 2].tolist() == [236, 166, 166]
    assert pixels[top + 30 + 160, left + 3].tolist() == [255, 255, 255]


def test_a_warning_has_a_ground_of_its_own_and_none_takes_no_room():
    """The colour is only there with a warning, and the panels move up without."""
    plain = Header("real", ("a", "b"))
    with_warning, without = (np.asarray(figure(header, _panels(1))) for header in (HEADER, plain))
    ground = np.array([255, 236, 200])
    assert (with_warning == ground).all(-1).sum() > 20_000
    assert not (without == ground).all(-1).any()
    assert with_warning.shape[0] - without.shape[0] == 44


def test_text_that_is_too_long_is_cut_and_runs_into_no_neighbour():
    """The gaps between the panels and the margins stay white."""
    long = "long text without an end " * 20
    panels = [Panel(long, RED, (long, long, long, long)) for _ in range(3)]
    pixels = np.asarray(figure(Header(long, (long,), warning=long), panels))
    _, top, _, bottom = next(places(Header("", ("",), warning="w"), 1))
    assert (pixels[top:bottom, 393:415] == 255).all()
    assert (pixels[:, 1177:] == 255).all()
    assert (pixels[bottom:] == 255).all()


def test_bars_are_as_long_as_their_shares_and_what_does_not_fit_is_counted():
    """A quarter of the width; forty classes do not run out of the panel."""
    bars = Bars("classes", (("flux", 0.25), ("real", 0.75)))
    pixels = np.asarray(figure(HEADER, [bars])).astype(int)
    _, top, _, bottom = next(places(HEADER, 1))
    purple = (pixels == [86, 40, 160]).all(-1)
    assert purple[top + 30 + 25].sum() == pytest.approx(92, abs=1)
    assert purple[top + 30 + 46 + 25].sum() == pytest.approx(276, abs=1)
    many = np.asarray(figure(HEADER, [Bars("classes", tuple((f"class {n}", 0.025) for n in range(40)))]))
    assert (many[bottom:] == 255).all()


def test_one_pixel_is_a_picture_too():
    """And so is one row of a thousand."""
    thin = [Panel("a", np.zeros((1, 1, 3), np.uint8)), Panel("b", np.zeros((1, 1000, 3), np.uint8))]
    assert figure(HEADER, thin).width == 1200


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_the_file_opens_without_loss_and_carries_nothing_else(kind):
    """Text must stay sharp; no EXIF, no comment."""
    image = figure(HEADER, _panels(2))
    with Image.open(io.BytesIO(encode(image, kind))) as opened:
        assert opened.format == kind.upper()
        assert not {"exif", "xmp", "icc_profile", "comment", "Software"} & opened.info.keys()
        assert np.array_equal(np.asarray(opened.convert("RGB")), np.asarray(image))
