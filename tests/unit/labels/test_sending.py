"""What leaves a reviewer's desk."""

import pytest
from pydantic import SecretStr
from support.labels import NOON
from support.verdicts import doubtful, verdict

from schemas.errors import ConfigError, UsageError
from streams.labels.sending import label_of, reviewer_hash

SALT = SecretStr("pepper-0123456789")


def made(of, said, true_source=None, reason=None):
    return label_of(of, said, true_source=true_source, reason=reason, reviewer="a" * 32, labelled_at=NOON)


def test_a_reviewer_is_the_same_however_the_name_is_typed():
    """And another under another salt; the name cannot be read from it."""
    anna = reviewer_hash("Anna", SALT)
    assert reviewer_hash("  ANNA ", SALT) == anna == "a546538184296e73ecc52914ca92531c"
    assert len({anna, reviewer_hash("Bert", SALT), reviewer_hash("Anna", SecretStr("other"))}) == 3


def test_without_a_salt_nobody_is_hashed():
    """Names are few enough to be tried."""
    with pytest.raises(ConfigError, match="hashed"):
        reviewer_hash("Anna", SecretStr(""))


def test_nobody_is_no_reviewer():
    """A blank name would be one for all who leave it out."""
    with pytest.raises(UsageError):
        reviewer_hash("  ", SALT)


@pytest.mark.parametrize(
    ("of", "said", "true_source"),
    [
        (verdict(), "correct", None),
        (verdict(), "correct", "flux"),
        (verdict(), "incorrect", "real"),
        (verdict(), "incorrect", "sora"),
        (verdict(), "inconclusive", None),
        (doubtful(), "incorrect", "flux"),
        (verdict(predicted_source="unknown_generator"), "correct", "sora"),
    ],
)
def test_a_label_names_its_verdict(of, said, true_source):
    """With tenant and image of the verdict itself, which nobody can mistype."""
    label = made(of, said, true_source)
    assert (label.outcome_id, label.tenant, label.image_id) == (of.outcome_id, "acme", "image-1")
    assert (label.label, label.true_source) == (said, true_source)


@pytest.mark.parametrize(
    ("said", "true_source", "reason"),
    [
        ("correct", "real", None),
        ("incorrect", "flux", None),
        ("correct", None, "x" * 257),
        ("incorrect", "y" * 65, None),
    ],
)
def test_what_makes_no_sense_is_not_sent(said, true_source, reason):
    """It would be set aside later, when nobody knows any more what was meant."""
    with pytest.raises(UsageError):
        made(verdict(), said, true_source, reason)
