"""The reference: the share of each class in normal times."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from schemas.base import fault_list
from schemas.calibration import CalibrationProfile
from schemas.errors import ConfigError
from schemas.verdict import REAL
from streams.settings import DriftSettings, Share

SUM_TOLERANCE = 1e-6
FLOOR = 0.001
"""The share of a class that the reference does not know or gives nothing: surprising, but not infinitely so."""

_SHARES = TypeAdapter(dict[str, Share])


@dataclass(frozen=True, slots=True)
class Reference:
    """Shares that sum to 1, as they were given: of the argmax counts (`shares`), and corrected for prevalence where that was known.

    `version` is the name it is stored under; one from the settings has none. `profile` is that of the model it was built with.
    """

    shares: Mapping[str, float]
    corrected: Mapping[str, float] | None = None
    version: str | None = None
    profile: CalibrationProfile | None = None

    def over(self, classes: Iterable[str]) -> dict[str, float]:
        """Return shares over `classes` and the reference's own, none under the floor, summing to 1.

        A class that the reference does not know (`unknown_generator`, a generator of a newer checkpoint) is exactly what drift should
        show, so it takes part with the floor's share instead of being left out.

        >>> Reference({"flux": 0.5, "real": 0.5}).over(["midjourney"])["midjourney"] < 0.001
        True
        """
        known = self.shares.keys()
        raised = {name: max(self.shares.get(name, 0.0), FLOOR) for name in [*known, *sorted(set(classes) - known)]}
        total = sum(raised.values())
        return {name: share / total for name, share in raised.items()}


class References(Protocol):
    """The reference of each tenant, as it is known now. Answers at once; what is stored elsewhere is fetched in the background."""

    def of(self, tenant: str) -> Reference | None:
        """Return the tenant's own reference, else that of all tenants, or None."""


@dataclass(frozen=True, slots=True)
class FixedReferences:
    """One reference for everybody, from the settings."""

    reference: Reference | None

    def of(self, tenant: str) -> Reference | None:  # noqa: ARG002  # the protocol's signature
        """Return the one reference."""
        return self.reference


def load_reference(settings: DriftSettings) -> Reference | None:
    """Return the reference of the settings, or None where there is none.

    Raises:
        ConfigError: the file cannot be read, or is not a JSON object of shares that sum to 1 with the class `real` among them.
    """
    if settings.reference is not None:
        return Reference(dict(settings.reference))
    if settings.reference_file is None:
        return None
    return Reference(_read(settings.reference_file))


def _read(path: Path) -> dict[str, float]:
    try:
        shares = _SHARES.validate_json(path.read_bytes())
    except OSError as error:
        raise _unusable(path, error.strerror or type(error).__name__) from error
    except ValidationError as error:
        raise _unusable(path, fault_list(error, show_keys=True)) from None
    if abs(sum(shares.values()) - 1) > SUM_TOLERANCE:
        raise _unusable(path, f"the shares must sum to 1, they sum to {sum(shares.values()):.6f}")
    if REAL not in shares:
        raise _unusable(path, f"the class {REAL!r} is missing")
    return shares


def _unusable(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"the drift reference {path} cannot be used",
        why=why,
        remedy='Write a JSON object like {"real": 0.9, "flux": 0.1} and name it in DEEPTRACE_DRIFT__REFERENCE_FILE.',
    )
