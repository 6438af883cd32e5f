"""Settings of releases that contradict each other, and the right that a shadow needs."""

import pytest

from schemas.errors import ConfigError
from schemas.topics import SHADOW_VERDICTS
from streams.broker_access import scoring_needs
from streams.settings import KafkaSettings
from streams.settings_sources import load

CHAMPION = {"DEEPTRACE_MODEL__RELEASE": "detector@champion"}


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({**CHAMPION, "DEEPTRACE_MODEL__CHECKPOINT": "model.safetensors"}, "checkpoint or release, not both"),
        ({**CHAMPION, "DEEPTRACE_MODEL__SHA256": "a" * 64}, "an alias, which moves"),
        ({**CHAMPION, "DEEPTRACE_MODEL__CLASSIFIER": "fake"}, "need the ensemble"),
        ({"DEEPTRACE_MODEL__RELEASE": "detector"}, "pattern"),
        ({"DEEPTRACE_MODEL__SHADOW_RELEASE": "detector@1.0"}, "must name an alias"),
        ({"DEEPTRACE_STORE__MODEL_BUCKET": "deeptrace-images"}, "a bucket of its own"),
    ],
    ids=str,
)
def test_what_contradicts_itself_is_refused(environ, said):
    """At start, with what to give instead."""
    with pytest.raises(ConfigError) as caught:
        load(environ)
    assert said in caught.value.why


def test_a_version_may_be_pinned_by_its_hash_as_well():
    """It never moves."""
    loaded = load({"DEEPTRACE_MODEL__RELEASE": "detector@1.0", "DEEPTRACE_MODEL__SHA256": "a" * 64})
    assert loaded.settings.model.release == "detector@1.0"


def test_only_a_worker_with_a_shadow_needs_the_shadow_topic():
    """To write, not to read."""
    plain, with_shadow = scoring_needs(KafkaSettings()), scoring_needs(KafkaSettings(), shadow=True)
    assert SHADOW_VERDICTS not in plain.topics
    assert set(with_shadow.topics) - set(plain.topics) == {SHADOW_VERDICTS}
    assert SHADOW_VERDICTS not in with_shadow.reads
