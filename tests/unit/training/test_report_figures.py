import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from model.abstention import Abstention, ConformalRule, DecisionRule, NoveltyRule
from model.config import Temperatures
from training.report.figures import Rules, set_figures, thinned
from training.report.open_set import open_set_figures
from training.scores import Answers, Rows
from training.served import UNKNOWN, Image

pytestmark = pytest.mark.timeout(900)  # the first test pays for what its fixture makes

CLASSES = ("real", "dalle3", "flux")
ABSTENTION = Abstention(
    fitted_on="laundered",
    decision=DecisionRule(
        ai_from=0.6, real_to=0.4, false_positive_rate=0.05, false_negative_rate=0.1, reals=40, generated=80
    ),
    novelty=NoveltyRule(method="logit_density", threshold=1.5, false_rejection_rate=0.05, images=120),
    conformal=ConformalRule(coverage=0.9, least_probability=0.2, images=120),
)
RULES = Rules(Temperatures(fused=1.5), ABSTENTION, seed=3, rounds=40)


def answers(n=60, seed=0, unknown=False):
    """One crop an image; logits that are right two times in three."""
    rng = np.random.default_rng(seed)
    labels = np.full(n, UNKNOWN) if unknown else np.arange(n) % 3
    logits = rng.normal(size=(n, 3)) + (0 if unknown else 1.5 * np.eye(3)[labels])
    images = tuple(Image(None, f"{seed}-{i}", int(label), f"scene {i // 3}") for i, label in enumerate(labels))
    branches = {name: Rows(logits * factor, np.arange(n)) for name, factor in (("fused", 1), ("cnn", 0.5), ("vit", 1), ("fft", 2))}  # fmt: skip
    return Answers(CLASSES, "laundered", images, (), branches, novelty=rng.normal(size=n) + 2 * unknown)


@pytest.fixture(scope="module")
def judged():
    found = answers()
    return found, found.probs(RULES.temperatures), found.labels, set_figures(found, RULES)


def test_figures_of_classes_are_scikit_learns(judged):
    """Macro-F1, balanced accuracy, recall and precision."""
    _, probs, labels, figures = judged
    said = probs.argmax(1)
    assert figures.macro_f1.value == pytest.approx(f1_score(labels, said, average="macro"), abs=1e-4)
    assert figures.balanced_accuracy.value == pytest.approx(balanced_accuracy_score(labels, said), abs=1e-4)
    for number, (recall, precision) in enumerate(
        zip(recall_score(labels, said, average=None), precision_score(labels, said, average=None), strict=True)
    ):
        found = figures.per_class[CLASSES[number]]
        assert (found.recall.value, found.precision.value) == pytest.approx((recall, precision), abs=1e-4)


def test_detection_and_attribution_are_two_levels(judged):
    """Real against the rest, and the generators of what is AI by the probabilities given AI."""
    _, probs, labels, figures = judged
    assert figures.auroc.value == pytest.approx(roc_auc_score(labels != 0, 1 - probs[:, 0]), abs=1e-4)
    ai = labels != 0
    said = 1 + probs[ai, 1:].argmax(1)
    assert figures.generator_macro_f1.value == pytest.approx(f1_score(labels[ai], said, average="macro"), abs=1e-4)
    assert figures.generator_accuracy.value == pytest.approx((said == labels[ai]).mean(), abs=1e-4)


def test_the_rule_s_rates_by_hand(judged):
    """Counted over the images."""
    _, probs, labels, figures = judged
    p_ai, ai = 1 - probs[:, 0], labels != 0
    accused, found = (p_ai[~ai] >= 0.6).mean(), (p_ai[ai] >= 0.6).mean()
    decisions = figures.decisions
    assert decisions.false_positive_rate.found.value == pytest.approx(accused, abs=1e-4)
    assert decisions.false_negative_rate.found.value == pytest.approx((p_ai[ai] <= 0.4).mean(), abs=1e-4)
    expected = 0.05 * found / (0.05 * found + 0.95 * accused)
    assert decisions.precision_at_prevalence["0.05"].value == pytest.approx(expected, abs=1e-4)
    low, high = decisions.precision_at_prevalence["0.05"].wilson_95
    assert low < expected < high


