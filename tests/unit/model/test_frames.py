import io

import pytest
from PIL import Image

from model.frames import count_frames, gif_frames


def _animation(count: int, kind: str) -> bytes:
    target = io.BytesIO()
    pictures = [Image.new("RGB", (8, 8), (shade % 256, shade * 7 % 256, 0)) for shade in range(count)]
    pictures[0].save(target, kind, save_all=True, append_images=pictures[1:], duration=40)
    return target.getvalue()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_the_frames_of_an_animation_are_counted(kind):
    """Three pictures are three frames, in every format that can move."""
    data = _animation(3, kind)
    with Image.open(io.BytesIO(data)) as image:
        assert count_frames(data, kind, image, 500) == 3


def test_counting_a_gif_stops_behind_the_cap():
    """A file with more frames than allowed is not walked to its end."""
    assert gif_frames(_animation(40, "GIF"), 10) == (11, True)


def test_a_gif_that_ends_early_is_told_apart():
    """Whole, the walk meets the trailer; cut, it does not."""
    data = _animation(3, "GIF")
    assert gif_frames(data, 500) == (3, True)
    assert gif_frames(data[:-30], 500)[1] is False
