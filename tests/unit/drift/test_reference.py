"""The reference distribution: where it comes from, and what is refused."""

import pytest

from schemas.errors import ConfigError
from streams.drift.reference import FLOOR, Reference, load_reference
from streams.settings import DriftSettings


def test_no_reference_is_none() -> None:
    """Without a reference there is nothing to compare with."""
    assert load_reference(DriftSettings()) is None


def test_from_settings() -> None:
    """The shares of the settings are taken as they are."""
    assert load_reference(DriftSettings(reference={"real": 0.75, "flux": 0.25})) == Reference(
        {"real": 0.75, "flux": 0.25}
    )


def test_from_file(tmp_path) -> None:
    """A JSON file says the same."""
    path = tmp_path / "reference.json"
    path.write_text('{"real": 0.75, "flux": 0.25}')
    assert load_reference(DriftSettings(reference_file=path)) == Reference({"real": 0.75, "flux": 0.25})


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "EOF"),
        ("[0.5, 0.5]", "should be an object"),
        ('{"real": 1.5}', "real: Input should be less than or equal to 1"),
        ('{"real": 0.5, "flux": 0.4}', "sum to 0.900000"),
        ('{"flux": 1.0}', "'real' is missing"),
    ],
)
def test_a_faulty_file_is_refused_with_the_reason(tmp_path, content, why) -> None:
    """The worker refuses to start and says what is wrong with the file."""
    path = tmp_path / "reference.json"
    path.write_text(content)
    with pytest.raises(ConfigError) as refusal:
        load_reference(DriftSettings(reference_file=path))
    assert why in refusal.value.why


def test_a_missing_file_is_refused(tmp_path) -> None:
    """A file that is not there is a configuration error, not a missing reference."""
    with pytest.raises(ConfigError, match="No such file"):
        load_reference(DriftSettings(reference_file=tmp_path / "none.json"))


def test_unknown_classes_get_the_floor() -> None:
    """A class that the reference does not know takes part with a small share; all sum to 1."""
    shares = Reference({"real": 1.0, "flux": 0.0}).over(["unknown_generator"])
    assert list(shares) == ["real", "flux", "unknown_generator"]
    assert shares["unknown_generator"] == shares["flux"] == pytest.approx(FLOOR, rel=0.01)
    assert sum(shares.values()) == pytest.approx(1)
