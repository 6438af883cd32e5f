"""The stage `train`: a manifest in, an uncalibrated checkpoint and a report of how it was made out."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from model.checkpoint import Loaded, save
from model.checkpoint_meta import CheckpointMeta, Kind
from model.network import Ensemble
from training.audit import audit_manifest
from training.corpus.build import Map
from training.fit import device_of, fit
from training.hardware import hardware
from training.items import TrainingSet, training_set
from training.manifest import Manifest
from training.params import Params, TrainParams
from training.start import config_of, network_of, new_network
from training.watch import Epoch, Quiet, Watch

CHECKPOINT: Final = "last.safetensors"
REPORT: Final = "train.json"
STATE: Final = "state.safetensors"

SIMULATED_NOTE: Final = (
    "Trained on simulated images only: it says nothing about true generators, and on true images it is at chance."
)
# Knobs that change how fast a training runs or how often it is saved, and not what it gives.
_WITHOUT_EFFECT: Final = {"processes", "state_steps"}

Say = Callable[[str], None]


class Tracker(Protocol):
    """Keeps a record of trainings; never ends one."""

    def begin(self, facts: Mapping[str, Any]) -> None:
        """A training begins, or goes on."""

    def epoch(self, epoch: Epoch) -> None:
        """One epoch is over."""

    def end(self, checkpoint: Path, report: Mapping[str, Any]) -> None:
        """The checkpoint is written."""


class NoTracker:
    """Keeps nothing."""

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Keep nothing."""

    def epoch(self, epoch: Epoch) -> None:
        """Keep nothing."""

    def end(self, checkpoint: Path, report: Mapping[str, Any]) -> None:
        """Keep nothing."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a training needs around it and is not made of."""

    ordered_map: Map
    say: Say
    watch: Watch = field(default_factory=Quiet)
    tracker: Tracker = field(default_factory=NoTracker)
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Trained:
    """The written checkpoint, and what `train.json` says."""

    path: Path
    sha256: str
    report: dict[str, Any]


def train(manifest: Manifest, params: Params, out: Path, around: Surroundings, *, start: Path | None = None) -> Trained:
    """Audit the manifest, train by `params.train` and write `last.safetensors` and `train.json` into `out`.

    A training that was stopped in `out` goes on unless `around.fresh`. `start` is a checkpoint to go on from instead of `params.model.pretrained`.
    Raises `CheckFailed` for a corpus with a shortcut, `UsageError` for images that cannot be trained on, `CheckpointRefused` for a start that does not fit.
    """
    classes = manifest.classes
    data = examined(manifest, classes, params, params.train, around)
    config = config_of(params.model, classes)
    if start is None:
        if params.model.pretrained is None and params.train.phases[0].layers != "all":
            around.say(
                "the backbones start from random weights, and the first phase does not teach them: set `model.pretrained`, or train `layers: all`"
            )
        network = new_network(config, params.model, seed=params.train.seed)
        return learn(network, data, manifest, params, params.train, out, around)
    begun_from = network_of(start, config, params.model.preprocess_id)
    return learn(begun_from.network, data, manifest, params, params.train, out, around, begun_from=begun_from)


def examined(
    manifest: Manifest, classes: tuple[str, ...], params: Params, loop: TrainParams, around: Surroundings
) -> TrainingSet:
    """Read and audit the images of a training; raises `UsageError` or `CheckFailed` before anything is learnt."""
    data = training_set(
        manifest,
        classes,
        around.ordered_map,
        validation_share=loop.validation_share,
        seed=loop.seed,
        warn=around.say,
    )
    tried = audit_manifest(
        manifest, around.ordered_map, tolerance=params.data.shortcut_tolerance, seed=loop.seed
    ).canonical
    shortcut, accuracy = tried.worst()
    around.say(
        f"audit of {tried.n} images: the best shortcut is {shortcut}, {accuracy:.3f} where chance is {tried.chance:.3f}"
    )
    tried.require_chance()
    return data


