"""What an ensemble is made of: read from a checkpoint, never from code, so a new generator needs no release."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, StringConstraints, field_validator

CROP_PX: Final = 224
BRANCHES: Final = ("cnn", "vit", "fft")

Branch = Literal["cnn", "vit", "fft"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Scalar = bool | int | float | str

# What `build` sets itself, and what would make timm read or download a file while a checkpoint is opened.
_RESERVED: Final = frozenset(
    {
        "cache_dir",
        "checkpoint_path",
        "exportable",
        "global_pool",
        "num_classes",
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "pretrained_strict",
        "scriptable",
    }
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Backbone(_Frozen):
    """A timm architecture by name, with the keyword arguments its constructor gets."""

    name: Name
    kwargs: dict[str, Scalar] = Field(default_factory=dict)

    @field_validator("kwargs")
    @classmethod
    def _no_side_effects(cls, kwargs: dict[str, Scalar]) -> dict[str, Scalar]:
        if taken := sorted(_RESERVED & kwargs.keys()):
            raise ValueError(f"{', '.join(taken)} may not be set here")
        return kwargs


class EnsembleConfig(_Frozen):
    """Shape of the network; the widths of the branches follow from the backbones (1280 + 384 + 64 = 1728)."""

    classes: tuple[Name, ...] = Field(min_length=2)
    cnn: Backbone = Backbone(name="efficientnet_b0")
    vit: Backbone = Backbone(name="vit_small_patch16_224")
    fft_features: PositiveInt = 64
    hidden: tuple[PositiveInt, PositiveInt] = (512, 256)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) != len(classes):
            raise ValueError("classes repeat")
        return classes


class Temperatures(_Frozen):
    """Divisors of the logits, fitted on calibration data: one for the ensemble, one for each branch on its own.

    `real_logit_shift` is added to the ensemble's logit of `real` after the division: detectors lean to `real` under shift.
    """

    fused: PositiveFloat = 1.0
    cnn: PositiveFloat = 1.0
    vit: PositiveFloat = 1.0
    fft: PositiveFloat = 1.0
    real_logit_shift: float = 0.0
