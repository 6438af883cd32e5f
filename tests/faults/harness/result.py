"""What one trial came to: a JSON file of its own, so that a run can be resumed and the report written from whatever is there."""

import hashlib
import json
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
PACKAGES = ("schemas", "storage", "model", "streams")


@dataclass(slots=True)
class Claim:
    """One thing that must hold, whether it did, and what was seen."""

    claim: str
    holds: bool
    measured: str = ""


@dataclass(slots=True)
class Result:
    """One case on one design. `figures` is what the report shows; `claims` decide whether it passed."""

    case: str
    design: str
    what: str
    scale: str
    seed: int
    version: str
    started_at: str
    took_s: float = 0.0
    machine: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    audit: dict[str, Any] | None = None
    error: str | None = None

    @property
    def passed(self) -> bool:
        """Whether it came to its end and every claim held."""
        return self.error is None and bool(self.claims) and all(claim.holds for claim in self.claims)

    def write(self, folder: Path) -> Path:
        """Write it at once, under the name of its case and design."""
        folder.mkdir(parents=True, exist_ok=True)
        path = place(folder, self.case, self.design)
        incoming = path.with_suffix(".new")
        incoming.write_text(json.dumps(asdict(self) | {"passed": self.passed}, indent=1, sort_keys=True))
        incoming.replace(path)
        return path


def place(folder: Path, case: str, design: str) -> Path:
    """Return the file of a case on a design."""
    return folder / (f"{case}.json" if design == "deeptrace" else f"{case}.{design}.json")


def read(path: Path) -> Result | None:
    """Return a result that was written, or None where there is none of ours."""
    try:
        content = json.loads(path.read_text())
        content.pop("passed")
        claims = [Claim(**claim) for claim in content.pop("claims")]
        return Result(claims=claims, **content)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def version() -> str:
    """Return the release, the commit, and a hash of the sources that are tested: two results of one version are of the same code."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(path.read_bytes())
    commit = ""
    try:
        told = subprocess.run(
            ["git", "-C", str(ROOT), "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=False
        )
        commit = told.stdout.strip()
    except OSError:
        pass
    return "+".join(filter(None, (commit, digest.hexdigest()[:10])))
