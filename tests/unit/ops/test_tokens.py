"""Who holds a token may see one picture, for some minutes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.ops.tokens import MOST_PLACES, PERIOD_S, Place, TokenRefused, Tokens

PLACE = Place("image", "deeptrace-images", "a/1.png", "v1", "etag")


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000 * PERIOD_S

    def __call__(self) -> float:
        return float(self.now)


def test_a_token_gives_back_its_place() -> None:
    """The place that was offered, with its pins; neither bucket nor key can be read from the token."""
    tokens = Tokens(Clock())
    token = tokens.offer(PLACE)
    assert tokens.read("image", token) == PLACE
    assert len(token) == 44
    assert "a/1.png" not in token


def test_a_token_expires() -> None:
    """It holds at least one period and at most two."""
    clock = Clock()
    tokens = Tokens(clock)
    token = tokens.offer(PLACE)
    clock.now += PERIOD_S
    assert tokens.read("image", token) == PLACE
    clock.now += PERIOD_S
    with pytest.raises(TokenRefused, match="expired"):
        tokens.read("image", token)


def test_a_token_of_an_image_opens_no_overlay() -> None:
    """The kind is sealed with it."""
    tokens = Tokens(Clock())
    with pytest.raises(TokenRefused):
        tokens.read("overlay", tokens.offer(PLACE))


def test_a_token_of_another_process_is_refused() -> None:
    """Keys are drawn at the start of each process."""
    clock = Clock()
    with pytest.raises(TokenRefused):
        Tokens(clock).read("image", Tokens(clock).offer(PLACE))


def test_a_place_that_was_forgotten_is_refused() -> None:
    """The places that can be asked for are bounded; the oldest goes first."""
    tokens = Tokens(Clock())
    token = tokens.offer(PLACE)
    for number in range(MOST_PLACES):
        tokens.offer(Place("image", "deeptrace-images", str(number)))
    with pytest.raises(TokenRefused, match="no longer"):
        tokens.read("image", token)


@given(st.integers(0, 43), st.text("ABCabc012_-=", min_size=1, max_size=1))
def test_a_token_that_was_tampered_with_is_refused(at: int, letter: str) -> None:
    """Whichever letter is changed, nothing is opened."""
    tokens = Tokens(Clock(), key=b"k" * 32)
    token = tokens.offer(PLACE)
    changed = token[:at] + letter + token[at + 1 :]
    if changed != token:
        with pytest.raises(TokenRefused):
            tokens.read("image", changed)


@given(st.text(max_size=80))
def test_any_text_is_refused(text: str) -> None:
    """What is no token is refused, never an error."""
    with pytest.raises(TokenRefused):
        Tokens(Clock()).read("image", text)
