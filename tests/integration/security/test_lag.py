"""How far a group is behind, asked with the rights that a worker has and no others."""

import pytest
from support.secure_world import DRIFT_WORKER

from schemas.errors import NotPermitted
from streams.lag import group_lag

pytestmark = [pytest.mark.integration, pytest.mark.slow]

IMAGES, VERDICTS = "deeptrace.images.v1", "deeptrace.verdicts.v1"


async def test_a_worker_may_ask_how_far_its_own_group_is_behind(secured):
    """Reading a topic and being in a group are enough; nothing more has to be granted for the metrics."""
    kafka = secured.settings.kafka
    [found] = await group_lag(kafka, kafka.group, [IMAGES])
    assert set(found.partitions) == set(range(kafka.partitions))


async def test_the_lag_of_another_group_is_refused_in_words(secured):
    """A drift worker has no rights in the group of the scoring workers, unless somebody grants Describe; it is told so, and does not hang."""
    kafka = secured.settings_with(DEEPTRACE_KAFKA__SASL_USERNAME=DRIFT_WORKER).kafka
    with pytest.raises(NotPermitted) as raised:
        await group_lag(kafka, kafka.group, [VERDICTS])
    assert kafka.group in str(raised.value) + (raised.value.why or "")
