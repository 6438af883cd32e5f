"""The report card of a checkpoint, `deeptrace.report/1`: every figure with the number of images it rests on, and how far it may be off.

Readers ignore what they do not know; fields are only added within a version. A figure that is undefined on a set (an AUROC without photographs)
is null. Everything but `made` is the same for the same checkpoint, manifest and parameters on the same machine.
"""

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.calibration import CalibrationProfile
from schemas.errors import UsageError

SCHEMA: Final = "deeptrace.report/1"
REPORT: Final = "report.json"
REPORT_HTML: Final = "report.html"

Pair = tuple[float, float]


class Part(BaseModel):
    """A piece of the report."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, protected_namespaces=())


class Figure(Part):
    """A figure with its 95 % intervals: Wilson's for shares, and by drawing whole units (scenes, repositories) again."""

    value: float | None
    wilson_95: Pair | None = None
    bootstrap_95: Pair | None = None


class ClassFigures(Part):
    """One class against the others."""

    n: int
    recall: Figure
    precision: Figure


class FixedFpr(Part):
    """Share of generated images found where at most `fpr` of the photographs are accused."""

    fpr: float
    tpr: Figure
    photographs: int
    resolved: bool = Field(description="False: fewer than 1 / fpr photographs, so none of them may be accused at all")


class Bin(Part):
    """One of the bins of a reliability diagram."""

    n: int
    confidence: float
    accuracy: float


class Calibration(Part):
    """How far probabilities can be taken at their word. ECE over 15 bins of equal mass; it is never zero on few images."""

    ece: Figure
    classwise_ece: Figure
    brier: Figure
    nll: Figure
    before: dict[str, float] = Field(description="ece and nll at temperature 1, without any shift")
    reliability: list[Bin]


class Selective(Part):
    """What may be answered when the least sure images are left open."""

    aurc: Figure = Field(description="area under risk and coverage; 0 is best")
    coverage_at_2_percent_risk: Figure
    curve: list[Pair] = Field(description="coverage, risk")


class Shares(Part):
    """What became of a set of images under the checkpoint's own rules of abstention."""

    n: int
    ai_generated: Figure
    real: Figure
    inconclusive: Figure
    unknown_generator: Figure = Field(description="part of ai_generated")
    novel: Figure = Field(description="over the threshold of novelty, whatever the verdict")


class Promise(Part):
    """A rate that the checkpoint was asked to keep, and what it is on these images.

    `kept_95` is where the found rate lies in 95 of 100 such tests when the promise is kept, given how few units the threshold and the test rest
    on. Promises are for images that arrive as those of the calibration did; under other conditions there is no such range.
    """

    asked: float
    found: Figure
    kept_95: Pair | None = None

    @property
    def kept(self) -> bool | None:
        """Whether the found rate is in the range or below it, for a promise is a limit; None where there is no range."""
        if self.kept_95 is None or self.found.value is None:
            return None
        return self.found.value <= self.kept_95[1]


class Decisions(Part):
    """The rule that the checkpoint carries, held against these images."""

    false_positive_rate: Promise = Field(description="share of photographs whose evidence reaches ai_from")
    false_negative_rate: Promise = Field(description="share of generated images whose evidence is at or under real_to")
    false_rejection_rate: Promise | None = Field(description="share over the threshold of novelty")
    photographs: Shares
    generated: Shares
    precision_at_prevalence: dict[str, Figure] = Field(
        description="share of `ai_generated` that is right where so many images are AI"
    )


class LabelSets(Part):
    """Conformal label sets: how often they hold the true class, and what that costs."""

    missed: Promise = Field(description="share of images whose true class is not in the set")
    coverage: Figure
    mean_size: Figure
    single: float = Field(description="share of sets with one label")
    empty: float = Field(description="share where no class was likely enough; serving then gives the likeliest")
    coverage_by_class: dict[str, float]


class Branch(Part):
    """One branch on its own, or the ensemble with one branch's features replaced by their mean."""

    accuracy: Figure
    macro_f1: float | None
    auroc: float | None
    ece: float


