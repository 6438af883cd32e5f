"""The stage `evaluate`: a checkpoint and a manifest in, a report card out.

Every image is judged once under each condition; all figures come from those answers. Nothing is fitted here but the probes without a generator.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

import torch

from model.checkpoint import Loaded, load
from model.ensemble import EnsembleClassifier
from model.policy import PixelPolicy, policy_of
from schemas.calibration import CalibrationProfile
from schemas.errors import UsageError
from schemas.verdict import REAL
from training.ablation import without_branches
from training.audit import audit_manifest
from training.conditions import CLEAN, LAUNDERED, conditions_of
from training.corpus.build import Map
from training.hardware import hardware
from training.image_sets import UNSEEN_GENERATOR, drawn, images_of
from training.items import units_of
from training.manifest import SPLITS, Manifest
from training.params import Params
from training.probe import leave_out
from training.profile import measured_profile
from training.report.cards import checkpoint_card, data_card, headline_of, how_to_read
from training.report.examples import Shown, examples_of
from training.report.figures import Rules, set_figures, share
from training.report.open_set import left_out_figures, only_unknown, open_set_figures
from training.report.schema import Delivery, LeftOut, Made, OpenSetFigures, Report, SetFigures, TrueImages
from training.report.verdicts import verdicts_of
from training.scores import Answers, answers
from training.served import Image
from training.true_images import true_image_figures, true_images

TEST: Final = "test"
JUDGED: Final = tuple(split for split in SPLITS if split not in {"train", "calibration"})
PROBE_IMAGES: Final = 80
"""Training images of each class that the probes without a generator learn from."""
FEATURES_IMAGES: Final = 4000
"""Test images whose features are kept for ablation and probes; more would fill the memory."""

Found = TypeVar("Found")
Say = Callable[[str], None]
Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The report card, and the pictures that only its HTML shows."""

    report: Report
    shown: list[Shown] = field(default_factory=list)


def evaluate_checkpoint(
    checkpoint: Path,
    manifest: Manifest,
    ordered_map: Map,
    *,
    params: Params,
    notes: Sequence[str] = (),
    say: Say = lambda _: None,
    advance: Advance = lambda _done, _total: None,
) -> Evaluated:
    """Measure everything that a report card holds.

    `notes` are put before its own remarks on how to read it. `advance` is told how many of how many images are judged.

    Raises `UsageError` where the split `test` is empty or holds classes that the checkpoint does not know, `CheckpointRefused` for the
    checkpoint itself, `ConfigError` for an unknown condition.
    """
    started = time.monotonic()
    loaded = load(checkpoint)
    work = _Work(loaded, manifest, ordered_map, params, say, advance)
    seen = work.judge_all()
    sets = work.sets(seen)
    open_set, left_out = work.open_set(seen), work.left_out(seen)
    delivery = work.delivery(seen[TEST])
    shown = work.examples(seen[TEST])
    outside = work.outside()
    say("shortcut audit")
    audit = audit_manifest(
        manifest, ordered_map, tolerance=params.data.shortcut_tolerance, seed=params.evaluate.seed
    ).as_dict()
    seconds = time.monotonic() - started
    report = Report(
        checkpoint=checkpoint_card(loaded, checkpoint),
        headline=headline_of(sets, open_set, outside),
        how_to_read=[*notes, *how_to_read(loaded.meta, sets, open_set=bool(open_set), probes=bool(left_out))],
        data=data_card(manifest, (part for parts in seen.values() for part in parts.values()), audit),
        sets=sets,
        open_set=open_set,
        left_out=left_out,
        delivery=delivery,
        profile=work.profile(seen[TEST]),
        examples=[item.example for item in shown],
        true_images=outside,
        made=Made(
            date=datetime.now(UTC).date().isoformat(),
            seconds=round(seconds, 1),
            images=work.done,
            images_per_second=round(work.done / work.judging_s, 1),
            hardware=hardware(),
            params=params.evaluate.model_dump(mode="json", exclude={"true_images"}),
        ),
    )
    return Evaluated(report, shown)


