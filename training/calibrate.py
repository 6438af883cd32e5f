"""The stage `calibrate`: a trained checkpoint in, the same weights with temperatures, rules of abstention and a profile of its answers out.

Everything is fitted on images that training never saw, laundered like those that arrive in production. What the images were before is another
population: the report card shows each condition by itself.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from model.abstention import Abstention
from model.checkpoint import Loaded, load, save
from model.config import Temperatures
from model.open_set import OpenSet
from model.policy import policy_of
from schemas.calibration import CalibrationProfile
from schemas.verdict import REAL
from training.conditions import CLEAN, require_condition
from training.conformal import conformal_rule
from training.corpus.build import Map
from training.image_sets import drawn, images_of, require_classes
from training.manifest import Manifest
from training.metrics import ece, nll
from training.open_set import LEAST_IMAGES, fit_landmarks, fit_open_set, novelty_rule
from training.params import CalibrateParams
from training.profile import cross_fitted_profile
from training.scores import Advance, Answers, answers
from training.served import Image
from training.temperature import fit_temperatures
from training.thresholds import decision_rule

LEAST_A_CLASS: Final = 20
"""Calibration images of each class. A rate of 5 % cannot be promised from fewer than 19 photographs, and a temperature means little then."""

OPEN_SET_IMAGES: Final = 120
"""Training images of each class that the open-set score is fitted on; the means and covariances of n logits need no more."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The written checkpoint, and what was fitted."""

    path: Path
    sha256: str
    temperatures: Temperatures
    abstention: Abstention
    profile: CalibrationProfile
    facts: dict[str, Any]


def calibrate_checkpoint(
    checkpoint: Path,
    manifest: Manifest,
    out: Path,
    ordered_map: Map,
    *,
    params: CalibrateParams,
    say: Say = lambda _: None,
    advance: Advance = lambda _: None,
) -> Calibrated:
    """Fit temperatures, decision rule, open set and label sets on the split `calibration`, and write a new checkpoint.

    Raises `UsageError` where a class of the checkpoint has fewer than 20 calibration or 10 training images, where an asked rate needs more images
    than there are, or where the manifest has classes that the checkpoint does not know; `CheckpointRefused` for the checkpoint itself.
    """
    started = time.monotonic()
    condition = require_condition(params.condition)
    loaded = load(checkpoint)
    classes = loaded.meta.config.classes
    held_out = images_of(manifest, "calibration", classes)
    require_classes(held_out, classes, split="calibration", least=LEAST_A_CLASS)
    known = images_of(manifest, "train", classes)
    require_classes(known, classes, split="train", least=LEAST_IMAGES)

    def score(
        images: Sequence[Image], under: str, open_set: OpenSet | None = None, *, keep_joint: bool = False
    ) -> Answers:
        say(f"{len(images)} images, {under}")
        return answers(
            loaded.network,
            images,
            under,
            ordered_map,
            seed=params.seed,
            policy=policy_of(loaded.meta.preprocess_id),
            open_set=open_set,
            keep_joint=keep_joint,
            advance=advance,
        )

    chosen = drawn(known, OPEN_SET_IMAGES, seed=params.seed)
    taught = [score(chosen, under, keep_joint=True) for under in dict.fromkeys((CLEAN, condition))]
    open_set = replace(fit_open_set(taught), landmarks=fit_landmarks(loaded.network, taught))
    calibration = score(held_out, condition, open_set)
    temperatures = fit_temperatures(calibration, real_logit_shift=params.real_logit_shift)
    abstention = rules(calibration, temperatures, params)
    bare = loaded.meta.model_copy(update={"temperatures": temperatures, "abstention": abstention, "profile": None})
    profile = cross_fitted_profile(calibration, bare.calibration_id, params)
    sha256 = save(out, loaded.network, bare.model_copy(update={"profile": profile}), open_set)
    facts = _facts(loaded, calibration, temperatures, time.monotonic() - started)
    return Calibrated(out, sha256, temperatures, abstention, profile, facts)


def rules(calibration: Answers, temperatures: Temperatures, params: CalibrateParams) -> Abstention:
    """Fit every rule of abstention on calibrated answers that carry a novelty."""
    probs, labels = calibration.probs(temperatures), calibration.labels
    real = calibration.classes.index(REAL)
    assert calibration.novelty is not None
    return Abstention(
        fitted_on=calibration.condition,
        decision=decision_rule(
            1 - probs[:, real],
            labels != real,
            false_positive_rate=params.false_positive_rate,
            false_negative_rate=params.false_negative_rate,
        ),
        novelty=novelty_rule(calibration.novelty, params.false_rejection_rate),
        conformal=conformal_rule(probs, labels, params.coverage),
    )


def _facts(loaded: Loaded, calibration: Answers, temperatures: Temperatures, seconds: float) -> dict[str, Any]:
    labels = calibration.labels
    raw, fitted = calibration.branches["fused"].probs(), calibration.probs(temperatures)
    counts = np.bincount(labels, minlength=len(calibration.classes))
    return {
        "calibrated": loaded.sha256,
        "condition": calibration.condition,
        "images": dict(zip(calibration.classes, (int(count) for count in counts), strict=True)),
        "refused": dict(calibration.refused),
        "ece": {"before": round(ece(raw, labels), 4), "after_on_the_same_images": round(ece(fitted, labels), 4)},
        "nll": {"before": round(nll(raw, labels), 4), "after_on_the_same_images": round(nll(fitted, labels), 4)},
        "seconds": round(seconds, 1),
    }
