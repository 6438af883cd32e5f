"""Which class lists can be served."""

import pytest

from model.class_list import check_classes
from schemas.errors import CheckpointRefused


@pytest.mark.parametrize(
    "classes", [("real",), ("flux", "dalle3"), ("real", "real"), ("real", "unknown_generator")], ids=str
)
def test_a_class_list_no_verdict_can_be_made_from_is_refused(classes):
    """At start, not at the first image."""
    with pytest.raises(CheckpointRefused, match="class list cannot be used"):
        check_classes(classes)


def test_forty_classes_of_twenty_letters_can_be_served():
    """With a version and a training set of usual lengths."""
    classes = [f"generator_number_{n:03d}" for n in range(39)]
    check_classes([*classes, "real"], version="2026-11-22-1", training_data="simulated-v1")


def test_a_class_list_that_no_verdict_could_hold_is_refused():
    """Forty names of 64 letters are in every verdict, which has at most 8 KiB; the error says how much too much."""
    classes = [f"{n:02d}".ljust(64, "x") for n in range(39)]
    with pytest.raises(CheckpointRefused, match=r"too long: .* \d{4} bytes of the 1280") as caught:
        check_classes([*classes, "real"])
    assert "shorter names" in caught.value.remedy
