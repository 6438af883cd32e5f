import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.identity import outcome_id
from schemas.image_ref import check_key
from storage.keys import is_own_key, outcome_key, overlay_key


def test_overlay_key_is_sharded_by_the_outcome_id():
    """The overlay lies in a folder named after the first two digits of the id."""
    assert overlay_key("c0ffee00112233") == "overlays/c0/c0ffee00112233.webp"


def test_overlay_key_takes_the_extension():
    """A JPEG overlay is named as one."""
    assert overlay_key("c0ffee00112233", "jpg") == "overlays/c0/c0ffee00112233.jpg"


def test_outcome_key_is_sharded_by_the_outcome_id():
    """The settled outcome lies beside its like, as JSON."""
    assert outcome_key("c0ffee00112233") == "outcomes/c0/c0ffee00112233.json"


@pytest.mark.parametrize("text", ["", "C0FFEE0011", "../../etc/x", "c0ffee00/..", "c0ffee0011\n", "ü" * 10, "ab"])
def test_an_id_that_is_no_hash_names_no_key(text):
    """Text that a user could have chosen never becomes a key."""
    with pytest.raises(ValueError, match="outcome id"):
        overlay_key(text)


@pytest.mark.parametrize("extension", ["", "we/bp", "..", "WEBP", "webp\n"])
def test_an_odd_extension_names_no_key(extension):
    """The extension is a plain lower-case word."""
    with pytest.raises(ValueError, match="extension"):
        overlay_key("c0ffee00112233", extension)


@given(st.lists(st.text(), min_size=1))
def test_whatever_the_identity_the_own_keys_are_allowed_keys(parts):
    """For every identity, hostile text included, the written keys are plain, pass the key rules and are known as our own."""
    made = outcome_id(*parts)
    for key in (overlay_key(made), outcome_key(made)):
        assert check_key(key) == key
        assert re.fullmatch(r"(overlays|outcomes)/[0-9a-f]{2}/[0-9a-f]{40}\.(webp|json)", key)
        assert is_own_key(key)


@pytest.mark.parametrize("key", ["img/1.jpg", "my-overlays/1.webp", "Overlays/1.webp", "overlay/1.webp"])
def test_an_upload_is_not_our_own(key):
    """Only what lies under our own prefixes is ours."""
    assert not is_own_key(key)
