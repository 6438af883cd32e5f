"""Leaving generators out without training anew: the head alone, learnt again on frozen features from which one class is missing.

It is a probe, not a training without that generator: the branches below have seen it, so they may have learnt to look for it. A true leave-one-out
needs a training for each; the split `unseen_generator` of a manifest is the honest version with one.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from model.network import Ensemble
from model.open_set import OpenSet
from training.open_set import fit_open_set
from training.scores import Answers, Rows
from training.served import UNKNOWN

_STEPS: Final = 300
_BATCH: Final = 256
_RATE: Final = 2e-3
_DECAY: Final = 0.05


@dataclass(frozen=True, slots=True)
class Probed:
    """Answers of a head that never saw a class, to images of the others (`known`) and of that class (`unknown`), with a novelty."""

    known: Answers
    unknown: Answers


def leave_out(
    network: Ensemble, name: str, train: Sequence[Answers], tests: Sequence[Answers], *, seed: int
) -> list[Probed]:
    """Train the head on the joint features of `train` without the class `name`, and judge each of `tests` with it.

    All answers must hold their joint features. The head starts anew; the same seed gives the same head.
    """
    gone = network.config.classes.index(name)
    classes = tuple(other for other in network.config.classes if other != name)
    learnt = [_relabelled(part.where(part.labels != gone), gone) for part in train]
    head = _train(network, learnt, len(classes), seed)
    judged = [_answers(head, part, classes) for part in learnt]
    open_set = fit_open_set(judged)
    probed = []
    for test in tests:
        sides = [test.where(test.labels != gone), test.where(test.labels == gone)]
        known, unknown = (_answers(head, _relabelled(side, gone), classes) for side in sides)
        probed.append(Probed(_scored(known, open_set), _scored(unknown, open_set)))
    return probed


def _train(network: Ensemble, parts: Sequence[Answers], classes: int, seed: int) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    head = copy.deepcopy(network.head)
    last = head[-1]
    assert isinstance(last, nn.Linear)
    head[-1] = nn.Linear(last.in_features, classes)
    for layer in head:
        if isinstance(layer, nn.Linear):
            bound = layer.in_features**-0.5  # as torch itself starts a linear layer
            with torch.no_grad():
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-bound, bound, generator=generator)
        elif isinstance(layer, nn.LayerNorm):
            layer.reset_parameters()
        elif isinstance(layer, nn.Dropout):
            layer.p = 0.0  # its draws would come from torch's global generator
    features = torch.cat([_joint(part) for part in parts])
    labels = torch.from_numpy(np.concatenate([part.labels[part.branches["fused"].image_of] for part in parts]))
    weights = 1 / torch.bincount(labels, minlength=classes).clamp(min=1)
    optimiser = torch.optim.AdamW(head.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _STEPS)
    with torch.inference_mode(mode=False), torch.enable_grad():
        for _ in range(_STEPS):
            rows = torch.multinomial(weights[labels], _BATCH, replacement=True, generator=generator)
            loss = cross_entropy(head(features[rows]), labels[rows])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return head.eval()


@torch.inference_mode()
def _answers(head: nn.Sequential, answers: Answers, classes: tuple[str, ...]) -> Answers:
    rows = Rows(head(_joint(answers)).double().numpy(), answers.branches["fused"].image_of)
    return Answers(classes, answers.condition, answers.images, answers.refused, {"fused": rows}, joint=answers.joint)


@torch.inference_mode()
def _scored(answers: Answers, open_set: OpenSet) -> Answers:
    rows = answers.branches["fused"]
    novelty = open_set.score(torch.from_numpy(rows.logits))
    return replace(answers, novelty=rows.mean(novelty.double().numpy()))


def _relabelled(answers: Answers, gone: int) -> Answers:
    """Number the classes anew without one, which becomes unknown."""

    def number(label: int) -> int:
        return UNKNOWN if label == gone else label - (label > gone)

    images = tuple(replace(image, label=number(image.label)) for image in answers.images)
    return replace(answers, images=images)


def _joint(answers: Answers) -> Tensor:
    assert answers.joint is not None, "the probe learns from the features that enter the head"
    return torch.from_numpy(answers.joint)
