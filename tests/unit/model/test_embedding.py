"""The 32 bytes that say where a novel image lies."""

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model.embedding import directions, packed, signs, unpacked

PLACES = arrays(np.float64, 32, elements=st.floats(-1e6, 1e6, allow_subnormal=False)).filter(
    lambda place: np.abs(place).max() > 1e-3
)


def cosine(one, other):
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@given(PLACES)
def test_the_direction_is_kept_and_the_length_is_not(place):
    """Within what 8 bits a number lose, whatever the scale."""
    (read,) = directions([unpacked(packed(place))])
    assert cosine(read, place) > 0.999
    assert np.linalg.norm(read) == pytest.approx(1)
    assert packed(place * 8) == packed(place)


def test_the_bytes_by_hand():
    """The largest number becomes 127, the others follow."""
    place = np.array([2.0, -2.0, 1.0, 0.0, *[-0.5] * 28])
    text = packed(place)
    assert base64.b64decode(text) == np.array([127, -127, 64, 0, *[-32] * 28], np.int8).tobytes()
    assert len(text) == 44


def test_the_middle_has_no_direction():
    """Nothing is like it, not even itself."""
    rows = directions([unpacked(packed(np.zeros(32))), unpacked(packed(np.ones(32)))])
    assert (rows @ rows.T).round(9).tolist() == [[0, 0], [0, 1]]


@pytest.mark.parametrize("place", [np.ones(31), np.full(32, np.nan), np.full(32, np.inf)])
def test_what_is_no_place_is_not_packed(place):
    """Neither another length nor a number that is none."""
    with pytest.raises(ValueError, match="32 finite numbers"):
        packed(place)


@pytest.mark.parametrize("text", ["", "AAAA", "not base64!", "é"])
def test_what_is_no_embedding_is_not_read(text):
    """It comes from a message, so it may be anything."""
    with pytest.raises(ValueError):  # of base64's own, or of the length
        unpacked(text)


def test_the_projection_is_the_same_in_every_release():
    """Or the places of one checkpoint would mean something else after an update. It is of signs alone, as many of either."""
    drawn = signs(256)
    assert drawn.shape == (256, 32)
    assert set(np.unique(drawn)) == {-1.0, 1.0}
    assert abs(drawn.mean()) < 0.05
    assert drawn[0, :8].tolist() == [1, -1, -1, -1, 1, 1, 1, -1]
    assert (signs(16) == drawn[:16]).all()


def test_angles_survive_the_projection():
    """Orthogonal stays about orthogonal, and like stays like: the error is about 1 / sqrt(32)."""
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=(2, 200, 256))
    near = one + 0.3 * rng.normal(size=one.shape)
    apart = [cosine(a, b) for a, b in zip(one @ signs(256), other @ signs(256), strict=True)]
    alike = [cosine(a, b) for a, b in zip(one @ signs(256), near @ signs(256), strict=True)]
    assert abs(np.mean(apart)) < 0.05
    assert np.std(apart) < 0.25
    assert min(alike) > 0.85
