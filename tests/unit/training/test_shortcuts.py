import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.audit import AuditReport
from training.corpus.files import jpeg, png
from training.shortcuts import Fingerprint, try_shortcuts

CLASSES = ("real", "stable_diffusion", "midjourney", "dalle3", "flux")


def fingerprint(rng, **cells):
    """A file that tells nothing: all its properties are drawn without regard to the class."""
    drawn = {
        "format": str(rng.integers(3)),
        "size": str(rng.integers(12)),
        "tables": str(rng.integers(8)),
        "source": str(rng.integers(4)),
        "colour": tuple(rng.normal(size=6)),
        "length": int(np.exp(rng.normal(10, 1))),
    }
    return Fingerprint(**{**drawn, **cells})


def report(prints, labels, units):
    return AuditReport(try_shortcuts(prints, labels, units), 1 / len(set(labels)), len(labels), len(set(units)))


def planted(number_of, *, files=60, classes=CLASSES, paired=True):
    """Files of which one property follows the class by `number_of(class number)`; by scenes, or each on its own."""
    rng = np.random.default_rng(3)
    labels = [classes[number % len(classes)] for number in range(files)]
    units = [f"g{number // len(classes) if paired else number}" for number in range(files)]
    prints = [fingerprint(rng, **number_of(number % len(classes))) for number in range(files)]
    return report(prints, labels, units)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(
    ("shortcut", "number_of"),
    [
        ("format", lambda number: {"format": "JPEG" if number == 0 else "PNG"}),
        ("size", lambda number: {"size": f"{number}"}),
        ("tables", lambda number: {"tables": f"{number // 2}"}),
        ("source", lambda number: {"source": f"{number}"}),
        ("colour_contrast", lambda number: {"colour": (number / 10,) * 6}),
        ("file_length", lambda number: {"length": 1000 + 500 * number}),
    ],
)
def test_a_planted_shortcut_is_caught_in_sixty_files(shortcut, number_of, paired):
    """Whatever property tells the class, and however the groups lie."""
    assert shortcut in planted(number_of, paired=paired).caught()


def test_noise_seldom_raises_an_alarm():
    """In 15 audits of 60 files without a shortcut at most two refuse; single figures are far from chance all the same."""
    alarms, highest = 0, 0.0
    for seed in range(15):
        rng = np.random.default_rng(seed)
        labels = [CLASSES[number % 5] for number in range(60)]
        tried = report([fingerprint(rng) for _ in labels], labels, [f"g{number}" for number in range(60)])
        alarms += bool(tried.caught())
        highest = max(highest, tried.worst()[1])
    assert alarms <= 2
    assert highest > 0.3


def test_chance_is_one_in_n_however_unequal_the_classes_are():
    """Nine photographs to one generated image, one format: nothing is told, though `real` would be right in 90 %."""
    rng = np.random.default_rng(1)
    labels = ["flux" if number % 10 == 0 else "real" for number in range(200)]
    prints = [fingerprint(rng, format="PNG", size="1x1", tables="", source="") for _ in labels]
    tried = report(prints, labels, [f"g{number}" for number in range(200)])
    assert [tried.accuracy[name] for name in ("format", "size", "tables", "source")] == [pytest.approx(0.5)] * 4
    assert not tried.caught()


def test_a_shortcut_of_a_rare_class_is_caught():
    """One image in ten is generated, and every tenth file is a PNG."""
    rng = np.random.default_rng(1)
    labels = ["flux" if number % 10 == 0 else "real" for number in range(200)]
    prints = [fingerprint(rng, format="PNG" if label == "flux" else "JPEG") for label in labels]
    tried = report(prints, labels, [f"g{number}" for number in range(200)])
    assert tried.accuracy["format"] == 1.0
    assert "format" in tried.caught()


def test_a_group_never_judges_itself():
    """Sizes that belong to one group tell nothing of other groups."""
    rng = np.random.default_rng(1)
    labels = list(CLASSES) * 20
    units = [f"g{number // 5}" for number in range(100)]
    prints = [fingerprint(rng, size=f"{number}") for number in range(100)]
    assert report(prints, labels, units).accuracy["size"] == pytest.approx(0.2)


def test_a_source_with_one_class_tells_nothing_where_it_is_the_group():
    """Held out as a whole, it is unknown to those that judge it; with finer groups it tells everything."""
    rng = np.random.default_rng(1)
    labels = ["real" if number % 2 else "flux" for number in range(80)]
    sources = [f"{label}-{number // 20}" for number, label in enumerate(labels)]
    prints = [fingerprint(rng, source=source) for source in sources]
    assert report(prints, labels, sources).accuracy["source"] == pytest.approx(0.5)
    finer = report(prints, labels, [f"g{number}" for number in range(80)])
    assert finer.accuracy["source"] == 1.0
    assert "source" in finer.caught()


def test_a_class_with_a_single_group_counts_as_chance():
    """Nobody else can say anything about it."""
    rng = np.random.default_rng(1)
    labels = ["real"] * 10 + ["flux"] * 10
    prints = [fingerprint(rng, format=label) for label in labels]
    assert report(prints, labels, labels).accuracy["format"] == pytest.approx(0.5)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), min_size=2, max_size=20), st.integers(0, 3))
def test_figures_are_shares_whatever_the_labels_and_groups(cells, seed):
    """Accuracies lie in 0 to 1 and p-values above 0, also for one group, tiny sets and mixed groups."""
    rng = np.random.default_rng(seed)
    labels = [label for label, _ in cells]
    tried = try_shortcuts([fingerprint(rng) for _ in cells], labels, [f"g{unit}" for _, unit in cells], shuffles=20)
    assert all(0 <= it.accuracy <= 1 and 0 < it.p_value <= 1 for it in tried.values())


def test_a_fingerprint_is_of_file_and_pixels():
    """Tables are a JPEG's only; colour is mean and deviation by channel."""
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, :, 0] = 100
    found = Fingerprint.of(png(pixels), pixels, kind="PNG", source="me")
    assert (found.size, found.tables, found.source, found.length) == ("30x20", "", "me", len(png(pixels)))
    assert found.colour == (100, 0, 0, 0, 0, 0)
    coarse, fine = (Fingerprint.of(jpeg(pixels, q), pixels, kind="JPEG", source="").tables for q in (50, 90))
    assert coarse != fine
