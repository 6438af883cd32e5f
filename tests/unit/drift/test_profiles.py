"""Where calibration profiles come from."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from support.simulated_answers import SimulatedModel

from schemas.calibration import CalibrationProfile
from schemas.errors import ConfigError
from streams.drift.profiles import Profiles, load_profiles, read_profile
from streams.drift.reference import Reference
from streams.settings import DriftSettings, ModelSettings, Settings


@pytest.fixture
def profile() -> CalibrationProfile:
    """One of 20 images a class."""
    return SimulatedModel().profile(np.random.default_rng(1), 20, calibration_id="c1")


def checkpoint(path: Path, meta: dict) -> Path:
    """Write a checkpoint that says this of itself."""
    save_file({"w": np.zeros(1, np.float32)}, path, metadata={"deeptrace": json.dumps(meta)})
    return path


def settings(profile_file: Path | None = None, model: Path | None = None) -> Settings:
    """Settings with these files."""
    return Settings(drift=DriftSettings(profile_file=profile_file), model=ModelSettings(checkpoint=model))


def test_from_a_file(tmp_path, profile) -> None:
    """JSON, as `CalibrationProfile` is written."""
    path = tmp_path / "profile.json"
    path.write_bytes(profile.to_bytes())
    assert load_profiles(settings(path)).configured == {"c1": profile}


def test_from_a_checkpoint(tmp_path, profile) -> None:
    """What `deeptrace calibrate` left in the metadata of the file."""
    path = checkpoint(tmp_path / "m.safetensors", {"version": "1", "profile": json.loads(profile.to_bytes())})
    assert load_profiles(settings(path)).configured == {"c1": profile}
    assert load_profiles(settings(model=path)).configured == {"c1": profile}


def test_a_checkpoint_without_one_is_unguarded(tmp_path) -> None:
    """Where nobody named a profile, none is no error."""
    path = checkpoint(tmp_path / "m.safetensors", {"version": "1"})
    assert load_profiles(settings(model=path)).configured == {}


def test_a_named_one_must_be_there(tmp_path) -> None:
    """Who asks for a guard does not go without it unnoticed."""
    path = checkpoint(tmp_path / "m.safetensors", {"version": "1"})
    with pytest.raises(ConfigError, match="cannot be used"):
        load_profiles(settings(path))


@pytest.mark.parametrize(
    ("name", "content"),
    [("p.json", b"{}"), ("p.json", b"no json"), ("p.safetensors", b"no checkpoint"), ("p.safetensors", b"")],
)
def test_what_is_none_is_refused(tmp_path, name, content) -> None:
    """With the name of the file, and without a traceback of a library."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=name):
        read_profile(path)


def test_a_missing_file_is_refused(tmp_path) -> None:
    """It is named."""
    for name in ("gone.json", "gone.safetensors"):
        with pytest.raises(ConfigError, match=name):
            read_profile(tmp_path / name)


def test_a_checkpoint_with_a_broken_profile_is_refused(tmp_path) -> None:
    """Metadata from elsewhere under our name is no profile."""
    with pytest.raises(ConfigError, match="cannot be used"):
        read_profile(checkpoint(tmp_path / "m.safetensors", {"profile": {"calibration_id": 3}}))


def test_the_reference_brings_its_own(profile) -> None:
    """A stored reference knows the profile of the model it was built with, beside the configured one."""
    other = profile.model_copy(update={"calibration_id": "c2"})
    known = Profiles({"c1": profile})
    assert known.beside(None) == {"c1": profile}
    assert known.beside(Reference({"real": 1.0}, profile=other)) == {"c1": profile, "c2": other}
