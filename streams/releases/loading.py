"""From a release to a classifier that may judge, or a reason why it may not. The same checks at the start of a worker and beside its running model."""

import tempfile
from pathlib import Path

from model.classifier import Classifier
from schemas.errors import BatchFailed, CheckpointRefused
from schemas.release import ReleaseManifest
from schemas.verdict import is_simulated
from streams.releases.registry import Registry
from streams.settings import ModelSettings


def load_release(
    registry: Registry,
    release: ReleaseManifest,
    settings: ModelSettings,
    *,
    preprocess_id: str | None = None,
    threads: int | None = None,
) -> Classifier:
    """Fetch, verify, load and warm up a release. It judges under the version it was published as.

    `preprocess_id` is the pixel policy that decoders serve already; `threads` as in `load_classifier`.

    Raises:
        ReleaseCorrupt, ReleaseMissing: the stored bytes are not those that were published, or are gone.
        CheckpointRefused: it does not load, wants other pixels than are served, was trained on simulated images and that was not
            allowed, or finds no memory.
        StoreUnavailable, BucketMissing: the registry cannot be asked.
    """
    what = f"{release.name}@{release.version}"
    if preprocess_id is not None and release.preprocess_id != preprocess_id:
        raise CheckpointRefused(
            f"{what} cannot be swapped in",
            why=f"it judges pixels of {release.preprocess_id!r}, and the decoders serve {preprocess_id!r}",
            remedy="Restart the workers: they start with the pixels that the release asks for.",
        )
    refuse_simulated(release.training_data, what, allowed=settings.allow_simulated)
    import torch

    from model.checkpoint import load_classifier

    try:
        with tempfile.TemporaryDirectory(prefix="deeptrace-release-") as folder:
            classifier = load_classifier(
                registry.fetch(release, Path(folder)),
                device=settings.device,
                expected_sha256=settings.sha256 or release.sha256,
                expected_preprocess_id=release.preprocess_id,
                threads=threads,
                version=release.version,
            )
        classifier.warm_up()
    except (MemoryError, torch.OutOfMemoryError, BatchFailed) as error:
        raise CheckpointRefused(
            f"there is no room for {what}",
            why=f"{type(error).__name__} while it was loaded or judged its first image",
            remedy="During a swap two models lie in memory: give the worker more, or restart it with the new one.",
        ) from error
    return classifier


def refuse_simulated(training_data: str, what: str, *, allowed: bool) -> None:
    """Refuse a model that was trained on simulated images, unless that is allowed.

    Raises:
        CheckpointRefused
    """
    if is_simulated(training_data) and not allowed:
        raise CheckpointRefused(
            f"{what} was trained on simulated images",
            why="its verdicts say nothing about real generators",
            remedy="Configure another with DEEPTRACE_MODEL__CHECKPOINT or DEEPTRACE_MODEL__RELEASE, or set DEEPTRACE_MODEL__ALLOW_SIMULATED=true to try things out.",
        )
