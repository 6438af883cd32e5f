"""What a report card says beside its figures: which checkpoint, which images, what comes first, and how to read it."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any, Final

from model.checkpoint import Loaded
from model.checkpoint_meta import CheckpointMeta
from schemas.verdict import REAL
from training.conditions import CLEAN, LAUNDERED
from training.items import units_of
from training.manifest import SPLITS, Manifest
from training.report.schema import CheckpointCard, DataCard, OpenSetFigures, SetFigures, SplitCard, TrueImages
from training.scores import Answers

_SIMULATED: Final = "demo_simulated"
_SHOWN: Final = 40  # sources and licences, the most frequent


def checkpoint_card(loaded: Loaded, path: Path) -> CheckpointCard:
    """Say which checkpoint this is, by its hash, and what it may be taken for."""
    meta = loaded.meta
    return CheckpointCard(
        file=path.name,
        sha256=loaded.sha256,
        bytes=path.stat().st_size,
        version=meta.version,
        kind=meta.kind,
        claims="none" if meta.kind == _SIMULATED else "on the population of the test split only",
        training_data=meta.training_data,
        note=meta.note,
        classes=list(meta.config.classes),
        preprocess_id=meta.preprocess_id,
        calibration_id=meta.calibration_id,
        temperatures=meta.temperatures.model_dump(),
        abstention=None if meta.abstention is None else meta.abstention.model_dump(),
        backbones={"cnn": meta.config.cnn.name, "vit": meta.config.vit.name, "fft": str(meta.config.fft_features)},
        parameters=sum(parameter.numel() for parameter in loaded.network.parameters()),
    )


def data_card(manifest: Manifest, judged: Iterable[Answers], audit: dict[str, Any] | None) -> DataCard:
    """Say which images these are."""
    splits = {}
    for split in (*SPLITS, ""):
        if rows := manifest.of(split):
            splits[split or "(none)"] = SplitCard(
                images=len(rows),
                units=len(set(units_of(rows))),
                by_class=dict(sorted(Counter(row.label for row in rows).items())),
            )
    digest = hashlib.sha256(json.dumps([astuple(row) for row in manifest.rows]).encode())
    return DataCard(
        manifest_sha256=digest.hexdigest(),
        splits=splits,
        sources=dict(Counter(row.source or "unknown" for row in manifest.rows).most_common(_SHOWN)),
        licences=dict(Counter(row.licence or "unknown" for row in manifest.rows).most_common(_SHOWN)),
        refused=dict(sorted({name: code for part in judged for name, code in part.refused}.items())),
        audit=audit,
    )


def headline_of(
    sets: Mapping[str, Mapping[str, SetFigures]],
    open_set: Mapping[str, OpenSetFigures],
    outside: TrueImages | None,
) -> dict[str, float]:
    """Return what is put first: figures that are undefined are left out."""
    found: dict[str, float | None] = {}
    for condition in (CLEAN, LAUNDERED):
        figures = sets["test"][condition]
        found[f"accuracy_{condition}"] = figures.accuracy.value
        found[f"macro_f1_{condition}"] = figures.macro_f1.value
        found[f"auroc_{condition}"] = figures.auroc.value
        found[f"tpr_at_fpr_1_{condition}"] = figures.tpr_at_fpr[0].tpr.value
        found[f"ece_{condition}"] = figures.calibration.ece.value
    laundered = sets["test"][LAUNDERED]
    found["coverage_at_2_percent_risk_laundered"] = laundered.which.coverage_at_2_percent_risk.value
    if laundered.decisions:
        found["false_positive_rate_laundered"] = laundered.decisions.false_positive_rate.found.value
    if laundered.label_sets:
        found["label_set_coverage_laundered"] = laundered.label_sets.coverage.value
    for split, parts in sets.items():
        if split != "test":
            found[f"accuracy_{split}_laundered"] = parts[LAUNDERED].accuracy.value
    if LAUNDERED in open_set:
        for score, figure in open_set[LAUNDERED].auroc.items():
            found[f"open_set_auroc_{score}_laundered"] = figure.value
    if outside:
        found["true_images_auroc"] = outside.auroc.value
        found["true_images_balanced_accuracy"] = outside.balanced_accuracy.value
    return {name: value for name, value in found.items() if value is not None}


def how_to_read(
    meta: CheckpointMeta, sets: Mapping[str, Mapping[str, SetFigures]], *, open_set: bool, probes: bool
) -> list[str]:
    """Return the remarks without which the figures would be taken for more than they are."""
    test = sets["test"][LAUNDERED]
    photographs = test.by_class[REAL]
    remarks = []
    if meta.kind == _SIMULATED:
        remarks.append(
            "Trained and tested on simulated images. Every figure here says how the pipeline behaves on its own simulation, and none says anything "
            "about true generators; see the true images, where chance is to be expected."
        )
    remarks += [
        "The headline is the split `test` under `laundered`, images as they arrive in production; `clean` is the kinder figure.",
        (
            f"Intervals are 95 %. Wilson's takes the {test.n} images for independent; the bootstrap draws the {test.units} units (scenes, repositories) "
            "again, and is the one to believe where a unit has several images."
        ),
        "ECE of few images is noise by some hundredths and never zero; its bootstrap interval lies too high for the same reason.",
    ]
    if photographs < 1000:  # noqa: PLR2004 - what 0.1 % needs
        remarks.append(
            f"With {photographs} photographs a false-positive rate of 0.1 % cannot be resolved"
            + (" nor one of 1 %" if photographs < 100 else "")  # noqa: PLR2004
            + ": the true-positive rate shown for it is that at no false positive at all."
        )
    if meta.abstention is None:
        remarks.append(
            "The checkpoint is not calibrated: it has no rules of abstention, and its probabilities are the raw ones."
        )
    else:
        remarks.append(
            f"Thresholds were fitted on the `{meta.abstention.fitted_on}` calibration split, and their promises (false positives, label sets, "
            "rejections) hold for images that arrive like those; under other conditions the rates are what they are, and are shown."
        )
    if open_set:
        remarks.append(
            "The generators of `unseen_generator` were in no training image. Their AUROC is over all thresholds; what the checkpoint's own threshold "
            "rejects is shown beside it, and is less."
        )
    if probes:
        remarks.append(
            "`Left out` is a probe: only the head was learnt again without the generator, on features that have seen it. It is kinder than a full "
            "training without it."
        )
    if meta.kind == _SIMULATED:
        remarks.append("One seed; the spread over seeds was not measured.")
    return remarks
