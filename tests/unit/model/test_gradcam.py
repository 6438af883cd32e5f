import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn

from model import gradcam


def _head(joint: int, classes: int) -> nn.Sequential:
    torch.manual_seed(3)
    head = nn.Sequential(
        nn.LayerNorm(joint),
        nn.Linear(joint, 512),
        nn.GELU(),
        nn.Dropout(0.3),
        nn.Linear(512, 256),
        nn.GELU(),
        nn.Linear(256, classes),
    )
    with torch.no_grad():
        head[0].weight.normal_(1, 0.3)
        head[0].bias.normal_(0, 0.3)
    return head.double().eval()


@pytest.mark.parametrize("classes", [2, 5])
def test_the_closed_form_is_autograd(classes):
    """Through LayerNorm and both GELU layers, for every crop its own class, to 1e-12 in float64."""
    head = _head(1728, classes)
    maps = (torch.randn(6, 1280, 7, 7, dtype=torch.float64) * 3).requires_grad_()
    rest = torch.randn(6, 448, dtype=torch.float64)
    target = torch.arange(6) % classes
    joint = torch.cat([maps.mean((2, 3)), rest], dim=1)
    chosen = head(joint).gather(1, target[:, None]).sum()
    (gradient,) = torch.autograd.grad(chosen, maps)
    oracle = torch.einsum("nk,nkhw->nhw", gradient.mean((2, 3)), maps).relu()

    with torch.inference_mode():
        heat = gradcam.heat(head, joint.detach(), maps.detach(), target)

    assert oracle.amax() > 0
    torch.testing.assert_close(heat, oracle.detach(), rtol=1e-12, atol=1e-12)


def test_the_whole_network_agrees_with_captum(tiny_network):
    """LayerGradCam at the CNN's last layer, by true backward passes through the ensemble, in float32."""
    generator = torch.Generator().manual_seed(11)
    crops = torch.randint(0, 256, (3, 224, 224, 3), dtype=torch.uint8, generator=generator)
    views = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8, generator=generator)
    image_of, target = torch.tensor([0, 0, 1]), torch.tensor([2, 2, 0])
    with torch.no_grad():
        scores = tiny_network(crops, views, image_of)
        heat = gradcam.heat(tiny_network.head, scores.joint, scores.maps, target)

    oracle = LayerGradCam(lambda *inputs: tiny_network(*inputs).fused, tiny_network.cnn.backbone.bn2).attribute(
        crops, target, additional_forward_args=(views, image_of), relu_attributions=True
    )[:, 0]

    assert oracle.amax() > 0
    torch.testing.assert_close(heat / oracle.amax(), (oracle / oracle.amax()).detach(), rtol=0, atol=1e-5)


def test_heat_lies_where_the_class_finds_its_evidence():
    """One channel speaks for the class and fires in one corner only."""
    head = _head(4, 2)
    maps = torch.zeros(1, 2, 7, 7, dtype=torch.float64)
    maps[0, 0, 1, 5] = 49.0
    joint = torch.cat([maps.mean((2, 3)), torch.zeros(1, 2, dtype=torch.float64)], dim=1)
    gradient = gradcam.head_gradient(head, joint, torch.tensor([0]))[0, 0]
    heat = gradcam.heat(head, joint, maps * gradient.sign(), torch.tensor([0]))
    assert divmod(int(heat.argmax()), 7) == (1, 5)
    assert int((heat > 0).sum()) == 1


def test_crops_of_one_image_share_one_scale():
    """The hottest place of all its crops is 1; a crop with less keeps less."""
    maps = torch.tensor([[[0.0, 4.0]], [[1.0, 2.0]]])
    assert gradcam.normalise(maps).tolist() == [[[0.0, 1.0]], [[0.25, 0.5]]]


def test_no_heat_stays_no_heat():
    """Where nothing speaks for the class, nothing is scaled up to look as if."""
    assert gradcam.normalise(torch.zeros(2, 7, 7)).tolist() == torch.zeros(2, 7, 7).tolist()
