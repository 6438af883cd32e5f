"""What a report is made of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.drift.reports.content import MAX_ROWS, Normal, apportioned, content_of


def test_small_counts_are_taken_as_they_are():
    """A row for each image; the reference as many as it rests on."""
    made = content_of(
        "t",
        {"real": 7, "flux": 3},
        Normal({"real": 0.75, "flux": 0.25}, images=8, confidence=(0,) * 9 + (8,)),
        threshold=0.25,
        confidence=(0,) * 8 + (4, 6),
    )
    assert (made.current, made.reference) == ({"real": 7, "flux": 3}, {"real": 6, "flux": 2})
    assert (made.current_confidence, made.reference_confidence) == ((0,) * 8 + (4, 6), (0,) * 9 + (8,))


def test_large_counts_are_scaled_down():
    """Ten million images are no ten million rows; their shares stay."""
    made = content_of("t", {"real": 9_000_000, "flux": 1_000_000}, Normal({"real": 1.0}), threshold=0.25)
    assert made.current == {"real": MAX_ROWS * 9 // 10, "flux": MAX_ROWS // 10}
    assert sum(made.reference.values()) <= MAX_ROWS


@pytest.mark.parametrize("confidence", [None, (0,) * 10])
def test_without_two_histograms_there_is_no_confidence(confidence):
    """A reference of the settings has none."""
    made = content_of(
        "t", {"real": 1}, Normal({"real": 1.0}, confidence=(1,) * 10), threshold=0.25, confidence=confidence
    )
    assert (made.current_confidence, made.reference_confidence) == (None, None)


@pytest.mark.parametrize(("counts", "shares"), [({}, {"real": 1.0}), ({"real": 0}, {"real": 1.0}), ({"real": 1}, {})])
def test_nothing_cannot_be_compared(counts, shares):
    """An empty window makes Evidently raise; here it is said before."""
    with pytest.raises(ValueError, match="nothing to compare"):
        content_of("t", counts, Normal(shares), threshold=0.25)


@given(
    st.dictionaries(st.text(max_size=3), st.integers(0, 10**6), min_size=1, max_size=8).filter(
        lambda table: sum(table.values()) > 0
    ),
    st.integers(1, 5000),
)
def test_rows_are_apportioned(weights, rows):
    """They sum to what was asked for, and none is a whole row from its share."""
    made = apportioned(weights, rows)
    assert sum(made.values()) == rows
    total = sum(weights.values())
    assert all(abs(made[name] - weight * rows / total) < 1 for name, weight in weights.items())
