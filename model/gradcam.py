"""Grad-CAM without autograd: the pooled maps enter a small head whose gradient has a closed form.

With f = mean(A) over the 49 places of the maps A, the weights of Grad-CAM are d logit_c / d A_k = (d logit_c / d f_k) / 49, and f
goes through LayerNorm and two GELU layers only. So one pass of a few matrices over the batch is exact, needs no second forward and
no graph, and is allowed under inference_mode. Temperature and scale cancel. The maps explain the CNN branch, as part of the ensemble.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn

_Layers = tuple[nn.LayerNorm, nn.Linear, nn.GELU, nn.Dropout, nn.Linear, nn.GELU, nn.Linear]


def heat(head: nn.Sequential, joint: Tensor, maps: Tensor, target: Tensor) -> Tensor:
    """Return ReLU(sum_k alpha_k A_k) [N, h, w], not normalised, for class `target` [N] of the head's logits on `joint` [N, D].

    The first C of the D joint features must be the plain means of `maps` [N, C, h, w]. Precision is that of `joint`.
    """
    channels, places = maps.shape[1], maps[0, 0].numel()
    alpha = head_gradient(head, joint, target)[:, :channels] / places
    return torch.einsum("nk,nkhw->nhw", alpha, maps.to(alpha.dtype)).relu()


def head_gradient(head: nn.Sequential, joint: Tensor, target: Tensor) -> Tensor:
    """Return d logit_target / d joint [N, D] of LayerNorm -> Linear -> GELU -> Dropout -> Linear -> GELU -> Linear, in eval mode."""
    norm, first, _, _, second, _, last = cast("_Layers", tuple(head))
    centred = joint - joint.mean(1, keepdim=True)
    deviation = (centred.square().mean(1, keepdim=True) + norm.eps).sqrt()
    unit = centred / deviation  # [N, D]
    before_first: Tensor = first(unit * norm.weight + norm.bias)  # [N, 512]
    before_second: Tensor = second(nn.functional.gelu(before_first))  # [N, 256]

    gradient = last.weight[target] * _gelu_slope(before_second)  # [N, 256]
    gradient = gradient @ second.weight * _gelu_slope(before_first)  # [N, 512]
    gradient = gradient @ first.weight * norm.weight  # [N, D], with respect to `unit`
    through_mean = gradient.mean(1, keepdim=True)
    through_deviation = unit * (gradient * unit).mean(1, keepdim=True)
    return (gradient - through_mean - through_deviation) / deviation


def normalise(maps: Tensor) -> Tensor:
    """Scale the crops of one image [k, h, w] to 0..1 by their common peak, so that crops can be compared; no heat stays 0."""
    peak = maps.amax()
    return maps / peak if peak > 0 else maps


def _gelu_slope(x: Tensor) -> Tensor:
    """Slope of the exact GELU, x Phi(x)."""
    cumulative = (1 + torch.erf(x / math.sqrt(2))) / 2
    density = torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi)
    return cumulative + x * density
