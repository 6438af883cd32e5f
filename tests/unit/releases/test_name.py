"""How a release is written."""

import pytest

from schemas.errors import UsageError
from streams.releases.name import ReleaseName


def test_an_alias_and_a_version_are_told_apart():
    """`champion` moves, `1.2.0` does not."""
    assert ReleaseName.parse("detector@champion") == ReleaseName("detector", alias="champion")
    assert ReleaseName.parse("detector@1.2.0+cu13") == ReleaseName("detector", version="1.2.0+cu13")


def test_without_a_model_it_is_the_detector():
    """As a person types it."""
    assert str(ReleaseName.of("1.2.0")) == "detector@1.2.0"
    assert str(ReleaseName.of("faces@shadow")) == "faces@shadow"


@pytest.mark.parametrize(
    "text", ["detector", "detector@", "@1", "Detector@1", "detector@../1", "detector@aliases", "a@b@c"]
)
def test_what_is_no_release_is_refused(text):
    """Also what would leave its folder, and the folder of the aliases itself."""
    with pytest.raises(UsageError, match="not a release"):
        ReleaseName.parse(text)
