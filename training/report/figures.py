"""The figures of one set of images under one condition, each with its intervals."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from model.abstention import Abstention
from model.config import Temperatures
from schemas.verdict import REAL
from training.conformal import label_sets
from training.intervals import Groups, Interval, cluster_bootstrap, share_bootstrap, wilson
from training.metrics import (
    Bools,
    Floats,
    Ints,
    accuracy,
    auroc,
    balanced_accuracy,
    brier,
    classwise_ece,
    confusion,
    ece,
    macro_f1,
    nll,
    precision_at,
    reliability,
    roc,
    tpr_at_fpr,
)
from training.promises import kept_range
from training.report.schema import (
    Bin,
    Branch,
    Calibration,
    ClassFigures,
    Decisions,
    Figure,
    FixedFpr,
    LabelSets,
    Pair,
    Promise,
    Selective,
    SetFigures,
    Shares,
)
from training.report.verdicts import Verdicts, verdicts_of
from training.scores import Answers
from training.selective import RiskCoverage, risk_coverage

FIXED_FPR: Final = (0.01, 0.001)
PREVALENCES: Final = (0.01, 0.05, 0.2)
RISK: Final = 0.02
MEMBERS: Final = ("cnn", "vit", "fft")
_POINTS: Final = 60  # of a curve in the report
_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Rules:
    """What a checkpoint brings beside its weights, and how intervals are drawn."""

    temperatures: Temperatures
    abstention: Abstention | None
    seed: int
    rounds: int
    calibration_units: int | None = None  # of the split that the rules were fitted on, where it is at hand


def set_figures(answers: Answers, rules: Rules, without: Mapping[str, Floats] | None = None) -> SetFigures:
    """Return every figure of answers to images of known classes.

    `without` holds the calibrated probabilities of the ensemble with one branch's features replaced by their mean, by branch.
    """
    probs, labels = answers.probs(rules.temperatures), answers.labels
    classes, real = answers.classes, answers.classes.index(REAL)
    p_ai, is_ai = 1 - probs[:, real], labels != real
    measure = _measure(probs, labels, real)
    edges = cluster_bootstrap(measure, answers.units, seed=rules.seed, rounds=rules.rounds)
    values = measure(np.arange(len(labels)))

    def figure(name: str, n: int | None = None) -> Figure:
        return a_figure(values[name], edges.get(name), n=n)

    n, n_ai = len(labels), int(is_ai.sum())
    counts = np.bincount(labels, minlength=len(classes))
    said = np.bincount(probs.argmax(axis=1), minlength=len(classes))
    false, true = roc(p_ai, is_ai)
    raw = answers.branches["fused"].probs()
    return SetFigures(
        n=n,
        units=len(np.unique(answers.units)),
        refused=len(answers.refused),
        by_class={name: int(count) for name, count in zip(classes, counts, strict=True)},
        accuracy=figure("accuracy", n),
        balanced_accuracy=figure("balanced_accuracy"),
        macro_f1=figure("macro_f1"),
        per_class={
            name: ClassFigures(
                n=int(counts[label]),
                recall=figure(f"recall {label}", int(counts[label])),
                precision=figure(f"precision {label}", int(said[label])),
            )
            for label, name in enumerate(classes)
        },
        confusion=confusion(probs.argmax(axis=1), labels, len(classes)).tolist(),
        auroc=figure("auroc"),
        roc=thinned(zip(false, true, strict=True)),
        tpr_at_fpr=[
            FixedFpr(fpr=rate, tpr=figure(f"tpr {rate}", n_ai), photographs=n - n_ai, resolved=(n - n_ai) * rate >= 1)
            for rate in FIXED_FPR
        ],
        generator_accuracy=figure("generator_accuracy", n_ai),
        generator_macro_f1=figure("generator_macro_f1"),
        calibration=Calibration(
            ece=figure("ece"),
            classwise_ece=figure("classwise_ece"),
            brier=figure("brier"),
            nll=figure("nll"),
            before={"ece": rounded(ece(raw, labels)), "nll": rounded(nll(raw, labels))},
            reliability=[
                Bin(n=part.n, confidence=rounded(part.confidence), accuracy=rounded(part.accuracy))
                for part in reliability(probs.max(axis=1), probs.argmax(axis=1) == labels)
            ],
        ),
        which=_selective(figure, "which", risk_coverage(probs.max(axis=1), probs.argmax(axis=1) == labels)),
        whether=_selective(figure, "whether", risk_coverage(_sureness(p_ai), _right_side(p_ai, is_ai))),
        decisions=_decisions(answers, rules, p_ai, is_ai),
        label_sets=_label_sets(probs, labels, answers, rules),
        alone={name: _branch(answers.probs(rules.temperatures, name), labels, real) for name in MEMBERS},
        without={name: _branch(part, labels, real) for name, part in (without or {}).items()},
    )


def a_figure(value: float, edges: Interval | None, *, n: int | None = None) -> Figure:
    """Return a figure with its intervals; `n` marks a share of n images, which has Wilson's too."""
    if not np.isfinite(value):
        return Figure(value=None)
    return Figure(
        value=rounded(value),
        wilson_95=None if n is None else _pair(wilson(value, n)),
        bootstrap_95=None if edges is None else _pair(edges),
    )