def learn(
    network: Ensemble,
    data: TrainingSet,
    manifest: Manifest,
    params: Params,
    loop: TrainParams,
    out: Path,
    around: Surroundings,
    *,
    begun_from: Loaded | None = None,
) -> Trained:
    """Run the loop and write what came of it; equal inputs give equal bytes of the checkpoint."""
    started = time.monotonic()
    start = begun_from.sha256 if begun_from else ""
    fingerprint = fingerprint_of(data, params, loop, start)
    state = out / STATE
    if around.fresh:
        state.unlink(missing_ok=True)
    facts = {
        "fingerprint": fingerprint,
        "data_sha256": data.sha256,
        "images": data.counts(),
        "validation_images": len(data.validation),
        "unreadable": list(data.unreadable),
        "begun_from": start,
        "params": {
            "model": params.model.model_dump(mode="json"),
            "train": loop.model_dump(mode="json"),
            "augment": params.augment.model_dump(mode="json"),
        },
    }
    around.tracker.begin(facts)
    device = device_of(loop)
    fitted = fit(
        network,
        data,
        params,
        around.ordered_map,
        loop=loop,
        state=state,
        fingerprint=fingerprint,
        watch=_Both(around.watch, around.tracker),
    )
    meta = _meta(fitted.network, data, manifest, params, loop, fingerprint, begun_from)
    path = out / CHECKPOINT
    sha256 = save(path, fitted.network, meta)
    report = {
        "checkpoint": {"file": CHECKPOINT, "sha256": sha256, "bytes": path.stat().st_size},
        "version": meta.version,
        "kind": meta.kind,
        "classes": list(data.classes),
        "training_data": meta.training_data,
        **facts,
        "epochs": [asdict(epoch) for epoch in fitted.history],
        "seconds": round(sum(epoch.seconds for epoch in fitted.history), 1),
        "seconds_of_this_run": round(time.monotonic() - started, 1),
        "hardware": hardware(device),
        "date": datetime.now(UTC).date().isoformat(),
    }
    (out / REPORT).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    around.tracker.end(path, report)
    return Trained(path, sha256, report)


def fingerprint_of(data: TrainingSet, params: Params, loop: TrainParams, start_sha256: str = "") -> str:
    """Return the hash of everything that decides what a training gives, on one machine."""
    knobs = {
        "model": params.model.model_dump(mode="json"),
        "train": loop.model_dump(mode="json", exclude=_WITHOUT_EFFECT),
        "augment": params.augment.model_dump(mode="json"),
        "data": data.sha256,
        "start": start_sha256,
    }
    return hashlib.sha256(json.dumps(knobs, sort_keys=True).encode()).hexdigest()


class _Both:
    """Passes on what is seen, and keeps a record of each epoch."""

    def __init__(self, watch: Watch, tracker: Tracker) -> None:
        self.epoch_begins = watch.epoch_begins
        self.step_ends = watch.step_ends
        self._watch, self._tracker = watch, tracker

    def epoch_ends(self, epoch: Epoch) -> None:
        self._watch.epoch_ends(epoch)
        self._tracker.epoch(epoch)


def _meta(
    network: Ensemble,
    data: TrainingSet,
    manifest: Manifest,
    params: Params,
    loop: TrainParams,
    fingerprint: str,
    begun_from: Loaded | None,
) -> CheckpointMeta:
    """One simulated image among the training images, or a start that was taught by such, makes a simulated checkpoint: it may carry no claim."""
    begun = begun_from.meta if begun_from else None
    sources = sorted({row.source for row in manifest.of("train") if row.generator.startswith("simulated_")})
    simulated: bool = bool(sources) or (begun is not None and begun.kind == "demo_simulated")
    images = len(data.train) + len(data.validation)
    taught = ", ".join(sources) if sources else f"{images} images with hash {data.sha256[:12]}"
    kind: Kind = "demo_simulated" if simulated else "trained"
    name = "finetuned" if begun else "trained"
    return CheckpointMeta(
        version=f"demo-simulated-{loop.seed}" if simulated and begun is None else f"{name}-{fingerprint[:12]}",
        kind=kind,
        config=network.config,
        preprocess_id=params.model.preprocess_id,
        training_data=f"{begun.training_data}, then {taught}" if begun else taught,
        note=SIMULATED_NOTE if simulated else "",
    )
