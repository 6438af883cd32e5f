"""What `deeptrace labels report` says of a calibration, word for word."""

from streams.cli.labels import said_of
from streams.labels.calibration import Finding
from streams.labels.refit import Refit
from streams.labels.tally import Rate

FIT = Refit(
    images=400,
    temperature=1.62,
    real_logit_shift=0.41,
    nll_before=0.61,
    nll_after=0.55,
    gain=0.06,
    low=0.02,
    high=0.1,
)


def said(**changes):
    fields = {
        "calibration_id": "cal-1",
        "versions": ("1.0", "1.1"),
        "labelled": 400,
        "mean_confidence": 0.93,
        "accuracy": Rate.wilson(320, 400),
        "ece": 0.13,
        "ece_by_chance": 0.04,
        "holds": False,
        "refit": FIT,
    }
    return said_of(Finding(**(fields | changes)), 200)


def test_a_proposal_names_the_command_and_says_that_nothing_was_changed():
    """A person decides; what is measured stands before it."""
    assert said() == [
        ("calibration", "cal-1 (1.0, 1.1)"),
        ("confidence", "mean 0.930 against 0.800 right (0.758 - 0.836, 400 verdicts)"),
        ("ECE", "0.130; chance alone makes up to 0.040 of so few"),
        ("holds", "no"),
        (
            "proposal",
            "a new calibration is proposed: temperatures times 1.62 and +0.41 on the logit of real; +0.0600 nats an image on held-out folds (+0.0200 to +0.1000, 400 images)",
        ),
        (
            "",
            "Nothing was changed. If review picks what people complain about, the labels make any model look worse than it is.",
        ),
        ("", "Put labelled images into the split `calibration` of the manifest, and run"),
        ("", "  deeptrace calibrate --checkpoint CHECKPOINT --manifest MANIFEST --out recalibrated.safetensors"),
        ("", "  with `calibrate.real_logit_shift: true` in params.yaml"),
        ("", "then evaluate, publish and promote it with --alias shadow first."),
    ]


def test_a_gain_that_chance_makes_is_no_proposal():
    """Its interval holds 0."""
    fit = Refit(400, 1.02, None, 0.61, 0.609, gain=0.001, low=-0.002, high=0.004)
    assert said(holds=True, refit=fit)[3:] == [
        ("holds", "yes, as far as these labels tell"),
        ("refit", "no gain beyond chance: +0.0010 nats an image on held-out folds (-0.0020 to +0.0040, 400 images)"),
    ]


def test_too_few_labels_say_nothing():
    """Nor do labels that name no class of the model say how to refit it."""
    assert said_of(Finding("cal-1", ("1.0",), 12), 200)[1:] == [
        ("", "12 labelled verdicts, 200 are asked for: nothing is said of it")
    ]
    assert said(refit=None)[-1] == (
        "refit",
        "none: fewer than 200 labels name a class of the model and have its probabilities",
    )


def test_a_mix_that_the_calibration_was_not_fitted_for_stands_beside_the_answer():
    """Else a model would be blamed for where it is used."""
    told = said(photographs=Rate.wilson(380, 400), photographs_before=0.2)
    text = (
        "95.0% photographs (400 images of known class) where the calibration was fitted for 20.0%: probabilities mean something else then, "
        "however good the model; the corrected share of windows allows for that"
    )
    assert told[4] == ("mix", text)
    assert said(photographs=Rate.wilson(80, 400), photographs_before=0.2) == said()