def share(hits: Bools, units: Groups, rules: Rules) -> Figure:
    """Return the share of `hits` with both intervals; undefined for none."""
    if not len(hits):
        return Figure(value=None)
    edges = share_bootstrap(hits, units, seed=rules.seed, rounds=rules.rounds)
    return a_figure(float(hits.mean()), edges, n=len(hits))


def promise(answers: Answers, hits: Bools, asked: float, images: int, rules: Rules) -> Promise:
    """Hold a promised rate against what is found; `images` is what its threshold was fitted on.

    The range is given for the condition of the calibration only, and counts units, as if the images of one stood or fell together.
    """
    assert rules.abstention is not None
    rested_on = images if rules.calibration_units is None else min(images, rules.calibration_units)
    expected = kept_range(asked, rested_on, len(np.unique(answers.units)))
    same = answers.condition == rules.abstention.fitted_on
    return Promise(
        asked=rounded(asked),
        found=share(hits, answers.units, rules),
        kept_95=_pair(expected) if same else None,
    )


def shares_of(verdicts: Verdicts, answers: Answers, rules: Rules) -> Shares:
    """Return what became of a set of images under the checkpoint's rules."""
    units = answers.units
    return Shares(
        n=len(units),
        ai_generated=share(verdicts.ai, units, rules),
        real=share(verdicts.real, units, rules),
        inconclusive=share(verdicts.inconclusive, units, rules),
        unknown_generator=share(verdicts.unknown, units, rules),
        novel=share(verdicts.novel, units, rules),
    )


def thinned(points: Iterable[tuple[float, float]]) -> list[Pair]:
    """Return a curve with so many points as a picture can show, its ends among them."""
    every = [(rounded(x), rounded(y)) for x, y in points]
    if len(every) <= _POINTS:
        return every
    picks = np.unique(np.linspace(0, len(every) - 1, _POINTS).round().astype(int))
    return [every[i] for i in picks]


def rounded(value: float) -> float:
    """Return four digits: more would be noise of the arithmetic."""
    return round(float(value), _DIGITS) + 0.0


def _measure(probs: Floats, labels: Ints, real: int) -> Callable[[Ints], dict[str, float]]:
    """Return what measures everything on some rows, drawn with repetition."""
    generators = np.flatnonzero(np.arange(probs.shape[1]) != real)
    number = np.full(probs.shape[1], -1)
    number[generators] = np.arange(len(generators))
    named = probs[:, generators].argmax(axis=1)
    given = number[labels]  # -1 for photographs
    p_ai, is_ai = 1 - probs[:, real], labels != real
    said, right_side, sure = probs.argmax(axis=1), _right_side(p_ai, is_ai), _sureness(p_ai)

    def measure(rows: Ints) -> dict[str, float]:
        own, true = probs[rows], labels[rows]
        table = confusion(said[rows], true, probs.shape[1])
        ai = rows[is_ai[rows]]
        with np.errstate(invalid="ignore"):
            recall, precision = np.diag(table) / table.sum(axis=1), np.diag(table) / table.sum(axis=0)
        which = risk_coverage(own.max(axis=1), said[rows] == true)
        whether = risk_coverage(sure[rows], right_side[rows])
        return {
            "accuracy": accuracy(own, true),
            "balanced_accuracy": balanced_accuracy(own, true),
            "macro_f1": macro_f1(table),
            **{f"recall {label}": float(value) for label, value in enumerate(recall)},
            **{f"precision {label}": float(value) for label, value in enumerate(precision)},
            "auroc": auroc(p_ai[rows], is_ai[rows]),
            **{f"tpr {rate}": tpr_at_fpr(p_ai[rows], is_ai[rows], rate) for rate in FIXED_FPR},
            "generator_accuracy": float((named[ai] == given[ai]).mean()) if len(ai) else float("nan"),
            "generator_macro_f1": macro_f1(confusion(named[ai], given[ai], len(generators))),
            "ece": ece(own, true),
            "classwise_ece": classwise_ece(own, true),
            "brier": brier(own, true),
            "nll": nll(own, true),
            "which aurc": which.area,
            "which coverage": which.coverage_at(RISK),
            "whether aurc": whether.area,
            "whether coverage": whether.coverage_at(RISK),
        }

    return measure


