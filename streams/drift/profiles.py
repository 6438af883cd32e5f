"""Where the worker finds calibration profiles, by calibration id."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from model.checkpoint_meta import METADATA_KEY
from schemas.base import fault_list
from schemas.calibration import CalibrationProfile
from schemas.errors import ConfigError
from streams.drift.reference import Reference
from streams.settings import Settings

PACKAGED: Final = Path(__file__).parents[2] / "model" / "demo" / "demo.safetensors"


@dataclass(frozen=True, slots=True)
class Profiles:
    """The profiles that the settings name; a reference may bring another."""

    configured: Mapping[str, CalibrationProfile]

    def beside(self, reference: Reference | None) -> Mapping[str, CalibrationProfile]:
        """Return the profiles known for a tenant with this reference, by calibration id; the reference's own wins."""
        if reference is None or reference.profile is None:
            return self.configured
        return {**self.configured, reference.profile.calibration_id: reference.profile}


def load_profiles(settings: Settings) -> Profiles:
    """Return the profile of `drift.profile_file`; where that is unset, of `model.checkpoint`, else of the packaged demo checkpoint.

    A checkpoint that was only guessed at may be unreadable here or without a profile: the correction is `unguarded` then.

    Raises:
        ConfigError: `drift.profile_file` is set and cannot be read, or holds no profile.
    """
    asked = settings.drift.profile_file
    if asked is not None:
        return _by_id(read_profile(asked))
    try:
        return _by_id(read_profile(settings.model.checkpoint or PACKAGED))
    except ConfigError:
        return Profiles({})


def read_profile(path: Path) -> CalibrationProfile:
    """Return the profile in a JSON file, or in the metadata of a checkpoint (`.safetensors`).

    Raises:
        ConfigError: the file cannot be read, or there is none in it.
    """
    try:
        if path.suffix != ".safetensors":
            return CalibrationProfile.model_validate_json(path.read_bytes())
        with safe_open(path, framework="numpy") as file:
            meta = orjson.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    except ValidationError as error:
        raise _unusable(path, fault_list(error, show_keys=True)) from None
    except (SafetensorError, orjson.JSONDecodeError) as error:
        raise _unusable(path, str(error)) from error
    found = meta.get("profile") if isinstance(meta, dict) else None
    if found is None:
        raise _unusable(path, "the checkpoint has no calibration profile")
    try:
        return CalibrationProfile.model_validate(found)
    except ValidationError as error:
        raise _unusable(path, fault_list(error, show_keys=True)) from None


def _by_id(profile: CalibrationProfile) -> Profiles:
    return Profiles({profile.calibration_id: profile})


def _unusable(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"the calibration profile {path} cannot be used",
        why=why,
        remedy="Name a profile or a calibrated checkpoint in DEEPTRACE_DRIFT__PROFILE_FILE; `deeptrace calibrate` puts one into every checkpoint.",
    )
