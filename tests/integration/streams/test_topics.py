"""`topics plan` and `apply` against a real broker that, unlike ours, creates topics by itself."""

import asyncio

import pytest

from schemas.errors import ConfigError, TopicMissing
from streams import topics
from streams.broker_access import require_access, scoring_needs
from streams.settings import KafkaSettings
from streams.stack.broker import prepare_broker
from streams.stack.launch import Launch, started

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def creative_broker(tmp_path_factory):
    """A broker with auto.create.topics.enable, as Kafka has it by default."""
    folder = tmp_path_factory.mktemp("creative")
    launch = Launch()
    server = prepare_broker(folder, port=None, launch=launch)
    properties = folder / "broker" / "server.properties"
    ours = "auto.create.topics.enable=false"
    assert ours in properties.read_text()
    properties.write_text(properties.read_text().replace(ours, "auto.create.topics.enable=true"))
    started(server, launch)
    yield server.address
    server.stop()


async def test_a_plan_creates_nothing_and_each_topic_is_created_once(creative_broker):
    """A second look finds all missing still, also after a worker has asked for them by name; of two who apply at once only one says `created`; then all is as wanted."""
    settings = KafkaSettings(bootstrap_servers=creative_broker, partitions=3)
    await topics.plan(settings)
    with pytest.raises(TopicMissing, match=r"missing topics: deeptrace\.images\.v1, "):
        await require_access(settings, scoring_needs(settings))
    assert {state.partitions for state in await topics.plan(settings)} == {None}
    both = await asyncio.gather(topics.apply(settings), topics.apply(settings))
    names = [state.spec.name for states in both for state in states if state.created]
    assert sorted(names) == sorted(spec.name for spec in topics.wanted(settings))
    assert {state.partitions for state in await topics.plan(settings)} == {3}
    assert not any(state.created for state in await topics.apply(settings))


async def test_more_replicas_than_brokers_is_a_fault_of_the_configuration(creative_broker):
    """Exit 78 with the broker's reason; the broker is well, so nobody is told to start it."""
    settings = KafkaSettings(bootstrap_servers=creative_broker, replication_factor=3, drift_group="replicated")
    with pytest.raises(ConfigError) as caught:
        await topics.apply(settings)
    assert "InvalidReplicationFactorError" in caught.value.why
    assert caught.value.message == "topics could not be created: " + ", ".join(
        state.spec.name for state in await topics.plan(settings) if state.partitions is None
    )
