"""The training loop. All knobs stand in `Knobs`; there is nothing else to set."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from model.config import Backbone, EnsembleConfig
from model.network import Ensemble, Pretrained, build
from model.policy import DEFAULT_POLICY, PixelPolicy
from training.corpus.build import CLASSES, Example, Map
from training.dataset import Batch, training_batches

# The families of the full model in timm's smallest sizes: 2.5 MB in float32 beside 140 MB.
SMALL = EnsembleConfig(
    classes=CLASSES,
    cnn=Backbone(name="test_efficientnet"),
    vit=Backbone(name="test_vit", kwargs={"img_size": 224}),
    fft_features=64,
    hidden=(256, 128),
)


@dataclass(frozen=True, slots=True)
class Knobs:
    """Everything that decides what training gives."""

    seed: int = 7
    epochs: int = 5
    batch_size: int = 32
    peak_rate: float = 2e-3  # of a one-cycle schedule
    weight_decay: float = 0.05
    launder_share: float = 0.6  # of the training images, each epoch anew
    branch_weight: float = 0.5  # of each branch's own loss beside the ensemble's
    clip_norm: float = 1.0


Progress = Callable[[str], None]


def loss_of(network: Ensemble, batch: Batch, branch_weight: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss to descend and the ensemble's own part of it.

    Each branch is also judged alone: the strongest one would otherwise leave the others nothing to learn from.
    """
    scores = network(batch.crops, batch.views, batch.image_of)
    per_crop = batch.labels[batch.image_of]
    own = cross_entropy(scores.fused, per_crop)
    branches = (
        cross_entropy(scores.cnn, per_crop)
        + cross_entropy(scores.vit, batch.labels)
        + cross_entropy(scores.fft, per_crop)
    )
    return own + branch_weight * branches, own


def _start_on_residuals(network: Ensemble) -> None:
    """Give the CNN's first filters no response to flat areas.

    What decoders leave is a hundredth of the content's contrast, and random filters would see the content first.
    """
    stem = getattr(network.cnn.backbone, "conv_stem", None)
    if stem is not None:
        with torch.no_grad():
            stem.weight -= stem.weight.mean(dim=(2, 3), keepdim=True)


def fit(
    examples: Sequence[Example],
    ordered_map: Map,
    knobs: Knobs,
    *,
    config: EnsembleConfig = SMALL,
    policy: PixelPolicy = DEFAULT_POLICY,
    pretrained: Pretrained = None,
    progress: Progress = print,
) -> tuple[Ensemble, list[float]]:
    """Train an ensemble; returns it in eval mode with the mean ensemble loss of each epoch.

    The same seed gives the same network on the same machine with the same number of threads; elsewhere sums round differently.
    """
    torch.manual_seed(knobs.seed)
    network = build(config, pretrained=pretrained).to(memory_format=torch.channels_last)
    if pretrained is None:
        _start_on_residuals(network)
    steps_an_epoch = len(examples) // knobs.batch_size
    optimiser = torch.optim.AdamW(network.parameters(), lr=knobs.peak_rate, weight_decay=knobs.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=knobs.peak_rate, total_steps=knobs.epochs * steps_an_epoch
    )
    history: list[float] = []
    for epoch in range(knobs.epochs):
        started = time.monotonic()
        network.train()
        total = 0.0
        for batch in training_batches(
            examples,
            ordered_map,
            seed=knobs.seed,
            epoch=epoch,
            batch_size=knobs.batch_size,
            launder_share=knobs.launder_share,
            policy=policy,
        ):
            loss, own = loss_of(network, batch, knobs.branch_weight)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), knobs.clip_norm)
            optimiser.step()
            schedule.step()
            total += own.item()
        history.append(total / steps_an_epoch)
        progress(f"epoch {epoch + 1}/{knobs.epochs}  loss {history[-1]:.3f}  {time.monotonic() - started:.0f} s")
    return network.eval(), history
