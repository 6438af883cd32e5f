"""Which layers learn in a phase: the head, the head and the top of each backbone, or everything."""

from typing import Final, Literal

from timm.models import group_parameters
from torch import nn

from model.network import Ensemble
from schemas.errors import ConfigError

Layers = Literal["head", "top", "all"]

TOP_BLOCKS: Final = 2
_BACKBONES: Final = ("cnn", "vit")


def learning(network: Ensemble, layers: Layers) -> frozenset[str]:
    """Return the names of the parameters that learn.

    `head`: the common head, every branch's own classifier, and the FFT branch, which has no pretrained weights to keep. `top`: those and
    the last two blocks of each backbone with what follows them; a block is what timm's own coarse grouping calls one (a stage of
    EfficientNet, a transformer block of a ViT). Raises `ConfigError` for a backbone of which timm knows no grouping.
    """
    names = [name for name, _ in network.named_parameters()]
    if layers == "all":
        return frozenset(names)
    frozen = {f"{branch}.backbone." for branch in _BACKBONES}
    head = {name for name in names if not name.startswith(tuple(frozen))}
    if layers == "head":
        return frozenset(head)
    return frozenset(head.union(*(_top(network, branch) for branch in _BACKBONES)))


def prepare(network: Ensemble, layers: Layers) -> list[tuple[str, nn.Parameter]]:
    """Set the network to train `layers` and return them by name; every module without one that learns is in eval mode.

    A frozen batch norm must not only keep its weights: its running means would drift towards our images and change the features
    under a head that is learning them.
    """
    names = learning(network, layers)
    network.train()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in names)
    for module in network.modules():
        own = list(module.parameters())
        if own and not any(parameter.requires_grad for parameter in own):
            module.eval()
    return [(name, parameter) for name, parameter in network.named_parameters() if name in names]


def _top(network: Ensemble, branch: str) -> set[str]:
    backbone = getattr(network, branch).backbone
    try:
        groups: dict[int, list[str]] = group_parameters(backbone, backbone.group_matcher(coarse=True))
    except AttributeError as error:
        raise ConfigError(
            f"the top blocks of the {branch} branch are not known",
            why=f"timm has no grouping for {type(backbone).__name__}",
            remedy="Use phases with `layers: head` and `layers: all` only, or another backbone.",
        ) from error
    top = sorted(groups)[-TOP_BLOCKS:]
    return {f"{branch}.backbone.{name}" for group in top for name in groups[group]}
