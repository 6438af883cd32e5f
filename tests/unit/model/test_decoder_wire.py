"""What a decoder sends arrives as it was sent; what no decoder would send is not believed."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import decoder_reply as reply
from model import decoder_wire as wire
from model.decode import from_array
from model.pixels import cut
from model.policy import DEFAULT_POLICY, policy_of
from model.sniff import FORMATS
from schemas.errors import (
    ConfigError,
    DecodeMemoryExceeded,
    DeepTraceError,
    ImageRejected,
    ImageTruncated,
    ObjectRejected,
    leaves,
)

PIXELS = cut(from_array(np.random.default_rng(3).integers(0, 256, (260, 300, 3), dtype=np.uint8)), seed=b"x")


def split(parts: "list[wire.Buffer]") -> tuple[wire.Kind, bytes, memoryview]:
    """Take a frame apart as the parent does."""
    frame = b"".join(parts)
    kind, text, arrays = reply.read_head(frame[: wire.REPLY.size])
    body = frame[wire.REPLY.size :]
    assert len(body) == text + arrays
    return kind, body[:text], memoryview(body[text:])


def read(facts: dict[str, object], arrays: bytes) -> object:
    return reply.read_pixels(reply.PixelFacts.read(json.dumps(facts).encode()), memoryview(arrays), DEFAULT_POLICY)


def test_pixels_come_out_as_they_went_in():
    """Every array bit for bit, every fact, in types as before."""
    kind, text, arrays = split(wire.pack_pixels(PIXELS, 1.5))
    facts = reply.PixelFacts.read(text)
    got = reply.read_pixels(facts, arrays, DEFAULT_POLICY)
    assert (kind, facts.cpu_s) == (wire.Kind.PIXELS, 1.5)
    for name in ("crops", "boxes", "view", "thumb"):
        assert np.array_equal(getattr(got, name), getattr(PIXELS, name))
        assert getattr(got, name).dtype == getattr(PIXELS, name).dtype
    for name in ("format", "width", "height", "frames", "flags", "preprocess_id"):
        assert getattr(got, name) == getattr(PIXELS, name)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (224, 224), (223, 900), (513, 512)])
def test_pictures_of_every_shape_are_believed(size):
    """The checks of a reply are not stricter than what cutting makes."""
    pixels = cut(from_array(np.zeros((*size, 3), np.uint8)), seed=b"x")
    _, text, arrays = split(wire.pack_pixels(pixels, 0.0))
    assert reply.read_pixels(reply.PixelFacts.read(text), arrays, DEFAULT_POLICY).width == size[1]


def test_an_error_keeps_its_class_and_words():
    """What, why and remedy reach the dead letter."""
    kind, text, _ = split(wire.pack_error(ImageTruncated("cut", why="short", remedy="again"), 0.0))
    error = reply.read_rejection(reply.ErrorFacts.read(text))
    assert kind is wire.Kind.ERROR
    assert (type(error), error.message, error.why, error.remedy) == (ImageTruncated, "cut", "short", "again")


@given(
    st.none() | st.tuples(st.sampled_from(FORMATS), st.integers(1, (1 << 32) - 1), st.integers(1, (1 << 32) - 1)),
    st.text(max_size=600),
    st.floats(0, 1e6),
)
def test_a_file_that_ends_early_keeps_what_it_declares(declared, why, cpu_s):
    """Property: for all sizes a header can say, and words of any length."""
    error = ImageTruncated("cut", why=why)
    error.declared = declared
    _, text, _ = split(wire.pack_error(error, cpu_s))
    read_back = reply.read_rejection(reply.ErrorFacts.read(text))
    assert (read_back.declared, read_back.why) == (declared, why[: wire.MAX_TEXT])


@pytest.mark.parametrize(
    "declared",
    [["PDF", 1, 1], ["PNG", 0, 1], ["PNG", 1, 1 << 32], ["PNG", -1, 1], ["PNG", "9", 1], ["PNG", 1]],
    ids=str,
)
def test_a_declaration_that_no_header_makes_is_not_believed(declared):
    """It would stand in a verdict."""
    facts = {"code": "image_truncated", "cpu_s": 0.0, "message": "", "why": "", "remedy": "", "declared": declared}
    with pytest.raises(reply.ReplyGarbled):
        reply.ErrorFacts.read(json.dumps(facts).encode())


def test_only_a_file_that_ends_early_declares_a_picture():
    """Another error that does so is none of a decoder that is itself."""
    facts = {"code": "image_corrupt", "cpu_s": 0.0, "message": "", "why": "", "remedy": "", "declared": ["PNG", 1, 1]}
    with pytest.raises(reply.ReplyGarbled):
        reply.read_rejection(reply.ErrorFacts.read(json.dumps(facts).encode()))


@pytest.mark.parametrize("leaf", list(leaves(DeepTraceError)), ids=lambda leaf: leaf.__name__)
def test_a_decoder_raises_errors_of_images_and_objects_only(leaf):
    """One that says the broker is gone, or that the worker must end, is not itself."""
    said = {"code": leaf.code, "cpu_s": 0.0, "message": "x", "why": "", "remedy": "", "declared": None}
    facts = reply.ErrorFacts.read(json.dumps(said).encode())
    if issubclass(leaf, (ImageRejected, ObjectRejected)):
        assert type(reply.read_rejection(facts)) is leaf
    else:
        with pytest.raises(reply.ReplyGarbled):
            reply.read_rejection(facts)


def test_only_a_fault_of_configuration_keeps_a_decoder_from_starting():
    """Anything else it says at its start is nonsense."""
    for leaf in (ConfigError, DecodeMemoryExceeded):
        _, text, _ = split(wire.pack_error(leaf("x"), 0.0))
        if leaf is ConfigError:
            assert type(reply.read_refusal(reply.ErrorFacts.read(text))) is ConfigError
        else:
            with pytest.raises(reply.ReplyGarbled):
                reply.read_refusal(reply.ErrorFacts.read(text))


FACTS = json.loads(split(wire.pack_pixels(PIXELS, 1.5))[1])
ARRAYS = bytes(split(wire.pack_pixels(PIXELS, 1.5))[2])


@pytest.mark.parametrize(
    "lie",
    [
        {"shapes": [[10**9, 224, 224, 3], [10**9, 4], [224, 224, 3], [260, 300, 3]]},
        {"shapes": [[5, 224, 224, 3], [5, 4], [224, 224, 3], [3, 300, 260]]},
        {"shapes": [[5, -224, -224, 3], [5, 4], [224, 224, 3], [260, 300, 3]]},
        {"shapes": [[], [], [], []]},
        {"width": 10**12},
        {"width": 260, "height": 300},
        {"width": "300"},
        {"height": True},
        {"format": "PDF"},
        {"flags": ["buy now at http://example.com"]},
        {"flags": ["a"] * 17},
        {"preprocess_id": "crops1-224-native-v1"},
        {"cpu_s": -1.0},
        {"cpu_s": float("nan")},
        {"frames": 0},
        {"extra": 1},
    ],
    ids=str,
)
def test_facts_that_do_not_fit_each_other_are_not_believed(lie):
    """Each is one field away from a true reply."""
    assert read(FACTS, ARRAYS)
    with pytest.raises(reply.ReplyGarbled):
        read(FACTS | lie, ARRAYS)


@pytest.mark.parametrize("arrays", [ARRAYS[:-1], ARRAYS + b"x", b""], ids=["short", "long", "none"])
def test_arrays_of_another_length_are_not_believed(arrays):
    """Neither read past their end nor left over."""
    with pytest.raises(reply.ReplyGarbled):
        read(FACTS, arrays)


@pytest.mark.parametrize("box", [(-(2**31), 0, 0, 0), (0, 0, 225, 224), (2**31 - 300, 0, 2**31 - 76, 224)])
def test_boxes_outside_the_picture_are_not_believed(box):
    """The heat map is drawn by them, in the worker."""
    boxes = np.array(PIXELS.boxes)
    boxes[1] = box
    _, text, arrays = split(wire.pack_pixels(replace(PIXELS, boxes=boxes), 0.0))
    with pytest.raises(reply.ReplyGarbled):
        reply.read_pixels(reply.PixelFacts.read(text), arrays, DEFAULT_POLICY)


def test_more_crops_than_the_policy_takes_are_not_believed():
    """They would come into a batch."""
    lone = policy_of("crops1-224-native-v1")
    _, text, arrays = split(wire.pack_pixels(replace(PIXELS, preprocess_id=lone.preprocess_id), 0.0))
    with pytest.raises(reply.ReplyGarbled):
        reply.read_pixels(reply.PixelFacts.read(text), arrays, lone)


@given(st.binary(min_size=wire.REPLY.size, max_size=wire.REPLY.size))
def test_a_head_never_asks_for_more_memory_than_a_reply_takes(head):
    """Property: the lengths are bounded before a byte is read."""
    try:
        _, text, arrays = reply.read_head(head)
    except reply.ReplyGarbled:
        return
    assert text <= reply.MAX_FACTS_BYTES
    assert arrays <= reply.MAX_ARRAY_BYTES
