"""The ensemble: EfficientNet and FFT branch on native crops, ViT on the whole view, one head over all three."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import timm
import torch
from timm.data.config import resolve_model_data_config
from torch import Tensor, nn

from model.config import Backbone, Branch, EnsembleConfig
from model.spectrum import SpectrumBranch
from schemas.errors import CheckpointRefused

Pretrained = Literal["hub"] | Mapping[Branch, Path] | None

_LAST: Final = 2
"""Modules of the head behind `Scores.hidden`: its last activation and its last layer."""


class Scores(NamedTuple):
    """Logits before temperature, float32, one row a crop (N) or an image (B), and what Grad-CAM needs of the pass."""

    fused: Tensor  # [N, n]
    cnn: Tensor  # [N, n]
    vit: Tensor  # [B, n]
    fft: Tensor  # [N, n]
    maps: Tensor  # [N, C, 7, 7] last feature maps of the CNN
    joint: Tensor  # [N, C + V + F] what enters the head
    hidden: Tensor  # [N, H] what enters its last activation


class Normalised(nn.Module):
    """A backbone that takes uint8 pixels and applies the mean and deviation it was trained with."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        data: dict[str, Any] = resolve_model_data_config(backbone)
        # In the state, so a checkpoint keeps them whatever a later timm holds for this name.
        self.register_buffer("mean", torch.tensor(data["mean"]).view(1, 3, 1, 1) * 255)
        self.register_buffer("deviation", torch.tensor(data["std"]).view(1, 3, 1, 1) * 255)
        self.backbone: Any = backbone

    def pixels(self, image: Tensor) -> Tensor:
        """uint8 [N, 224, 224, 3] -> normalised float32 [N, 3, 224, 224] with channels last in memory."""
        return (image.permute(0, 3, 1, 2).float() - self.mean) / self.deviation


class Ensemble(nn.Module):
    """Three branches -> LayerNorm -> 512 -> GELU -> Dropout -> 256 -> GELU -> n, and each branch with a classifier of its own."""

    def __init__(self, config: EnsembleConfig, *, pretrained: Pretrained = None) -> None:
        super().__init__()
        self.config = config
        self.cnn = Normalised(_backbone("cnn", config.cnn, pretrained))
        self.vit = Normalised(_backbone("vit", config.vit, pretrained))
        self.fft = SpectrumBranch(config.fft_features)
        self.widths: dict[Branch, int] = {
            "cnn": self.cnn.backbone.num_features,
            "vit": self.vit.backbone.num_features,
            "fft": config.fft_features,
        }
        joint, (first, second), count = sum(self.widths.values()), config.hidden, len(config.classes)
        self.head = nn.Sequential(
            nn.LayerNorm(joint),
            nn.Linear(joint, first),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(first, second),
            nn.GELU(),
            nn.Linear(second, count),
        )
        self.members = nn.ModuleDict({branch: nn.Linear(width, count) for branch, width in self.widths.items()})

    def hidden(self, joint: Tensor) -> Tensor:
        """Return what enters the head's last activation [N, H], from what enters the head [N, D]."""
        found: Tensor = self.head[:-_LAST](joint)
        return found

    def forward(self, crops: Tensor, views: Tensor, image_of: Tensor) -> Scores:
        """Score uint8 crops [N, 224, 224, 3] of B images with uint8 views [B, 224, 224, 3]; `image_of` [N] is each crop's image."""
        maps = self.cnn.backbone.forward_features(self.cnn.pixels(crops))
        view = self.vit.backbone(self.vit.pixels(views)).float()
        # Pooled here and not by timm: Grad-CAM rests on these being the plain means of the maps.
        pooled = maps.float().mean((2, 3))
        spectral = self.fft(crops)
        joint = torch.cat([pooled, view[image_of], spectral], dim=1)
        with torch.autocast(
            crops.device.type, enabled=False
        ):  # the head costs nothing, and its precision is the verdict's
            hidden = self.hidden(joint)
            return Scores(
                fused=self.head[-_LAST:](hidden),
                cnn=self.members["cnn"](pooled),
                vit=self.members["vit"](view),
                fft=self.members["fft"](spectral),
                maps=maps,
                joint=joint,
                hidden=hidden,
            )


def build(config: EnsembleConfig, *, pretrained: Pretrained = None) -> Ensemble:
    """Return a new ensemble in eval mode; its backbones are random, from timm's hub or cache, or from local files.

    A local path is a folder with `config.json` and `model.safetensors`, or one safetensors file. Raises
    `CheckpointRefused` for an architecture that timm does not know or weights that do not fit it.
    """
    return Ensemble(config, pretrained=pretrained).eval()


def _backbone(branch: Branch, spec: Backbone, pretrained: Pretrained) -> nn.Module:
    if not timm.is_model(spec.name):
        raise CheckpointRefused(
            f"the {branch} branch names an unknown architecture",
            why=f"timm has no {spec.name!r}",
            remedy="Use a name from timm.list_models(), or install the timm release the checkpoint was made with.",
        )
    name, options = spec.name, dict[str, Any](spec.kwargs)
    path = pretrained.get(branch) if isinstance(pretrained, Mapping) else None
    if path is not None:
        name = _use_local(name, path, options)
    try:
        backbone: nn.Module = timm.create_model(
            name, pretrained=bool(path or pretrained == "hub"), num_classes=0, **options
        )
    except (RuntimeError, TypeError, ValueError, OSError) as error:
        raise CheckpointRefused(
            f"the {branch} branch {spec.name} cannot be built",
            why=f"{type(error).__name__}: {error}",
            remedy="Check the architecture's keyword arguments and, if weights are loaded, that they belong to it.",
        ) from error
    return backbone


def _use_local(name: str, path: Path, options: dict[str, Any]) -> str:
    """Point timm at weights on disk; only safetensors, for a pickle runs code when it is read."""
    if path.is_dir() and (path / "model.safetensors").is_file():
        found = json.loads((path / "config.json").read_text())["architecture"]
        if found != name:
            raise CheckpointRefused(
                f"the weights in {path} are of another architecture",
                why=f"they are of {found!r}, the configuration says {name!r}",
                remedy="Give the folder of the architecture that the configuration names.",
            )
        return f"local-dir:{path}"
    if path.suffix == ".safetensors" and path.is_file():
        options["pretrained_cfg_overlay"] = {"file": str(path)}
        return name
    raise CheckpointRefused(
        f"no usable weights at {path}",
        why="neither a safetensors file nor a folder with config.json and model.safetensors",
        remedy="Convert the weights to safetensors, or give the folder that timm's save_for_hf wrote.",
    )
