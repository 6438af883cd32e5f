"""What is counted of images."""

import base64
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.observed import SIZES, rows_of, seen

from streams.drift.aggregate import MAX_NAMES, OTHERS, Aggregate, SampleSizes, aggregate_of

EMBEDDING = base64.b64encode(bytes(32)).decode()


def made_up(draw: random.Random, count: int) -> list:
    """Images of two models with different classes, some withheld, some without probabilities, some novel."""
    images = []
    for index in range(count):
        model = draw.choice(["m1", "m2"])
        classes = ("real", "flux") if model == "m1" else ("real", "flux", "midjourney")
        weights = [draw.random() + 0.01 for _ in classes]
        probs = tuple(weight / sum(weights) for weight in weights) if draw.random() < 0.9 else ()
        images.append(
            seen(
                draw.uniform(100, 110),
                outcome_id=f"id-{index}-{draw.random()}",
                source=draw.choice([*classes, None, "unknown_generator"]),
                probs=probs,
                confidence=draw.choice([None, draw.random()]),
                model=model,
                classes=classes,
                embedding=EMBEDDING if draw.random() < 0.2 else None,
            )
        )
    return images


def test_counts_by_class_and_sums_probabilities() -> None:
    """There are hard counts, summed probabilities, verdicts, undecided ones, confidences of the decided, and the models that judged."""
    total = aggregate_of(
        rows_of(
            [
                seen(101, source="flux", probs=(0.3, 0.7), confidence=0.7),
                seen(102, source=None, probs=(0.5, 0.5), confidence=0.5, model="m2"),
                seen(103, source="real", probs=(1, 0), confidence=1),
                seen(104, source="unknown_generator", verdict="ai_generated"),
                seen(105, source=None, verdict="not_assessable"),
            ]
        ),
        SIZES,
    )
    assert (total.images, total.undecided) == (5, 2)
    assert total.counts == {"flux": 1, "real": 1, "unknown_generator": 1}
    assert total.verdicts == {"ai_generated": 2, "inconclusive": 1, "real": 1, "not_assessable": 1}
    assert total.sums == {"real": 1.8 * 60_000, "flux": 1.2 * 60_000}
    assert total.histogram == (0, 0, 0, 0, 0, 0, 0, 1, 0, 1)
    assert total.confidence_sum == 1.7 * 60_000
    assert (total.scored, total.rejected) == (5, 0)
    assert total.models == {"m1", "m2"}
    assert len(total.sample) == 3


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(0, 150), pieces=st.integers(1, 8))
def test_any_order_and_any_pieces_give_the_same(seed, count, pieces) -> None:
    """Counting in one go and merging parts in random order give equal bytes: counts, sums, sample and rejects."""
    draw = random.Random(seed)
    images = made_up(draw, count)
    whole = aggregate_of(rows_of(images), SIZES)
    draw.shuffle(images)
    merged = Aggregate()
    for piece in range(pieces):
        merged = merged.merged(aggregate_of(rows_of(images[piece::pieces]), SIZES), SIZES)
    assert merged.to_bytes() == whole.to_bytes()
    assert len(whole.sample) == min(SIZES.images, sum(1 for one in images if one.probs))
    assert len(whole.rejects) == min(SIZES.rejects, sum(1 for one in images if one.reject))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(0, 100))
def test_an_aggregate_reads_back(seed, count) -> None:
    """What the table keeps of a window is the window."""
    total = aggregate_of(rows_of(made_up(random.Random(seed), count)), SIZES)
    assert Aggregate.from_json(total.to_json()).to_bytes() == total.to_bytes()


def test_the_sample_is_of_the_smallest_fingerprints() -> None:
    """It is drawn by the hash of the ids, so it depends on nothing else."""
    images = [seen(100 + n / 100, probs=(0.5, 0.5)) for n in range(200)]
    kept = aggregate_of(rows_of(images), SampleSizes(10, 0)).sample.fingerprints()
    assert kept == sorted(one.fingerprint for one in images)[:10]


@pytest.mark.parametrize("order", [1, -1])
def test_names_without_end_are_bounded(order) -> None:
    """A broken producer may invent classes; the first in the alphabet are named, the rest counted together, however they are merged."""
    names = [f"class-{n:04}" for n in range(MAX_NAMES + 50)][::order]
    parts = [rows_of([seen(100 + n, source=name)]) for n, name in enumerate(names)]
    total = Aggregate()
    for part in parts:
        total = total.merged(aggregate_of(part, SIZES), SIZES)
    assert len(total.counts) == MAX_NAMES + 1
    assert total.counts[OTHERS] == 50
    assert "class-0000" in total.counts
