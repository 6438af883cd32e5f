"""What is descended: the ensemble's loss, and a share of each branch's own."""

from torch import Tensor
from torch.nn.functional import cross_entropy

from model.network import Ensemble
from training.dataset import Batch


def loss_of(
    network: Ensemble,
    batch: Batch,
    branch_weight: float,
    *,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Return the loss to descend and the ensemble's own part of it.

    Each branch is also judged alone: the strongest one would otherwise leave the others nothing to learn from.
    """
    scores = network(batch.crops, batch.views, batch.image_of)
    per_crop = batch.labels[batch.image_of]

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits, labels, weight=class_weights, label_smoothing=label_smoothing)

    own = loss(scores.fused, per_crop)
    branches = loss(scores.cnn, per_crop) + loss(scores.vit, batch.labels) + loss(scores.fft, per_crop)
    return own + branch_weight * branches, own