class SetFigures(Part):
    """One set of images of known classes under one condition."""

    n: int
    units: int = Field(description="scenes, repositories: what is drawn again for intervals")
    refused: int
    by_class: dict[str, int]
    accuracy: Figure
    balanced_accuracy: Figure
    macro_f1: Figure
    per_class: dict[str, ClassFigures]
    confusion: list[list[int]] = Field(
        description="rows: true class, columns: likeliest class, in the order of checkpoint.classes"
    )
    auroc: Figure = Field(description="real against everything else")
    roc: list[Pair]
    tpr_at_fpr: list[FixedFpr]
    generator_accuracy: Figure = Field(description="of the generated images, by the probabilities given AI")
    generator_macro_f1: Figure
    calibration: Calibration
    which: Selective = Field(description="for naming the class")
    whether: Selective = Field(description="for saying whether it is AI, at 0.5")
    decisions: Decisions | None = None
    label_sets: LabelSets | None = None
    alone: dict[str, Branch]
    without: dict[str, Branch] = {}


class OpenSetFigures(Part):
    """Images of generators that were never taught, against images of known classes under the same condition."""

    unknown: int
    known: int
    by_generator: dict[str, int]
    auroc: dict[str, Figure] = Field(
        description="by score: novelty, max_probability, energy; unknown against all known"
    )
    auroc_against_generated: dict[str, Figure] = Field(
        description="unknown against known generators only: photographs are the easier part"
    )
    oscr: dict[str, Figure]
    detected: Figure = Field(description="AUROC of real against the unknown generators: is it AI at all?")
    shares: Shares | None = None


class LeftOut(Part):
    """A probe trained without one generator. The features below it have seen that generator, so this is kinder than a full training without it."""

    known_accuracy: Figure
    unknown: int
    auroc: dict[str, Figure]
    oscr: dict[str, Figure]


class Delivery(Part):
    """The same images as they lie there and under a condition."""

    n: int
    changed: Figure = Field(description="share whose verdict is another one")
    turned: Figure = Field(description="share that went from ai_generated to real or back")


class Example(Part):
    """One image of the test split; pictures are in the HTML only."""

    file: str
    condition: str
    true: str
    said: str
    p: float
    p_true: float
    right: bool


class TrueImages(Part):
    """True images from outside, none of them trained on."""

    n: int
    by_class: dict[str, int]
    sources: int
    refused: int
    balanced_accuracy: Figure
    auroc: Figure
    chance: dict[str, float]
    reading: str


class CheckpointCard(Part):
    """Which checkpoint this is about."""

    file: str
    sha256: str
    bytes: int
    version: str
    kind: str
    claims: str = Field(description="none for a checkpoint that was trained on simulated images")
    training_data: str
    note: str
    classes: list[str]
    preprocess_id: str
    calibration_id: str
    temperatures: dict[str, float]
    abstention: dict[str, Any] | None
    backbones: dict[str, str]
    parameters: int


class SplitCard(Part):
    """One split of the manifest."""

    images: int
    units: int
    by_class: dict[str, int]


class DataCard(Part):
    """Which images this is about."""

    manifest_sha256: str
    splits: dict[str, SplitCard]
    sources: dict[str, int]
    licences: dict[str, int]
    refused: dict[str, str] = Field(description="file and error code")
    audit: dict[str, Any] | None = Field(description="accuracy of each shortcut, as found and on canonical crops")


class Made(Part):
    """When, where and how fast."""

    date: str
    seconds: float
    images: int = Field(description="judged, an image counted once for each condition")
    images_per_second: float
    hardware: dict[str, Any]
    params: dict[str, Any]


class Report(Part):
    """All of it."""

    schema_: Literal["deeptrace.report/1"] = Field(default=SCHEMA, alias="schema")
    checkpoint: CheckpointCard
    headline: dict[str, float] = Field(
        description="what is put first: figures of the split `test`, and the worst that is known"
    )
    how_to_read: list[str]
    data: DataCard
    sets: dict[str, dict[str, SetFigures]] = Field(description="by split and condition")
    open_set: dict[str, OpenSetFigures] = Field(description="the split unseen_generator, by condition")
    left_out: dict[str, dict[str, LeftOut]] = Field(description="by generator and condition")
    delivery: dict[str, Delivery] = Field(description="by condition, against `clean`")
    profile: CalibrationProfile | None = Field(
        default=None,
        description="how the test images are answered, as they arrived for the calibration: by true class and cell; null where the checkpoint has none",
    )
    examples: list[Example]
    true_images: TrueImages | None
    made: Made

    def to_json(self) -> str:
        """Return the text of report.json."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"


def read_report(path: Path) -> Report:
    """Read report.json; raises `UsageError` where the file is none, or is of another version."""
    remedy = "Give the report.json that `deeptrace evaluate` of this release wrote."
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read", why=error.strerror or type(error).__name__, remedy=remedy) from error
    try:
        return Report.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(f"{path} is not a report card", why=f"{place}: {first['msg']}", remedy=remedy) from error
