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


def open_set_figures(known: Answers, unknown: Answers, rules: Rules, names: Mapping[str, str]) -> OpenSetFigures:
    """Hold answers to images of unknown classes against those to known ones, both under one condition.

    `names` is the class of each file: what an unknown generator is called. Intervals draw units of both sides again.
    """
    scores = [score_table(side, rules) for side in (known, unknown)]
    right = known.probs(rules.temperatures).argmax(axis=1) == known.labels
    p_ai = [1 - side.probs(rules.temperatures)[:, known.classes.index(REAL)] for side in (known, unknown)]
    units = np.concatenate([np.char.add("known ", known.units), np.char.add("unknown ", unknown.units)])
    count, is_ai = len(known.images), known.is_ai

    def measure(rows: Ints) -> dict[str, float]:
        ours, theirs = rows[rows < count], rows[rows >= count] - count
        found = {}
        for name, (inside, outside) in ((name, (scores[0][name], scores[1][name])) for name in scores[0]):
            found[f"all {name}"] = separation(inside[ours], outside[theirs])
            found[f"generated {name}"] = separation(inside[ours[is_ai[ours]]], outside[theirs])
            found[f"oscr {name}"] = oscr(-inside[ours], right[ours], -outside[theirs])
        found["detected"] = separation(p_ai[0][ours[~is_ai[ours]]], p_ai[1][theirs])
        return found

    values = measure(np.arange(len(units)))
    edges = cluster_bootstrap(measure, units, seed=rules.seed, rounds=rules.rounds)

    def table(kind: str) -> dict[str, Figure]:
        return {name: a_figure(values[f"{kind} {name}"], edges.get(f"{kind} {name}")) for name in scores[0]}

    shares = rejected = asked = None
    if rules.abstention is not None and rules.abstention.novelty is not None:
        shares = shares_of(verdicts_of(unknown, rules.temperatures, rules.abstention), unknown, rules)
        rejected = share(verdicts_of(known, rules.temperatures, rules.abstention).novel, known.units, rules)
        asked = rules.abstention.novelty.false_rejection_rate
    return OpenSetFigures(
        unknown=len(unknown.images),
        known=count,
        by_generator=dict(sorted(Counter(names[image.name] for image in unknown.images).items())),
        auroc=table("all"),
        auroc_against_generated=table("generated"),
        oscr=table("oscr"),
        detected=a_figure(values["detected"], edges.get("detected")),
        shares=shares,
        rejected_known=rejected,
        rejected_known_asked=asked,
    )


def left_out_figures(probed: Probed, rules: Rules) -> LeftOut:
    """Return how well a class is told from the others by a head that never saw it. The head is not calibrated: temperature 1."""
    plain = replace(rules, temperatures=Temperatures(), abstention=None)
    names = dict.fromkeys((image.name for image in probed.unknown.images), "")
    figures = open_set_figures(probed.known, probed.unknown, plain, names)
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
