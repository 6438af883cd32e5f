"""The attention-gradient map, against a pass through the blocks that is written out here."""

import pytest
import torch
from torch.nn import functional as nnf

from model.config import Backbone
from model.explain.attention import attention_map, relevance
from model.network import build


@pytest.fixture(scope="module")
def view():
    return torch.randint(0, 256, (224, 224, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def joint(tiny_network, view):
    crops = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        return tiny_network(crops, view[None], torch.zeros(2, dtype=torch.long)).joint


def _by_hand(network, view, joint, target):
    """Forward through timm's parts with the softmax written out, gradient by autograd, relevance by loops over tokens."""
    vit, seen = network.vit.backbone, []
    x = vit._pos_embed(vit.patch_embed(network.vit.pixels(view[None])))
    for block in vit.blocks:
        attn = block.attn
        q, k, v = attn.qkv(block.norm1(x)).view(1, 197, 3, attn.num_heads, attn.head_dim).permute(2, 0, 3, 1, 4)
        weights = ((q @ k.transpose(-1, -2)) * attn.head_dim**-0.5).softmax(-1)
        seen.append(weights)
        x = x + attn.proj((weights @ v).transpose(1, 2).reshape(1, 197, -1))
        x = x + block.mlp(block.norm2(x))
    feature = vit.norm(x)[:, 0]
    start, width = network.widths["cnn"], network.widths["vit"]
    mixed = torch.cat([joint[:, :start], feature.expand(len(joint), width), joint[:, start + width :]], 1)
    gradients = torch.autograd.grad(network.head(mixed)[:, target].mean(), seen)
    total = torch.eye(197)
    for weights, gradient in zip(seen, gradients, strict=True):
        cam = torch.stack([nnf.relu(gradient[0, head] * weights[0, head]) for head in range(weights.shape[1])]).mean(0)
        total = total + cam @ total
    return feature, total[0, 1:].view(14, 14).detach()


@pytest.mark.parametrize("target", [0, 2])
def test_the_map_is_that_of_the_blocks_written_out(tiny_network, view, joint, target):
    """Scaled from its lowest to its highest, for each class its own."""
    held = joint.clone()
    feature, oracle = _by_hand(tiny_network, view, held, target)
    start, width = tiny_network.widths["cnn"], tiny_network.widths["vit"]
    torch.testing.assert_close(feature.expand(2, -1), held[:, start : start + width], rtol=1e-4, atol=1e-4)
    found = attention_map(tiny_network, view, joint, target)
    oracle = oracle - oracle.amin()
    assert oracle.amax() > 0
    torch.testing.assert_close(found, oracle / oracle.amax(), rtol=1e-3, atol=1e-3)


def test_the_network_is_afterwards_as_before(tiny_network, view, joint):
    """Fused kernels on, no hook left, no gradient stored; also where the pass fails."""
    before = [block.attn.fused_attn for block in tiny_network.vit.backbone.blocks]
    attention_map(tiny_network, view, joint, 0)
    with pytest.raises(IndexError):
        attention_map(tiny_network, view, joint, 99)
    blocks = tiny_network.vit.backbone.blocks
    assert [block.attn.fused_attn for block in blocks] == before
    assert not any(block.attn.attn_drop._forward_hooks for block in blocks)
    assert all(parameter.grad is None for parameter in tiny_network.parameters())


def test_frozen_weights_make_no_difference(tiny_config, view):
    """Whoever trains the head alone freezes the ViT."""
    torch.manual_seed(1)
    network = build(tiny_config)
    crops = view[None]
    with torch.no_grad():
        joint = network(crops, view[None], torch.zeros(1, dtype=torch.long)).joint
    warm = attention_map(network, view, joint, 1)
    network.requires_grad_(requires_grad=False)
    torch.testing.assert_close(attention_map(network, view, joint, 1), warm)


def test_relevance_by_hand():
    """One block, one head, three tokens: only positive products count, and they pass once through the residual path."""
    attention = torch.tensor([[[[0.2, 0.5, 0.3], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]])
    gradient = torch.tensor([[[[1.0, 2.0, -4.0], [0.0, 0.0, 0.0], [0.0, 0.0, 3.0]]]])
    assert relevance([attention], (gradient,), by_token=True).tolist() == pytest.approx([0.2, 1.0, 0.0])
    assert relevance([attention], (gradient,), by_token=False).tolist() == pytest.approx([0.2 / 3, 1 / 3, 1.0])


def test_a_second_block_carries_on_what_the_first_gathered():
    """R = I + A1 + A2 + A2 A1: token 2 reaches the class token by way of token 1."""
    first, second = torch.zeros(2, 1, 1, 3, 3).unbind()
    first[0, 0, 1, 2] = 1.0
    second[0, 0, 0, 1] = 0.5
    ones = torch.ones_like(first)
    assert relevance([first, second], (ones, ones), by_token=True).tolist() == [0.0, 0.5, 0.5]


def test_a_backbone_without_attention_has_no_map(tiny_config, view):
    """A checkpoint may name any architecture of timm for its whole-view branch."""
    config = tiny_config.model_copy(update={"vit": Backbone(name="test_efficientnet")})
    network = build(config)
    joint = torch.zeros(1, sum(network.widths.values()))
    assert attention_map(network, view, joint, 0) is None
