"""What each branch adds: the ensemble with one branch's features replaced by their mean, so that they say the same of every image."""

import numpy as np
import torch

from model.config import BRANCHES, Temperatures
from model.network import Ensemble
from schemas.verdict import REAL
from training.metrics import Floats
from training.scores import Answers, Rows


@torch.inference_mode()
def without_branches(network: Ensemble, answers: Answers, temperatures: Temperatures) -> dict[str, Floats]:
    """Return the calibrated probabilities [images, n] without each branch. The answers must hold their joint features.

    The mean is taken over the images judged: it needs no labels. The head was trained with all branches, so this is the loss of taking one
    away, not the worth of a model that never had it.
    """
    assert answers.joint is not None, "the branches' features are what is replaced"
    shift = np.array([temperatures.real_logit_shift * (name == REAL) for name in answers.classes])
    found: dict[str, Floats] = {}
    first = 0
    for branch in BRANCHES:
        width = network.widths[branch]
        joint = torch.from_numpy(answers.joint.copy())
        joint[:, first : first + width] = joint[:, first : first + width].mean(0)
        rows = Rows(network.head(joint).double().numpy(), answers.branches["fused"].image_of)
        found[branch] = rows.probs(temperatures.fused, shift)
        first += width
    return found
