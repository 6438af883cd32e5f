"""What the commands about drift take, and what they say of classes that do not fit."""

import pytest

from schemas.errors import UsageError
from streams.cli.drift_reference import checked_tenant, foreign
from streams.drift.reference import Reference


@pytest.mark.parametrize("tenant", ["acme", "a.b-c_1", "*"])
def test_a_tenant_is_taken_as_it_is(tenant):
    """A star is all of them."""
    assert checked_tenant(tenant) == tenant


@pytest.mark.parametrize("tenant", ["", "_all", "../images", "a/b", "a b"])
def test_what_can_be_no_tenant_is_refused(tenant):
    """It would be a key of somebody else's."""
    with pytest.raises(UsageError, match="not a tenant"):
        checked_tenant(tenant)


def test_a_reference_of_other_classes_is_warned_of():
    """What it does not know counts as a tenth of a percent; what it has and nobody sees is said, too."""
    reference = Reference({"real": 0.9, "old": 0.0995, "rare": 0.0005})
    assert foreign(reference, {"real", "flux"}) == [
        "the reference does not know flux: taken as 0.1% of normal traffic",
        "nothing was called old, which the reference has",
    ]
    assert foreign(reference, {"real", "old"}) == []
