"""Publishing a release: what does not load is never stored, and what is stored under a version is never replaced."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from schemas.errors import CheckFailed, ReleaseMissing, StoreConflict, UsageError
from schemas.release import VERSION_PATTERN, ReleaseManifest, is_version
from streams.releases.registry import MANIFEST, MAX_MODEL_BYTES, MODEL, REPORT, REPORT_HTML, Registry


@dataclass(frozen=True, slots=True)
class Report:
    """The report card that goes with a release, as `deeptrace evaluate` wrote it; `html` is None where it was not rendered."""

    data: bytes
    html: bytes | None
    figures: dict[str, float]
    checkpoint_sha256: str | None


@dataclass(frozen=True, slots=True)
class Published:
    """A release as it lies in the registry, and whether it was stored just now or was there before, byte for byte."""

    release: ReleaseManifest
    created: bool


def publish(
    registry: Registry, checkpoint: Path, *, model: str, version: str | None, report: Report | None, note: str = ""
) -> Published:
    """Store a checkpoint as a release; `version` None takes the one the checkpoint was saved with. Repeating it changes nothing.

    Raises:
        CheckpointRefused: it would be refused by a worker as well.
        CheckFailed: the version exists with other bytes, or the report card is of another checkpoint.
        UsageError: the version cannot be one.
    """
    from model.checkpoint import load  # torch

    loaded = load(checkpoint)
    version = version or loaded.meta.version
    if not is_version(version):
        raise UsageError(
            f"{version}: not a version",
            why=f"it must match {VERSION_PATTERN} and be no alias",
            remedy="Give one with --version, such as 1.2.0.",
        )
    data = checkpoint.read_bytes()
    if hashlib.sha256(data).hexdigest() != loaded.sha256 or len(data) > MAX_MODEL_BYTES:
        raise CheckFailed(
            f"{checkpoint} cannot be published",
            why=f"it changed while it was read, or is larger than {MAX_MODEL_BYTES} bytes",
            remedy="Publish it once it is written.",
        )
    if report is not None and report.checkpoint_sha256 not in {None, loaded.sha256}:
        raise CheckFailed(
            "the report card is of another checkpoint",
            why=f"it names {report.checkpoint_sha256}, the checkpoint is {loaded.sha256}",
            remedy="Run `deeptrace evaluate` on this checkpoint.",
        )
    release = ReleaseManifest(
        name=model,
        version=version,
        sha256=loaded.sha256,
        size_bytes=len(data),
        classes=loaded.meta.config.classes,
        preprocess_id=loaded.meta.preprocess_id,
        kind=loaded.meta.kind,
        training_data=loaded.meta.training_data,
        calibration_id=loaded.meta.calibration_id,
        created=_now(),
        figures=report.figures if report else {},
        report_sha256=hashlib.sha256(report.data).hexdigest() if report else None,
        has_html=report is not None and report.html is not None,
        note=note,
    )
    if (there := _published(registry, model, version)) is not None:
        if (there.sha256, there.report_sha256) == (release.sha256, release.report_sha256):
            return Published(there, created=False)
        raise _taken(release, "its checkpoint or its report card differs")
    _store(registry, release, data, report)
    return Published(release, created=True)


def read_report(path: Path) -> Report:
    """Read `report.json`, and `report.html` if it lies beside it.

    Raises:
        UsageError: it is not a report card.
    """
    try:
        data = path.read_bytes()
        found: Any = orjson.loads(data)
    except (OSError, orjson.JSONDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read as a report card",
            why=type(error).__name__,
            remedy="Give the report.json that `deeptrace evaluate` wrote.",
        ) from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} is not a report card", remedy="Give the report.json that `deeptrace evaluate` wrote.")
    html = path.with_suffix(".html")
    checkpoint = found.get("checkpoint")
    return Report(
        data,
        html.read_bytes() if html.is_file() else None,
        headline(found),
        checkpoint.get("sha256") if isinstance(checkpoint, dict) else None,
    )


def headline(report: dict[str, Any]) -> dict[str, float]:
    """Return the figures a report card puts first; those that are no numbers are left out."""
    figures = report.get("headline")
    if not isinstance(figures, dict):
        return {}
    return {
        str(name): float(value)
        for name, value in figures.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _now() -> datetime:
    """Return the moment as it is written: to the millisecond."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _published(registry: Registry, model: str, version: str) -> ReleaseManifest | None:
    try:
        return registry.manifest(model, version)
    except ReleaseMissing:
        return None


def _store(registry: Registry, release: ReleaseManifest, data: bytes, report: Report | None) -> None:
    """The manifest comes last: until it is there the release does not exist, and an interrupted publish can be repeated."""
    files = [(MODEL, data, "application/octet-stream")]
    if report is not None:
        files.append((REPORT, report.data, "application/json"))
        if report.html is not None:
            files.append((REPORT_HTML, report.html, "text/html; charset=utf-8"))
    files.append((MANIFEST, release.to_bytes(), "application/json"))
    for name, content, kind in files:
        try:
            registry.write(release.name, release.version, name, content, kind)
        except StoreConflict as error:
            raise _taken(
                release, f"{name} is there with other bytes, perhaps of a publish that was interrupted"
            ) from error


def _taken(release: ReleaseManifest, why: str) -> CheckFailed:
    return CheckFailed(
        f"{release.name}@{release.version} is taken",
        why=why,
        remedy="A version is published once: give another with --version.",
    )
