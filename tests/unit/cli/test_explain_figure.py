"""Verdict and maps to figure and JSON: no number in the one that is not in the other."""

import numpy as np
import pytest
from support.verdicts import verdict

from model.classifier import Prediction
from model.explain.explanation import Explanation, PartMap
from model.fake import FakeClassifier
from streams.cli.explain_figure import draw, signed, to_json

RED = np.full((60, 120, 3), (200, 0, 0), np.uint8)
MAPS = (
    PartMap("cnn", "grad-cam", "shown", RED, 0.0123),
    PartMap("vit", "attention-gradient", "withheld", RED, -0.004),
    PartMap("fft", "spectrum", "shown", RED, details={"luma_share": 0.7, "cells": [[0.25, 0.125]]}),
    PartMap(
        "ensemble", "lime", "shown", RED, 0.3, details={"superpixels": 30, "samples": 96, "r_squared": 0.8123456789}
    ),
)


def _explanation(*maps: PartMap) -> Explanation:
    return Explanation(Prediction(np.full(5, 0.2), FakeClassifier().info), "flux", maps)


def test_json_has_the_verdict_and_the_numbers_of_each_map():
    """Each branch with what it says alone; LIME is nobody's opinion; a spectrum has no faithfulness."""
    found = to_json(verdict(), _explanation(*MAPS))
    assert found["verdict"]["p_ai"] == 0.9312
    assert found["target_class"] == "flux"
    assert found["maps"] == [
        {"part": "cnn", "method": "grad-cam", "status": "shown", "faithfulness": 0.0123, "p_ai": 0.91, "top": "flux"},
        {
            "part": "vit",
            "method": "attention-gradient",
            "status": "withheld",
            "faithfulness": -0.004,
            "p_ai": 0.88,
            "top": "flux",
        },
        {
            "part": "fft",
            "method": "spectrum",
            "status": "shown",
            "p_ai": 0.97,
            "top": "dalle3",
            "luma_share": 0.7,
            "cells": [[0.25, 0.125]],
        },
        {
            "part": "ensemble",
            "method": "lime",
            "status": "shown",
            "faithfulness": 0.3,
            "superpixels": 30,
            "samples": 96,
            "r_squared": 0.812346,
        },
    ]


def test_the_figure_has_picture_maps_and_classes():
    """With LIME six panels in two rows; what is withheld is faded, the other maps are not."""
    image = draw(RED, verdict(), _explanation(*MAPS))
    red = (np.asarray(image).astype(int) == [200, 0, 0]).all(-1)
    assert image.width == 1200
    thirds = [red[:, left : left + 368].sum() for left in (24, 416, 808)]
    assert thirds[0] == thirds[1] == 2 * 368 * 184
    assert thirds[2] == 0


def test_only_a_simulated_checkpoint_is_warned_of():
    """A ground of its own under the warning, and no such ground without."""
    simulated = verdict().model.model_copy(update={"training_data": "simulated-v1"})
    plain, warned = (np.asarray(draw(RED, one, _explanation())) for one in (verdict(), verdict(model=simulated)))
    ground = [255, 236, 200]
    assert not (plain == ground).all(-1).any()
    assert (warned == ground).all(-1).any()


@pytest.mark.parametrize(
    ("figure", "text"), [(0.0123, "+0.012"), (-0.2, "-0.2"), (0.0, "0"), (0.000012, "+1.2e-05"), (1.0, "+1")]
)
def test_a_figure_is_written_with_its_sign_and_never_as_a_zero_that_it_is_not(figure, text):
    """Just better than chance and chance decide between shown and withheld."""
    assert signed(figure) == text