class _Work:
    """One evaluation under way: the network, its rules, and how far it is."""

    def __init__(
        self, loaded: Loaded, manifest: Manifest, ordered_map: Map, params: Params, say: Say, advance: Advance
    ) -> None:
        self._loaded, self._manifest, self._map, self._params, self._say = loaded, manifest, ordered_map, params, say
        self._advance_to = advance
        self.done, self.judging_s, self._total = 0, 0.0, 0
        self._policy: PixelPolicy = policy_of(loaded.meta.preprocess_id)
        self._classes = loaded.meta.config.classes
        self._rules = Rules(
            loaded.meta.temperatures,
            loaded.meta.abstention,
            params.evaluate.seed,
            params.evaluate.bootstrap,
            len(set(units_of(manifest.of("calibration")))) or None,
        )
        self._images: dict[str, list[Image]] = {
            split: found for split in JUDGED if (found := images_of(manifest, split, self._classes))
        }
        if TEST not in self._images:
            raise UsageError(
                "there is nothing to evaluate on",
                why="no row of the manifest has the split `test`",
                remedy="Split the images: `deeptrace data manifest FOLDER`.",
            )
        outside = params.evaluate.true_images
        self._outside = true_images(outside, self._classes) if outside else []
        self._probe = drawn(self._train(), PROBE_IMAGES, seed=self._rules.seed) if self._may_leave_out() else []

    def judge_all(self) -> dict[str, dict[str, Answers]]:
        """Judge every split under its conditions: all of them for `test`, clean and laundered for the others."""
        plan = [
            (split, condition)
            for split in self._images
            for condition in (conditions_of(self._params.evaluate) if split == TEST else (CLEAN, LAUNDERED))
        ]
        self._total = sum(len(self._images[split]) for split, _ in plan) + len(self._outside) + 2 * len(self._probe)
        seen: dict[str, dict[str, Answers]] = {}
        for split, condition in plan:
            small = len(self._images[split]) <= FEATURES_IMAGES
            keep = split == TEST and condition in {CLEAN, LAUNDERED} and small
            seen.setdefault(split, {})[condition] = self._judge(
                self._images[split], condition, what=split, keep_joint=keep
            )
        return seen

    def sets(self, seen: Mapping[str, Mapping[str, Answers]]) -> dict[str, dict[str, SetFigures]]:
        """Return the figures of every split and condition but of the images of unknown classes."""
        self._say("figures and intervals")
        return {
            split: {condition: self._figures(part) for condition, part in parts.items()}
            for split, parts in seen.items()
            if split != UNSEEN_GENERATOR
        }

    def open_set(self, seen: Mapping[str, Mapping[str, Answers]]) -> dict[str, OpenSetFigures]:
        """Hold the images of unseen generators against the test images; photographs of their split count as such."""
        names = {row.file: row.label for row in self._manifest.of(UNSEEN_GENERATOR)}
        found = {}
        for condition, part in seen.get(UNSEEN_GENERATOR, {}).items():
            unknown = only_unknown(part)
            if not len(unknown.images):
                continue
            own = part.known()
            found[condition] = open_set_figures(
                seen[TEST][condition], own if len(own.images) else None, unknown, self._rules, names
            )
        return found

    def left_out(self, seen: Mapping[str, Mapping[str, Answers]]) -> dict[str, dict[str, LeftOut]]:
        """Learn the head anew without each generator in turn, and judge the test images with it."""
        tests = [part for part in seen[TEST].values() if part.joint is not None]
        if not self._probe or not tests:
            return {}
        train = [
            self._judge(self._probe, condition, what="train, for probes", keep_joint=True)
            for condition in (CLEAN, LAUNDERED)
        ]
        found: dict[str, dict[str, LeftOut]] = {}
        for name in self._classes:
            if name == REAL or not (tests[0].labels == self._classes.index(name)).any():
                continue
            self._say(f"probe without {name}")
            probed = leave_out(self._loaded.network, name, train, tests, seed=self._rules.seed)
            found[name] = {one.known.condition: left_out_figures(one, self._rules) for one in probed}
        return found

    def delivery(self, test: Mapping[str, Answers]) -> dict[str, Delivery]:
        """Compare the verdicts under each condition with those on the files as they lie there."""
        rules = self._loaded.meta.abstention
        if rules is None:
            return {}
        first = test[CLEAN]
        found = {}
        for condition, part in test.items():
            if condition == CLEAN:
                continue
            both = {image.name for image in first.images} & {image.name for image in part.images}
            here, there = (side.where_named(both) for side in (first, part))
            before, after = (verdicts_of(side, self._loaded.meta.temperatures, rules) for side in (here, there))
            found[condition] = Delivery(
                n=len(both),
                changed=share(before.differ(after), here.units, self._rules),
                turned=share(before.opposed(after), here.units, self._rules),
            )
        return found

    def profile(self, test: Mapping[str, Answers]) -> CalibrationProfile | None:
        """Count the test images that arrived as those of the calibration did."""
        rules = self._loaded.meta.abstention
        part = test.get(rules.fitted_on) if rules else None
        return measured_profile(part, self._loaded.meta) if part else None

    def examples(self, test: Mapping[str, Answers]) -> list[Shown]:
        """Return examples from the laundered test images."""
        count = self._params.evaluate.examples
        if not count:
            return []
        classifier = EnsembleClassifier(
            self._loaded.network, self._loaded.meta, self._loaded.sha256, device=torch.device("cpu")
        )
        return examples_of(test[LAUNDERED], classifier, self._rules, count, seed=self._rules.seed, policy=self._policy)

    def outside(self) -> TrueImages | None:
        """Judge the true images, where there are any."""
        if not self._outside:
            return None
        self._say(f"true images: {len(self._outside)}")
        return self._timed(
            lambda: true_image_figures(
                self._loaded.network,
                self._outside,
                self._map,
                self._rules,
                policy=self._policy,
                simulated=self._loaded.meta.kind == "demo_simulated",
                advance=self._advance,
            )
        )

    def _figures(self, part: Answers) -> SetFigures:
        replaced = {}
        if part.joint is not None:
            replaced = without_branches(self._loaded.network, part, self._loaded.meta.temperatures)
        return set_figures(part, self._rules, replaced)

    def _judge(self, images: Sequence[Image], condition: str, *, what: str, keep_joint: bool) -> Answers:
        self._say(f"{what}, {condition}: {len(images)} images")
        return self._timed(
            lambda: answers(
                self._loaded.network,
                images,
                condition,
                self._map,
                seed=self._rules.seed,
                policy=self._policy,
                open_set=self._loaded.open_set,
                keep_joint=keep_joint,
                advance=self._advance,
            )
        )

    def _timed(self, work: Callable[[], Found]) -> Found:
        started = time.monotonic()
        try:
            return work()
        finally:
            self.judging_s += time.monotonic() - started

    def _advance(self, count: int) -> None:
        self.done += count
        self._advance_to(self.done, self._total)

    def _may_leave_out(self) -> bool:
        return self._params.evaluate.leave_out and len(self._classes) > 2  # noqa: PLR2004 - one generator must remain

    def _train(self) -> list[Image]:
        try:
            return images_of(self._manifest, "train", self._classes)
        except UsageError:
            self._say("the training images are of other classes: no probes")
            return []
