"""Rows between wire, table and memory."""

import base64
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.observed import rows_of, seen

from schemas.errors import MessageInvalid
from schemas.observations import ObservationBatch
from streams.drift.rows import Rows, joined, probabilities


def test_rows_read_back() -> None:
    """What is sent is what is received."""
    rows = rows_of([seen(101, probs=(0.25, 0.75), confidence=0.75), seen(102, source=None)])
    back = Rows.from_message(ObservationBatch.from_bytes(rows.to_message("acme").to_bytes()))
    assert back.table.tobytes() == rows.table.tobytes()
    assert (back.models, back.sources) == (rows.models, rows.sources)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"count": 2}, "not as many"),
        ({"width": 3}, "whole rows"),
        ({"rows": "!"}, "whole rows"),
        ({"sources": ()}, "points to nothing"),
        ({"models": ()}, "points to nothing"),
        ({"rows": base64.b64encode(b"\xff" * 26).decode()}, "points to nothing"),
        ({"width": 1, "rows": base64.b64encode(bytes(24)).decode()}, "more classes"),
    ],
)
def test_rows_that_do_not_fit_are_refused(changes, why) -> None:
    """A record that somebody else wrote onto the topic is skipped, with what is wrong about it."""
    message = rows_of([seen(101)]).to_message("acme").model_copy(update=changes)
    with pytest.raises(MessageInvalid, match=why):
        Rows.from_message(message)


@given(seed=st.integers(0, 2**32), parts=st.integers(0, 6))
def test_joining_keeps_every_row(seed, parts) -> None:
    """Under common codes each image has the model, source and probabilities that it had, whatever the widths."""
    draw = random.Random(seed)
    pieces = []
    for part in range(parts):
        classes = tuple(draw.sample(["real", "flux", "midjourney", "dalle3"], k=draw.randrange(1, 5)))
        weights = [draw.randrange(1, 5) / 20 for _ in classes]
        pieces.append(
            [
                seen(
                    100 + part + n / 10,
                    source=draw.choice([*classes, None]),
                    probs=tuple(weights),
                    classes=classes,
                    model=draw.choice(["m1", "m2"]),
                )
                for n in range(draw.randrange(4))
            ]
        )
    rows = joined([rows_of(piece) for piece in pieces])
    images = [one for piece in pieces for one in piece]
    assert rows.fingerprints() == [one.fingerprint for one in images]
    for row, one in zip(rows.table, images, strict=True):
        model = rows.models[row["model"]]
        assert (model.version, model.classes) == (one.model.version, one.model.classes)
        assert (rows.sources[row["source"] - 1] if row["source"] else None) == one.source
        assert tuple(row["probs"][: len(model.classes)].tolist()) == one.probs


def test_probabilities_sum_to_one_again() -> None:
    """They were rounded one by one."""
    rows = rows_of([seen(101, probs=(1 / 3, 2 / 3)), seen(102, probs=(0.1, 0.9001)), seen(103)])
    probs, novel = probabilities(rows, 0)
    assert probs.sum(axis=1) == pytest.approx([1, 1])
    assert probs[0] == pytest.approx([1 / 3, 2 / 3], abs=2e-5)
    assert novel.tolist() == [False, False]
    assert probs.dtype == np.float64
