"""Every knob of the detector's making, in one file: `params.yaml`, read once and handed down. Nothing else sets anything.

Stages read their own section (`data`, `model`, `train`, `augment`, `finetune`, `calibrate`, `evaluate`, `gate`, `tune`, `tracking`), so that
`dvc repro` repeats only what a change touches.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from model.config import Backbone, Branch
from schemas.errors import ConfigError

Share = Annotated[float, Field(ge=0, le=1)]
Quality = Annotated[int, Field(ge=1, le=100)]


class Section(BaseModel):
    """A group of knobs; a name that does not exist is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class DataParams(Section):
    """Where the images are, and how they are split by group."""

    manifest: Path = Path("data/manifest.csv")
    seed: int = 7  # of the split
    calibration_share: Share = 0.15  # of the groups
    test_share: Share = 0.2
    near_duplicate_bits: Annotated[int, Field(ge=0, le=32)] = 6  # Hamming distance of the 64-bit dHash
    shortcut_tolerance: Share = 0.05  # over chance, on canonical crops; more refuses to train

    @model_validator(mode="after")
    def _something_to_train_on(self) -> "DataParams":
        if self.calibration_share + self.test_share >= 1:
            raise ValueError("calibration_share and test_share leave nothing to train on")
        return self


class ModelParams(Section):
    """The network. The classes come from the manifest; `real` is one of them."""

    cnn: Backbone = Backbone(name="efficientnet_b0")
    vit: Backbone = Backbone(name="vit_small_patch16_224")
    fft_features: PositiveInt = 64
    hidden: tuple[PositiveInt, PositiveInt] = (512, 256)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    pretrained: Literal["hub"] | dict[Branch, Path] | None = (
        None  # hub (or its cache), local files by branch, or from scratch
    )
    preprocess_id: str = "crops5-224-native-v1"


class Phase(Section):
    """One phase of training: what learns, how long, how fast."""

    name: str
    layers: Literal["head", "top", "all"]  # head only; head and the top two blocks of each backbone; everything
    epochs: PositiveInt
    learning_rate: PositiveFloat


PHASES = (
    Phase(name="head", layers="head", epochs=10, learning_rate=1e-3),
    Phase(name="top", layers="top", epochs=10, learning_rate=2e-4),
    Phase(name="all", layers="all", epochs=20, learning_rate=5e-5),
)


class TrainParams(Section):
    """The training loop."""

    seed: int = 7
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)] = PHASES
    batch_size: Annotated[int, Field(ge=2)] = 32
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    schedule: Literal["cosine", "one_cycle"] = "cosine"  # within each phase
    warmup_share: Share = 0.05  # of a phase's steps
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.999  # of the weights that are evaluated and saved; 0: off
    clip_norm: PositiveFloat = 1.0
    branch_weight: Annotated[float, Field(ge=0)] = 0.5  # of each branch's own loss beside the ensemble's
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_balance: Literal["weights", "sampler", "none"] = "sampler"
    mixed_precision: bool = True  # bfloat16 on CUDA; without effect on CPU
    early_stop_epochs: Annotated[int, Field(ge=0)] = 5  # without a better validation loss, within a phase; 0: off
    validation_share: Share = 0.1  # of the training groups
    processes: PositiveInt | None = None  # that prepare images; unset: one a core
    device: Literal["auto", "cpu", "cuda"] = "auto"
    state_steps: PositiveInt = 200  # between two writings of the state that a killed training goes on from


FINETUNE_PHASES = (
    Phase(name="head", layers="head", epochs=5, learning_rate=3e-4),
    Phase(name="top", layers="top", epochs=10, learning_rate=5e-5),
)


class FinetuneParams(TrainParams):
    """The smaller loop on a user's own folder: head and top blocks only, at lower rates, so that little data moves little."""

    phases: Annotated[tuple[Phase, ...], Field(min_length=1)] = FINETUNE_PHASES
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.99
    validation_share: Share = 0.15