def test_label_sets_by_hand(judged):
    """Every class with at least .2."""
    _, probs, labels, figures = judged
    member = probs >= 0.2
    assert figures.label_sets.coverage.value == pytest.approx(member[np.arange(60), labels].mean(), abs=1e-4)
    assert figures.label_sets.mean_size.value == pytest.approx(member.sum(1).mean(), abs=1e-4)


def test_units_and_not_images_are_drawn_again():
    """Three copies of each image in one unit: the bootstrap's interval stays as wide, Wilson's shrinks."""
    once = answers(30)
    copies = tuple(Image(None, f"{image.name} {i}", image.label, image.name) for image in once.images for i in range(3))
    rows = {name: Rows(np.repeat(part.logits, 3, axis=0), np.arange(90)) for name, part in once.branches.items()}
    thrice = Answers(CLASSES, "laundered", copies, (), rows, novelty=np.repeat(once.novelty, 3))
    one, three = set_figures(once, RULES).accuracy, set_figures(thrice, RULES).accuracy
    assert three.bootstrap_95[1] - three.bootstrap_95[0] > three.wilson_95[1] - three.wilson_95[0]
    assert one.value == three.value


def test_a_set_of_photographs_only_has_no_auroc():
    """Undefined is null, not a number."""
    found = answers()
    figures = set_figures(found.where(found.labels == 0), RULES)
    assert (figures.auroc.value, figures.generator_accuracy.value, figures.tpr_at_fpr[0].tpr.value) == (None,) * 3
    assert figures.accuracy.value is not None
    assert figures.roc == []


def test_without_rules_there_are_no_decisions():
    """An uncalibrated checkpoint."""
    figures = set_figures(answers(), Rules(Temperatures(), None, seed=3, rounds=5))
    assert (figures.decisions, figures.label_sets) == (None, None)


def test_open_set_figures_are_scikit_learns():
    """Unknown above known by each score; against generators only without the photographs."""
    known, unknown = answers(), answers(30, seed=1, unknown=True)
    names = {image.name: "other" for image in unknown.images}
    figures = open_set_figures(known, None, unknown, RULES, names)
    truth = np.repeat([0, 1], [60, 30])
    novelty = np.concatenate([known.novelty, unknown.novelty])
    sure = np.concatenate([part.probs(RULES.temperatures).max(1) for part in (known, unknown)])
    assert figures.auroc["novelty"].value == pytest.approx(roc_auc_score(truth, novelty), abs=1e-4)
    assert figures.auroc["max_probability"].value == pytest.approx(roc_auc_score(truth, -sure), abs=1e-4)
    kept = np.concatenate([known.is_ai, np.ones(30, bool)])
    expected = roc_auc_score(truth[kept], novelty[kept])
    assert figures.auroc_against_generated["novelty"].value == pytest.approx(expected, abs=1e-4)
    photographs = np.concatenate([1 - known.probs(RULES.temperatures)[~known.is_ai, 0]])
    suspected = 1 - unknown.probs(RULES.temperatures)[:, 0]
    truth = np.repeat([0, 1], [len(photographs), 30])
    assert figures.detected.value == pytest.approx(
        roc_auc_score(truth, np.concatenate([photographs, suspected])), abs=1e-4
    )
    assert figures.shares.novel.value == pytest.approx((unknown.novelty > 1.5).mean(), abs=1e-4)
    assert figures.oscr["novelty"].value <= figures.auroc["novelty"].value


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    """A picture shows sixty points."""
    points = thinned((i / 1000, i / 1000) for i in range(1001))
    assert len(points) == 60
    assert (points[0], points[-1]) == ((0, 0), (1, 1))