def _selective(figure: Callable[[str], Figure], name: str, curve: RiskCoverage) -> Selective:
    return Selective(
        aurc=figure(f"{name} aurc"),
        coverage_at_2_percent_risk=figure(f"{name} coverage"),
        curve=thinned(zip(curve.coverage, curve.risk, strict=True)),
    )


def _decisions(answers: Answers, rules: Rules, p_ai: Floats, is_ai: Bools) -> Decisions | None:
    if rules.abstention is None:
        return None
    rule = rules.abstention.decision
    verdicts = verdicts_of(answers, rules.temperatures, rules.abstention)
    units = answers.units
    found = share(p_ai[is_ai] >= rule.ai_from, units[is_ai], rules)
    accused = promise(answers.where(~is_ai), p_ai[~is_ai] >= rule.ai_from, rule.false_positive_rate, rule.reals, rules)
    novelty = rules.abstention.novelty
    return Decisions(
        false_positive_rate=accused,
        false_negative_rate=promise(
            answers.where(is_ai), p_ai[is_ai] <= rule.real_to, rule.false_negative_rate, rule.generated, rules
        ),
        false_rejection_rate=None
        if novelty is None
        else promise(answers, verdicts.novel, novelty.false_rejection_rate, novelty.images, rules),
        photographs=shares_of(verdicts.where(~is_ai), answers.where(~is_ai), rules),
        generated=shares_of(verdicts.where(is_ai), answers.where(is_ai), rules),
        precision_at_prevalence={f"{rate:g}": _precision(rate, found, accused.found) for rate in PREVALENCES},
    )


def _precision(prevalence: float, found: Figure, accused: Figure) -> Figure:
    """The interval takes the worst and the best corner of Wilson's intervals of both rates, so it errs on the wide side."""
    if found.value is None or accused.value is None or found.wilson_95 is None or accused.wilson_95 is None:
        return Figure(value=None)
    middle = precision_at(prevalence, found.value, accused.value)
    if not np.isfinite(middle):
        return Figure(value=None)
    low, high = (precision_at(prevalence, found.wilson_95[side], accused.wilson_95[1 - side]) for side in (0, 1))
    return Figure(value=rounded(middle), wilson_95=(rounded(low), rounded(high)))


def _label_sets(probs: Floats, labels: Ints, answers: Answers, rules: Rules) -> LabelSets | None:
    if rules.abstention is None or rules.abstention.conformal is None:
        return None
    sets = label_sets(probs, rules.abstention.conformal)
    held, sizes = sets.holds(labels), sets.sizes
    edges = cluster_bootstrap(
        lambda rows: {"size": float(sizes[rows].mean())}, answers.units, seed=rules.seed, rounds=rules.rounds
    )
    return LabelSets(
        missed=promise(
            answers, ~held, 1 - rules.abstention.conformal.coverage, rules.abstention.conformal.images, rules
        ),
        coverage=share(held, answers.units, rules),
        mean_size=a_figure(float(sizes.mean()), edges.get("size")),
        single=rounded((sizes == 1).mean()),
        empty=rounded((sizes == 0).mean()),
        coverage_by_class={
            name: rounded(held[labels == label].mean())
            for label, name in enumerate(answers.classes)
            if (labels == label).any()
        },
    )


def _branch(probs: Floats, labels: Ints, real: int) -> Branch:
    right = accuracy(probs, labels)
    separation = auroc(1 - probs[:, real], labels != real)
    return Branch(
        accuracy=a_figure(right, None, n=len(labels)),
        macro_f1=rounded(macro_f1(confusion(probs.argmax(axis=1), labels, probs.shape[1]))),
        auroc=rounded(separation) if np.isfinite(separation) else None,
        ece=rounded(ece(probs, labels)),
    )


def _sureness(p_ai: Floats) -> Floats:
    return np.abs(p_ai - 0.5)


def _right_side(p_ai: Floats, is_ai: Bools) -> Bools:
    return np.asarray((p_ai >= 0.5) == is_ai)  # noqa: PLR2004 - an even chance


def _pair(edges: Interval) -> Pair:
    return rounded(edges.low), rounded(edges.high)
