"""What a checkpoint says about itself, kept in the metadata of the safetensors file."""

import hashlib
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from model.abstention import Abstention
from model.config import EnsembleConfig, Temperatures

FORMAT: Final = "deeptrace-checkpoint-1"
METADATA_KEY: Final = "deeptrace"

Kind = Literal["demo_simulated", "trained"]


class CheckpointMeta(BaseModel):
    """Everything that must fit before a verdict is given: shape, classes, calibration, pixel policy, and what was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    format: Literal["deeptrace-checkpoint-1"] = FORMAT
    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}$")]
    kind: Kind
    config: EnsembleConfig
    temperatures: Temperatures = Temperatures()
    abstention: Abstention | None = None  # absent until `deeptrace calibrate` has fitted it
    preprocess_id: str
    training_data: str = Field(min_length=1)  # "simulated-v2", or where the images came from
    note: str = ""  # what the figures may and may not be taken for
    figures_sha256: str = ""  # of the figures published beside the file

    @property
    def calibration_id(self) -> str:
        """Short id that changes whenever a temperature or a rule of abstention does."""
        rules = self.abstention.model_dump_json() if self.abstention else ""
        return hashlib.sha256((self.temperatures.model_dump_json() + rules).encode()).hexdigest()[:12]
