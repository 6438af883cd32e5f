"""How a checkpoint does on simulated tests: by condition, on decoders it never saw, and branch by branch."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from model.config import Temperatures
from model.network import Ensemble
from model.policy import DEFAULT_POLICY, PixelPolicy
from training.corpus.build import CLASSES, Example, Map
from training.dataset import served_batches
from training.metrics import Floats, Ints, accuracy, auroc, brier, cluster_bootstrap, ece, nll, wilson
from training.scores import BRANCHES, Scored, score
from training.shots import CONDITIONS, JPEG_SWEEP

Figures = dict[str, Any]
BATCH_SIZE = 25
SWEEP_TOLERANCE = 0.03


def score_condition(
    network: Ensemble,
    examples: Sequence[Example],
    condition: str,
    ordered_map: Map,
    *,
    seed: int,
    policy: PixelPolicy = DEFAULT_POLICY,
) -> Scored:
    """Score all examples as serving would see them under one of CONDITIONS."""
    return score(
        network,
        served_batches(examples, ordered_map, seed=seed, condition=condition, batch_size=BATCH_SIZE, policy=policy),
    )


def figures_of(probs: Floats, labels: Ints, groups: Ints, *, seed: int) -> Figures:
    """Every figure of one set, with n and 95 % intervals: Wilson's, and by scenes drawn again."""
    n = len(labels)
    right, is_real = accuracy(probs, labels), labels == CLASSES.index("real")
    p_ai = 1 - probs[:, CLASSES.index("real")]
    return _rounded(
        {
            "n": n,
            "accuracy": right,
            "accuracy_wilson_95": wilson(right, n),
            "accuracy_scene_bootstrap_95": cluster_bootstrap(
                lambda rows: accuracy(probs[rows], labels[rows]), groups, seed=seed
            ),
            "real_vs_ai_auroc": auroc(p_ai, ~is_real),
            "ece": ece(probs, labels),
            "brier": brier(probs, labels),
            "nll": nll(probs, labels),
        }
    )


def evaluate(
    network: Ensemble,
    temperatures: Temperatures,
    test: Sequence[Example],
    unseen: Sequence[Example],
    ordered_map: Map,
    *,
    seed: int,
    policy: PixelPolicy = DEFAULT_POLICY,
) -> Iterator[tuple[str, Figures]]:
    """Yield (name, figures) as they come: each condition, then the same scenes from unseen decoder checkpoints.

    `branches` holds each branch on its own, `before_calibration` the ensemble at temperature 1.
    """
    for name, examples in (("", test), ("unseen_", unseen)):
        for condition in CONDITIONS if not name else CONDITIONS[:2]:
            scored = score_condition(network, examples, condition, ordered_map, seed=seed, policy=policy)
            probs = {b: scored.branches[b].probs(getattr(temperatures, b)) for b in BRANCHES}
            figures = figures_of(probs["fused"], scored.labels, scored.groups, seed=seed)
            raw = scored.branches["fused"].probs()
            figures["before_calibration"] = _rounded({"ece": ece(raw, scored.labels), "nll": nll(raw, scored.labels)})
            figures["branches"] = {
                b: _rounded({"accuracy": accuracy(probs[b], scored.labels), "ece": ece(probs[b], scored.labels)})
                for b in BRANCHES[1:]
            }
            figures["confusion"] = _confusion(probs["fused"], scored.labels)
            yield name + condition, figures


def bars_met(figures: Mapping[str, Figures]) -> dict[str, bool]:
    """Hold the figures against what an honest simulation should show: neither a toy nor a failure."""
    clean, laundered = figures["clean"]["accuracy"], figures["laundered"]["accuracy"]
    sweep = [figures[f"jpeg_q{quality}"]["accuracy"] for quality in JPEG_SWEEP]
    return {
        "clean accuracy .90 to .98": 0.90 <= clean <= 0.98,  # noqa: PLR2004
        "laundered accuracy .55 to .80": 0.55 <= laundered <= 0.80,  # noqa: PLR2004
        "accuracy falls with JPEG quality (tolerance .03)": all(
            later <= earlier + SWEEP_TOLERANCE for earlier, later in pairwise(sweep)
        ),
        "unseen decoder checkpoints are harder, clean": figures["unseen_clean"]["accuracy"] < clean,
        "unseen decoder checkpoints are harder, laundered": figures["unseen_laundered"]["accuracy"] < laundered,
        "ECE on laundered below .08": figures["laundered"]["ece"] < 0.08,  # noqa: PLR2004
    }


def _confusion(probs: Floats, labels: Ints) -> list[list[int]]:
    """Counts by true class (rows) and predicted class (columns), in the order of CLASSES."""
    table = np.zeros((len(CLASSES), len(CLASSES)), dtype=int)
    np.add.at(table, (labels, probs.argmax(axis=1)), 1)
    return [[int(count) for count in row] for row in table]


def _rounded(figures: Figures) -> Figures:
    def short(value: Any) -> Any:
        if isinstance(value, tuple):
            return [short(part) for part in value]
        return round(value, 4) if isinstance(value, float) else value

    return {name: short(value) for name, value in figures.items()}
