"""Moving an alias: which release may be served, and what a rollback goes back to."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from schemas.errors import CheckFailed, CheckpointRefused, StoreConflict
from schemas.release import MAX_PREVIOUS, Alias, ReleaseManifest, ReleaseMove
from schemas.verdict import is_simulated
from streams.releases.registry import Registry


def promote(
    registry: Registry, release: ReleaseManifest, alias: Alias, *, allow_simulated: bool = False
) -> ReleaseMove:
    """Let `alias` point at `release`, once its stored bytes were fetched, hashed and loaded as a worker would.

    Raises:
        ReleaseCorrupt, ReleaseMissing: the stored bytes are not those that were published, or are gone.
        CheckpointRefused: no worker of this release of DeepTrace could serve it, or it was trained on simulated images.
        CheckFailed: the alias points there already, or somebody else has just moved it.
    """
    if is_simulated(release.training_data) and not allow_simulated:
        raise CheckpointRefused(
            f"{release.name}@{release.version} was trained on simulated images",
            why="its verdicts say nothing about real generators",
            remedy="Promote another release, or give --allow-simulated to try things out: workers ask for DEEPTRACE_MODEL__ALLOW_SIMULATED=true as well.",
        )
    check(registry, release)
    last = _last(registry, release.name, alias)
    if last is not None and (last.version, last.sha256) == (release.version, release.sha256):
        raise CheckFailed(f"{alias} of {release.name} points at {release.version} already")
    previous = () if last is None or last.version is None else (last.version, *last.previous)
    return _move(
        registry,
        last,
        ReleaseMove(
            name=release.name,
            alias=alias,
            number=1 if last is None else last.number + 1,
            action="promote",
            version=release.version,
            sha256=release.sha256,
            previous=previous[:MAX_PREVIOUS],
            moved=datetime.now(UTC),
        ),
    )


def roll_back(registry: Registry, model: str, alias: Alias) -> ReleaseMove:
    """Let `alias` point where it pointed before the last promotion that is not undone; a shadow that was the first points at nothing then.

    Raises:
        CheckFailed: there is nothing to go back to.
        ReleaseCorrupt, ReleaseMissing, CheckpointRefused: the release to go back to can no longer be served.
    """
    last = _last(registry, model, alias)
    if last is None or last.version is None or (alias == "champion" and not last.previous):
        raise CheckFailed(
            f"{alias} of {model} has nothing to go back to",
            why="it never pointed anywhere else",
            remedy=f"`deeptrace model promote {model}@VERSION --alias {alias}` lets it point at a release.",
        )
    version, sha256 = None, None
    if last.previous:
        release = registry.manifest(model, last.previous[0])
        check(registry, release)
        version, sha256 = release.version, release.sha256
    return _move(
        registry,
        last,
        ReleaseMove(
            name=model,
            alias=alias,
            number=last.number + 1,
            action="rollback",
            version=version,
            sha256=sha256,
            previous=last.previous[1:],
            moved=datetime.now(UTC),
        ),
    )


def check(registry: Registry, release: ReleaseManifest) -> None:
    """Return if the stored bytes are those of the manifest and load as what it says; see `promote` for what it raises."""
    from model.checkpoint import load  # torch

    with tempfile.TemporaryDirectory(prefix="deeptrace-release-") as folder:
        load(
            registry.fetch(release, Path(folder)),
            expected_sha256=release.sha256,
            expected_preprocess_id=release.preprocess_id,
        )


def _last(registry: Registry, model: str, alias: Alias) -> ReleaseMove | None:
    pointer = registry.pointer(model, alias)
    return None if pointer is None else pointer.move


def _move(registry: Registry, last: ReleaseMove | None, move: ReleaseMove) -> ReleaseMove:
    try:
        registry.move(move)
    except StoreConflict as error:
        raise CheckFailed(
            f"somebody else has just moved {move.alias} of {move.name}",
            why=f"it was at {last.version if last else 'nothing'} when this began",
            remedy="Look at `deeptrace model list`, then decide anew.",
        ) from error
    return move
