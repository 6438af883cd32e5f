"""The images of a window that its statistics rest on: those with the smallest fingerprints.

A fingerprint is a hash of the outcome id, so the sample is as good as a random one, and whoever counts the same images, in whatever order and
pieces, draws the same.
"""

from typing import Final

import numpy as np

from schemas.observations import HAS_PROBS, ObservedModel, ObservedReject
from streams.drift.rows import EMPTY, Rows, joined, row_type

MAX_MODELS: Final = 16
"""Of a window; there are more of them only where a producer is broken, and their names lie beside the sample in one record."""


def sample_of(rows: Rows, size: int) -> Rows:
    """Return at most `size` rows with probabilities, in the order of their fingerprints, in the one form that equal samples have.

    Codes are given anew, by the names of the models; what only the counts need (event time, source, confidence) is zero.
    """
    table = rows.table[rows.table["flags"] & HAS_PROBS != 0]
    used = np.unique(table["model"]).tolist() if len(rows.models) > MAX_MODELS else []
    if len({rows.models[code] for code in used}) > MAX_MODELS:
        first = sorted({rows.models[code] for code in used}, key=_model_order)[:MAX_MODELS]
        table = table[np.isin(table["model"], [code for code in used if rows.models[code] in first])]
    if len(table) > size:
        table = table[np.argpartition(table["fingerprint"], size)[:size]]
    if not len(table):
        return EMPTY
    table = table[np.argsort(table["fingerprint"], kind="stable")]
    used = np.unique(table["model"]).tolist()
    models = sorted({rows.models[code] for code in used}, key=_model_order)
    width = max(len(model.classes) for model in models)
    sample = np.zeros(len(table), row_type(width))
    for name in ("fingerprint", "flags"):
        sample[name] = table[name]
    sample["probs"] = table["probs"][:, :width]
    codes = np.zeros(len(rows.models), np.uint8)
    for code in used:
        codes[code] = models.index(rows.models[code])
    sample["model"] = codes[table["model"]]
    return Rows(sample, tuple(models))


def merged_samples(first: Rows, second: Rows, size: int) -> Rows:
    """Return the sample of all images that the two were drawn from; of more than `MAX_MODELS` models the later ones are left out."""
    if not len(first) or not len(second):
        return sample_of(joined([first, second]), size)
    models = sorted({*first.models, *second.models}, key=_model_order)[:MAX_MODELS]
    return sample_of(joined([_of_models(first, models), _of_models(second, models)]), size)


def smallest_rejects(rejects: dict[int, ObservedReject], size: int) -> dict[int, ObservedReject]:
    """Return the `size` rejects with the smallest fingerprints, in their order."""
    return {at: rejects[at] for at in sorted(rejects)[:size]}


def _of_models(sample: Rows, models: list[ObservedModel]) -> Rows:
    if all(model in models for model in sample.models):
        return sample
    kept = [code for code, model in enumerate(sample.models) if model in models]
    return sample_of(sample.take(np.isin(sample.table["model"], kept)), len(sample))


def _model_order(model: ObservedModel) -> tuple[str, str, tuple[str, ...], tuple[float, ...]]:
    return model.calibration_id, model.version, model.classes, model.prior or ()
