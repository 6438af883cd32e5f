"""How a calibrated model answers on images whose class is known: what the correction of windows is tested against."""

from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.base import Message

PROFILE_SCHEMA: Final = "deeptrace.calibration-profile/1"


class CalibrationProfile(Message):
    """Counts of a calibration split by true class and by cell of the answer, as `cells_of` (model/answer_cells.py) numbers them.

    Under label shift a window's answers are a mix of the classes' rows; where no mix explains them, something else has changed. `prior` is the
    share of each class in what the probabilities were calibrated on: they hold for that mix, and the correction starts from it.
    """

    schema_: Literal["deeptrace.calibration-profile/1"] = Field(default=PROFILE_SCHEMA, alias="schema")
    calibration_id: str
    classes: tuple[str, ...]
    prior: tuple[Annotated[float, Field(gt=0, lt=1)], ...]
    cells: dict[str, tuple[int, ...]]