class AugmentParams(Section):
    """Laundering of training images: one distribution for all classes."""

    launder_share: Share = 0.6
    resize_share: Share = 0.5
    screenshot_share: Share = 0.1
    double_jpeg_share: Share = 0.2
    webp_share: Share = 0.2
    jpeg_quality: tuple[Quality, Quality] = (55, 95)


class CalibrateParams(Section):
    """Temperature and the rules of abstention, fitted on the laundered calibration split."""

    seed: int = 7  # of the draws of `condition`, and of the training images that the open set is fitted on
    condition: str = "laundered"
    real_logit_shift: bool = True  # without it windows corrected for prevalence lean to `real` (DECISIONS.md)
    false_positive_rate: Share = 0.05  # of real photographs called ai_generated
    false_negative_rate: Share = 0.05  # of generated images called real
    false_rejection_rate: Share = 0.05  # of images of known classes called novel
    coverage: Share = 0.9  # of the conformal label set


class EvaluateParams(Section):
    """What the report card measures."""

    seed: int = 7
    bootstrap: PositiveInt = 1000
    jpeg_qualities: tuple[Quality, ...] = (95, 85, 75, 50)
    webp_qualities: tuple[Quality, ...] = (90, 80, 60)
    resize_factors: tuple[PositiveFloat, ...] = (0.75, 0.5)
    leave_out: bool = True  # train a small probe without each generator in turn, for AUROC and OSCR of the open set
    examples: Annotated[int, Field(ge=0)] = 8  # right and wrong ones with overlays; 0: none
    true_images: Path | None = None  # manifest of true images to judge in the end; none is trained on


class GateParams(Section):
    """Least (or largest) figures a report card must show; unset: not asked."""

    min_macro_f1: Share | None = None
    min_accuracy: Share | None = None
    min_auroc: Share | None = None
    min_tpr_at_fpr_1: Share | None = None
    max_ece: Share | None = None


class TuneParams(Section):
    """The search of `deeptrace tune`."""

    trials: PositiveInt = 30
    storage: str = "sqlite:///.deeptrace/tune.db"
    study: str = "deeptrace"
    epochs_share: Share = 0.25  # of each phase's epochs in a trial
    pruner: Literal["median", "hyperband"] = "median"
    startup_trials: PositiveInt = 5  # drawn at random, and never pruned, before the search has something to go by


class TrackingParams(Section):
    """Where MLflow keeps the runs; its own variable `MLFLOW_TRACKING_URI` names a server instead."""

    uri: str | None = "sqlite:///.deeptrace/mlflow.db"  # null: no tracking
    experiment: str = "deeptrace"
    registered_model: str | None = "deeptrace"  # gets a version for every training; null: none


class Params(Section):
    """All of it."""

    data: DataParams = DataParams()
    model: ModelParams = ModelParams()
    train: TrainParams = TrainParams()
    finetune: FinetuneParams = FinetuneParams()
    augment: AugmentParams = AugmentParams()
    calibrate: CalibrateParams = CalibrateParams()
    evaluate: EvaluateParams = EvaluateParams()
    gate: GateParams = GateParams()
    tune: TuneParams = TuneParams()
    tracking: TrackingParams = TrackingParams()

    @model_validator(mode="after")
    def _qualities_in_order(self) -> "Params":
        if self.augment.jpeg_quality[0] > self.augment.jpeg_quality[1]:
            raise ValueError("augment.jpeg_quality must be [lowest, highest]")
        return self


def read_params(path: Path) -> Params:
    """Read `params.yaml`; raises `ConfigError` naming every fault."""
    try:
        found: Any = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path} cannot be read", why=str(error), remedy="Check the path, and that the file is YAML."
        ) from error
    if not isinstance(found, Mapping):
        raise ConfigError(f"{path} is not a set of sections", remedy="Write `train:` and the like at the left edge.")
    try:
        return Params.model_validate(found)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ConfigError(f"{path} is not valid", why=faults, remedy="Correct what is named.") from error
