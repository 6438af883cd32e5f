import pytest

from model.pixels import preprocess
from schemas import topics
from schemas.errors import ImageRejected, MessageRejected, ObjectRejected, Transient
from schemas.image_ref import ImageRef, ObjectRef
from schemas.incoming import Intake, Record, Reference, RejectedReference
from streams.demo.bad_references import BadReference, bad_references

BAD = bad_references()
INTAKE = Intake(frozenset({"deeptrace-images"}), "deeptrace-overlays", "overlays/")
REF = ImageRef(event_id="e1", image_id="i1", object=ObjectRef(bucket="deeptrace-images", key="uploads/a.jpg"))


def of(kind: type[Exception]) -> list[BadReference]:
    return [bad for bad in BAD if issubclass(bad.expected, kind)]


def read(bad: BadReference) -> Reference | RejectedReference:
    [incoming] = INTAKE.read(Record(topics.IMAGES, 0, 0, None, bad.spoil(REF.to_json())))
    return incoming


@pytest.mark.parametrize("bad", of(MessageRejected), ids=lambda bad: bad.name)
def test_a_bad_message_is_rejected_as_it_must_be(bad: BadReference) -> None:
    """Reading a spoiled message gives exactly the error that the demo expects for it."""
    incoming = read(bad)

    assert isinstance(incoming, RejectedReference)
    assert type(incoming.error) is bad.expected


@pytest.mark.parametrize("bad", of(ImageRejected), ids=lambda bad: bad.name)
def test_a_bad_image_is_rejected_as_it_must_be(bad: BadReference) -> None:
    """The reference to a bad image is honest, and decoding gives exactly the error that the demo expects."""
    assert isinstance(read(bad), Reference)
    with pytest.raises(bad.expected) as caught:
        preprocess(bad.data, seed=b"seed")

    assert caught.type is bad.expected


@pytest.mark.parametrize("bad", [*of(ObjectRejected), *of(Transient)], ids=lambda bad: bad.name)
def test_a_bad_object_is_referenced_by_a_valid_message(bad: BadReference) -> None:
    """What is wrong with it can only be seen in the store."""
    assert isinstance(read(bad), Reference)


def test_every_kind_of_fault_is_there_under_its_own_name() -> None:
    """Messages, objects and images are all bad on purpose, and no two carry one name."""
    assert len({bad.name for bad in BAD}) == len(BAD) >= 8
    assert of(MessageRejected)
    assert of(ObjectRejected)
    assert of(ImageRejected)
    assert of(Transient)


def test_the_bomb_is_a_tiny_file() -> None:
    """400 million pixels come as less than 64 KiB."""
    [bomb] = [bad for bad in BAD if bad.name == "bomb.png"]

    assert len(bomb.data) < 64 * 1024
