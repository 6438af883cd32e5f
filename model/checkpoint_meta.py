"""What a checkpoint says about itself, kept in the metadata of the safetensors file."""

import hashlib
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from model.abstention import Abstention
from model.answer_cells import cell_count
from model.config import EnsembleConfig, Temperatures
from schemas.calibration import CalibrationProfile

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
    profile: CalibrationProfile | None = None  # how it answers on images of known classes; absent as `abstention` is

    @model_validator(mode="before")
    @classmethod
    def _without_a_field_of_old(cls, given: Any) -> Any:
        """Drop the hash of figures that files of earlier releases name and nothing ever used."""
        return (
            {name: value for name, value in given.items() if name != "figures_sha256"}
            if isinstance(given, dict)
            else given
        )

    @model_validator(mode="after")
    def _profile_of_this_calibration(self) -> "CheckpointMeta":
        if (profile := self.profile) is None:
            return self
        if profile.calibration_id != self.calibration_id:
            raise ValueError("the profile is of another calibration")
        classes, width = self.config.classes, cell_count(len(self.config.classes))
        shapes = [len(profile.prior) == len(classes), *(len(row) == width for row in profile.cells.values())]
        if profile.classes != classes or profile.cells.keys() != set(classes) or not all(shapes):
            raise ValueError("the profile is of other classes, or counts other cells")
        return self

    @property
    def calibration_id(self) -> str:
        """Short id that changes whenever a temperature or a rule of abstention does."""
        rules = self.abstention.model_dump_json() if self.abstention else ""
        return hashlib.sha256((self.temperatures.model_dump_json() + rules).encode()).hexdigest()[:12]
