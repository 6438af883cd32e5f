import json

import numpy as np
import pytest

from model import decoder_wire as wire
from model.decode import from_array
from model.pixels import cut
from schemas.errors import DeepTraceError, ImageTruncated, leaves


def _split(parts: "list[wire.Buffer]") -> tuple[wire.Kind, dict[str, object], memoryview]:
    frame = b"".join(parts)
    kind, text, arrays = wire.REPLY.unpack(frame[: wire.REPLY.size])
    body = frame[wire.REPLY.size :]
    assert len(body) == text + arrays
    return wire.Kind(kind), json.loads(body[:text]), memoryview(body[text:])


def test_pixels_come_out_as_they_went_in():
    """Every array bit for bit, every fact, in types as before."""
    sent = cut(from_array(np.random.default_rng(3).integers(0, 256, (260, 300, 3), dtype=np.uint8)), seed=b"x")
    kind, facts, arrays = _split(wire.pack_pixels(sent, 1.5))
    got = wire.unpack_pixels(facts, arrays)
    assert (kind, facts["cpu_s"]) == (wire.Kind.PIXELS, 1.5)
    for name in ("crops", "boxes", "view", "thumb"):
        assert np.array_equal(getattr(got, name), getattr(sent, name))
        assert getattr(got, name).dtype == getattr(sent, name).dtype
    for name in ("format", "width", "height", "frames", "flags", "preprocess_id"):
        assert getattr(got, name) == getattr(sent, name)


def test_an_error_keeps_its_class_and_words():
    """What, why and remedy reach the dead letter."""
    kind, facts, _ = _split(wire.pack_error(ImageTruncated("cut", why="short", remedy="again"), 0.0))
    error = wire.unpack_error(facts)
    assert kind is wire.Kind.ERROR
    assert (type(error), error.message, error.why, error.remedy) == (ImageTruncated, "cut", "short", "again")


@pytest.mark.parametrize("leaf", list(leaves(DeepTraceError)), ids=lambda leaf: leaf.__name__)
def test_every_error_of_the_tree_has_a_code_of_its_own(leaf):
    """Classes are looked up by code, so no two may share one."""
    _, facts, _ = _split(wire.pack_error(leaf("x"), 0.0))
    assert type(wire.unpack_error(facts)) is leaf
