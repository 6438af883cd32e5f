"""How well images of generators that were never taught are told from those that were, by three scores, on the same images."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from model.config import Temperatures
from schemas.verdict import REAL
from training.intervals import cluster_bootstrap
from training.metrics import Floats, Ints, auroc
from training.probe import Probed
from training.report.figures import Rules, a_figure, share, shares_of
from training.report.schema import Figure, LeftOut, OpenSetFigures
from training.report.verdicts import verdicts_of
from training.scores import Answers
from training.selective import oscr
from training.served import UNKNOWN

NOVELTY: Final = "novelty"
MAX_PROBABILITY: Final = "max_probability"
ENERGY: Final = "energy"


def open_set_figures(
    known: Answers, beside: Answers | None, unknown: Answers, rules: Rules, names: Mapping[str, str]
) -> OpenSetFigures:
    """Hold answers to images of unknown classes against those to known ones, both under one condition.

    `beside` are photographs of the same scenes and sources as the unknown: with them it is asked whether the unknown are told from photographs
    at all. `names` is the class of each file: what an unknown generator is called. Intervals draw units of all sides again.
    """
    inside, outside = (score_table(side, rules) for side in (known, unknown))
    right = known.probs(rules.temperatures).argmax(axis=1) == known.labels
    photographs = [part for part in (known.where(~known.is_ai), beside) if part is not None and len(part.images)]
    cleared = np.concatenate([_p_ai(part, rules) for part in photographs]) if photographs else np.empty(0)
    suspected = _p_ai(unknown, rules)
    units = np.concatenate(
        [
            np.char.add("known ", known.units),
            np.char.add("unknown ", unknown.units),
            np.char.add("known ", known.units[~known.is_ai]),
            *([np.char.add("unknown ", beside.units)] if beside is not None and len(beside.images) else []),
        ]
    )
    first, second = len(known.images), len(known.images) + len(unknown.images)
    is_ai = known.is_ai

    def measure(rows: Ints) -> dict[str, float]:
        ours, theirs = rows[rows < first], rows[(rows >= first) & (rows < second)] - first
        found = {}
        for name in inside:
            found[f"all {name}"] = separation(inside[name][ours], outside[name][theirs])
            found[f"generated {name}"] = separation(inside[name][ours[is_ai[ours]]], outside[name][theirs])
            found[f"oscr {name}"] = oscr(-inside[name][ours], right[ours], -outside[name][theirs])
        found["detected"] = separation(cleared[rows[rows >= second] - second], suspected[theirs])
        return found

    values = measure(np.arange(len(units)))
    edges = cluster_bootstrap(measure, units, seed=rules.seed, rounds=rules.rounds)

    def table(kind: str) -> dict[str, Figure]:
        return {name: a_figure(values[f"{kind} {name}"], edges.get(f"{kind} {name}")) for name in inside}

    shares = None
    if rules.abstention is not None:
        shares = shares_of(verdicts_of(unknown, rules.temperatures, rules.abstention), unknown, rules)
    return OpenSetFigures(
        unknown=len(unknown.images),
        known=first,
        by_generator=dict(sorted(Counter(names[image.name] for image in unknown.images).items())),
        auroc=table("all"),
        auroc_against_generated=table("generated"),
        oscr=table("oscr"),
        detected=a_figure(values["detected"], edges.get("detected")),
        shares=shares,
    )


def left_out_figures(probed: Probed, rules: Rules) -> LeftOut:
    """Return how well a class is told from the others by a head that never saw it. The head is not calibrated: temperature 1."""
    plain = replace(rules, temperatures=Temperatures(), abstention=None)
    names = dict.fromkeys((image.name for image in probed.unknown.images), "")
    figures = open_set_figures(probed.known, None, probed.unknown, plain, names)
    right = probed.known.probs(plain.temperatures).argmax(axis=1) == probed.known.labels
    return LeftOut(
        known_accuracy=share(right, probed.known.units, plain),
        unknown=figures.unknown,
        auroc=figures.auroc,
        oscr=figures.oscr,
    )


def score_table(answers: Answers, rules: Rules) -> dict[str, Floats]:
    """Return every score of being unknown; higher is less known."""
    table = {} if answers.novelty is None else {NOVELTY: answers.novelty}
    table[MAX_PROBABILITY] = 1 - answers.probs(rules.temperatures).max(axis=1)
    table[ENERGY] = answers.branches["fused"].energy()
    return table


def separation(known: Floats, unknown: Floats) -> float:
    """AUROC of the unknown above the known; NaN where a side is empty."""
    return auroc(np.concatenate([known, unknown]), np.arange(len(known) + len(unknown)) >= len(known))


def only_unknown(answers: Answers) -> Answers:
    """Return the answers to images of classes that were never taught."""
    return answers.where(answers.labels == UNKNOWN)


def _p_ai(answers: Answers, rules: Rules) -> Floats:
    return np.asarray(1 - answers.probs(rules.temperatures)[:, answers.classes.index(REAL)])
