"""What the ViT branch looked at: attention weighed by its gradient, carried through all blocks (Chefer et al. 2021, arXiv 2103.15679).

Raw attention says where values are fetched from, for whatever class. Multiplied with the gradient of one class's logit, and cut at
zero, it says which of it speaks for that class: A' = mean over heads of (dA * A)+. With the residual connections it adds up over the
blocks, R <- R + A' R, starting at the identity; the row of the class token, without the identity, is the map. It explains the
ViT branch as part of the ensemble: the logit is the head's, averaged over the crops, with the other two branches as they were.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from model import gradcam
from model.network import Ensemble


def attention_map(network: Ensemble, view: Tensor, joint: Tensor, target: int) -> Tensor | None:
    """Return the heat 0..1, lowest to highest, [rows, columns] over the patches of a uint8 view [224, 224, 3], for class `target`.

    `joint` [k, D] are the features of the image's crops. None for a backbone without a grid of patches and plain self-attention.
    """
    backbone = network.vit.backbone
    blocks = _attentions(backbone)
    grid = getattr(getattr(backbone, "patch_embed", None), "grid_size", None)
    if not blocks or grid is None:
        return None
    start, width = network.widths["cnn"], network.widths["vit"]
    held = joint.detach().clone()  # a tensor made in inference mode takes no part in a gradient
    with torch.enable_grad(), _recorded(blocks) as seen:
        feature = backbone(network.vit.pixels(view[None])).float()
        mixed = torch.cat([held[:, :start], feature.expand(len(held), width), held[:, start + width :]], dim=1)
        logit = network.head(mixed)[:, target].mean()
        gradients = torch.autograd.grad(logit, seen)
    places = grid[0] * grid[1]
    if any(attention.shape[-1] < places for attention in seen):
        return None
    row = relevance([attention.detach() for attention in seen], gradients, by_token=backbone.global_pool == "token")
    heat = row[-places:].view(*grid)
    # From its lowest to its highest, as in the paper: every patch has some relevance, and it is the differences that are looked at.
    return gradcam.normalise(heat - heat.amin())


def relevance(attentions: list[Tensor], gradients: tuple[Tensor, ...], *, by_token: bool) -> Tensor:
    """Return how much each token [N] counts in the end, for attention [1, heads, N, N] and its gradient, block by block.

    `by_token`: the first token is what the head reads; otherwise it reads the mean of all.
    """
    identity = torch.eye(attentions[0].shape[-1], dtype=attentions[0].dtype, device=attentions[0].device)
    total = identity
    for attention, gradient in zip(attentions, gradients, strict=True):
        total = total + (gradient * attention).clamp(min=0).mean(1)[0] @ total
    added = total - identity
    return added[0] if by_token else added.mean(0)


def _attentions(backbone: Any) -> list[Any]:
    """Return the attention of each block, where all of them are of timm's plain kind: weights in `attn_drop`, fused or not."""
    found = [getattr(block, "attn", None) for block in getattr(backbone, "blocks", [])]
    plain = all(hasattr(one, "fused_attn") and isinstance(getattr(one, "attn_drop", None), nn.Module) for one in found)
    return found if plain else []


@contextmanager
def _recorded(blocks: list[Any]) -> Iterator[list[Tensor]]:
    """Collect the attention weights of a forward pass, ready for a gradient; the blocks are as before afterwards.

    A fused kernel never has the weights in one piece, so it is turned off meanwhile. The weights pass through `attn_drop`, which does
    nothing in eval mode.
    """
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], weights: Tensor) -> Tensor:
        # With frozen weights nothing below needs a gradient: the first attention is then where it ends.
        kept = weights if weights.requires_grad else weights.detach().requires_grad_()
        seen.append(kept)
        return kept

    fused = [block.fused_attn for block in blocks]
    hooks = [block.attn_drop.register_forward_hook(keep) for block in blocks]
    try:
        for block in blocks:
            block.fused_attn = False
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
        for block, before in zip(blocks, fused, strict=True):
            block.fused_attn = before
