"""The smaller loop on a user's own labelled folder: known classes are learnt further, and a folder with a new name becomes a new class.

The recipe for a new class:

1. Put the images into one sub-folder a class. `real` must be among them. A second level of folders (camera, repository, prompt set) is taken
   for the source, and images of one source are never split.
2. Add some images of every class that the checkpoint knows: what a folder lacks, nothing defends while the others are learnt, and it fades.
3. `deeptrace finetune FOLDER --checkpoint C --out DIR`. The class gets a row of its own in the head and in each branch's classifier, begun as
   the mean of the known generators'; all old rows are kept (`training.start.grown`). First the head learns, then the top blocks as well, at
   rates that move little (`finetune` in params.yaml).
4. Calibrate and evaluate the result as any other: its temperatures and thresholds are those of another network. Compare the old classes'
   figures with the old report card's before it is promoted.
"""

from pathlib import Path
from typing import Final

from model.checkpoint import Loaded, load
from training.items import require_readable
from training.labelled import labelled_rows
from training.manifest import Manifest, write_manifest
from training.manifest_build import build_manifest
from training.params import ModelParams, Params
from training.splits import HeldOut, split_rows
from training.start import grown
from training.train import Surroundings, Trained, examined, learn

MANIFEST: Final = "manifest.csv"


def finetune(place: Path, checkpoint: Path, params: Params, out: Path, around: Surroundings) -> Trained:
    """List and split the folder, audit it, train by `params.finetune`, and write manifest, checkpoint and report into `out`.

    Shape and pixel policy are the checkpoint's, whatever `params.model` says. Raises `CheckpointRefused` for a file that is no checkpoint,
    `UsageError` for images that cannot be trained on, `CheckFailed` for a folder with a shortcut.
    """
    begun_from = load(checkpoint)
    manifest = _listed(place, params, out, around)
    known = begun_from.meta.config.classes
    added = tuple(name for name in manifest.classes if name not in known)
    around.say(_told(manifest, known, added))
    params = params.model_copy(update={"model": _model_of(begun_from, params.model)})
    loop = params.finetune
    data = examined(manifest, (*known, *added), params, loop, around)
    network = grown(begun_from.network, added, seed=loop.seed) if added else begun_from.network
    return learn(network, data, manifest, params, loop, out, around, begun_from=begun_from)


def _listed(place: Path, params: Params, out: Path, around: Surroundings) -> Manifest:
    out.mkdir(parents=True, exist_ok=True)
    rows = labelled_rows(place, relative_to=out)
    built = build_manifest(
        rows, out, near_duplicate_bits=params.data.near_duplicate_bits, processes=params.finetune.processes
    )
    require_readable([f"{one.file}: {one.reason}" for one in built.refused], len(rows), around.say)
    manifest = built.manifest.with_rows(split_rows(built.manifest.rows, params.data, HeldOut()))
    write_manifest(out / MANIFEST, manifest)
    return manifest


def _told(manifest: Manifest, known: tuple[str, ...], added: tuple[str, ...]) -> str:
    missing = [name for name in known if name not in manifest.classes]
    text = f"new classes: {', '.join(added)}" if added else "no new class"
    if missing:
        text += f"; no images of {', '.join(missing)}, which the checkpoint knows: their figures may fall"
    return text


def _model_of(begun_from: Loaded, given: ModelParams) -> ModelParams:
    """Return the parameters that describe the checkpoint's network."""
    config = begun_from.meta.config
    return given.model_copy(
        update={
            "cnn": config.cnn,
            "vit": config.vit,
            "fft_features": config.fft_features,
            "hidden": config.hidden,
            "dropout": config.dropout,
            "pretrained": None,
            "preprocess_id": begun_from.meta.preprocess_id,
        }
    )
