"""What a worker needs on the broker, how it is asked for, and how it is granted."""

from aiokafka.protocol.types import Array, Int32

from streams.broker_access import (
    Allowed,
    Needs,
    drift_needs,
    kafka_acls,
    label_needs,
    narrator_needs,
    replay_needs,
    scoring_needs,
)
from streams.kafka_requests import (
    AllowedOnGroup,
    AllowedOnTopics,
    DescribeGroupsRequestV3,
    MetadataRequestV8,
    MetadataResponseV8,
)
from streams.settings import KafkaSettings

READ, WRITE, DESCRIBE = 1 << 3, 1 << 4, 1 << 8
NEEDS = Needs(role="worker", reads=("in", "retry"), writes=("out", "retry"), group="workers")


def allowed(on_group: int = READ | DESCRIBE, **operations: int) -> Allowed:
    return Allowed(operations, frozenset(), frozenset(), on_group)


def test_a_worker_with_its_rights_lacks_none():
    """More than it needs does not matter here."""
    assert allowed(**{"in": READ, "out": WRITE | DESCRIBE, "retry": READ | WRITE}).lacking(NEEDS) == []


def test_each_right_that_is_missing_is_named():
    """As kafka-acls names it; the right to see a topic is neither the right to read nor to write it."""
    assert allowed(0, **{"in": DESCRIBE, "out": READ, "retry": READ}).lacking(NEEDS) == [
        "Read on topic in",
        "Write on topic out",
        "Write on topic retry",
        "Read on group workers",
    ]


def test_a_topic_that_is_not_even_seen_lacks_everything():
    """It is not among the answer."""
    assert allowed().lacking(NEEDS)[:2] == ["Read on topic in", "Read on topic retry"]


def test_the_scoring_worker_needs_its_topics_and_as_many_retry_topics_as_there_are_delays():
    """No more: neither windows nor observations, and no right to create."""
    assert scoring_needs(KafkaSettings(group="g", retry_delays_s=(1, 2))) == Needs(
        role="scoring worker",
        reads=("deeptrace.images.v1", "deeptrace.images.v1.retry.1", "deeptrace.images.v1.retry.2"),
        writes=(
            *("deeptrace.verdicts.v1", "deeptrace.images.v1.dlq"),
            *("deeptrace.images.v1.retry.1", "deeptrace.images.v1.retry.2"),
        ),
        group="g",
    )


def test_the_drift_worker_needs_to_read_and_write_its_own_two_topics():
    """Observations and the changelog; the rest goes one way."""
    needs = drift_needs(KafkaSettings(drift_group="d"))
    assert set(needs.reads) & set(needs.writes) == {"deeptrace.observations.v2", "d-windows-changelog"}
    assert set(needs.reads) - set(needs.writes) == {"deeptrace.verdicts.v1"}
    assert set(needs.writes) - set(needs.reads) == {"deeptrace.windows.v1", "deeptrace.drift-alerts.v1"}


def test_a_drift_worker_that_joins_labels_has_a_group_of_its_own_for_them():
    """Beside the group of the windows, and after its name."""
    assert label_needs(KafkaSettings(drift_group="d")) == Needs(
        role="drift worker that joins labels",
        reads=("deeptrace.labels.v1", "deeptrace.labelled.v1"),
        writes=("deeptrace.labelled.v1",),
        group="d-labels",
    )


def test_the_narrator_reads_verdicts_and_writes_explanations():
    """Nothing else: it has no part in what becomes of a reference."""
    assert narrator_needs(KafkaSettings(narrator_group="n")) == Needs(
        role="narrator", reads=("deeptrace.verdicts.v1",), writes=("deeptrace.explanations.v1",), group="n"
    )


def test_the_commands_that_grant_them_are_ready_to_be_pasted():
    """Quoted, since a principal may hold spaces."""
    assert kafka_acls(NEEDS, "User:a worker", "kafka:9092") == [
        f"kafka-acls.sh --bootstrap-server kafka:9092 --command-config admin.properties --add --allow-principal 'User:a worker' {rest}"
        for rest in (
            "--operation Read --topic in --topic retry",
            "--operation Write --topic out --topic retry",
            "--operation Read --group workers",
        )
    ]


def test_a_replay_reads_verdicts_and_its_own_topic_and_writes_that_alone():
    """In a group of its own; nothing that is live is written."""
    assert replay_needs(KafkaSettings(replay_group="r"), "history") == Needs(
        role="replay",
        reads=("deeptrace.verdicts.v1", "deeptrace.verdicts.replay.v1"),
        writes=("deeptrace.verdicts.replay.v1",),
        group="r-history",
    )


def test_the_rights_of_replays_are_granted_once_for_all_of_their_groups():
    """Their names are chosen from day to day; topics are not meant by the prefix."""
    *on_topics, on_groups = kafka_acls(replay_needs(KafkaSettings()), "User:replayer", "kafka:9092")
    assert on_groups.endswith("--operation Read --group deeptrace-replay- --resource-pattern-type prefixed")
    assert not any("prefixed" in command for command in on_topics)


def test_the_question_about_topics_is_written_as_the_protocol_wants_it():
    """Metadata version 8: names, then: create none, nothing about the cluster, but what is allowed on the topics."""
    request = AllowedOnTopics(["in"]).prepare({3: (0, 13)})
    assert isinstance(request, MetadataRequestV8)
    assert request.encode() == b"\0\0\0\x01\0\x02in\0\0\x01"


def test_the_question_about_a_group_is_written_as_the_protocol_wants_it():
    """DescribeGroups version 3."""
    request = AllowedOnGroup("g").prepare({15: (0, 6)})
    assert isinstance(request, DescribeGroupsRequestV3)
    assert request.encode() == b"\0\0\0\x01\0\x01g\x01"


def test_the_answer_about_topics_is_read():
    """One topic, one partition, written out by hand from the protocol's definition."""
    one = Array(Int32).encode([1])
    partition = b"\0\0" + b"\0\0\0\0" + b"\0\0\0\x01" + b"\0\0\0\x07" + one + one + b"\0\0\0\0"
    topic = b"\0\0" + b"\0\x02in" + b"\0" + b"\0\0\0\x01" + partition + b"\0\0\x01\x08"
    broker = b"\0\0\0\x01" + b"\0\x04host" + b"\0\0\x23\x84" + b"\xff\xff"
    data = (
        *(b"\0\0\0\0", b"\0\0\0\x01", broker, b"\0\x01c", b"\0\0\0\x01"),
        *(b"\0\0\0\x01", topic, b"\x80\0\0\0"),
    )
    answer = MetadataResponseV8.decode(b"".join(data))
    assert answer.brokers == [(1, "host", 9092, None)]
    assert answer.topics == [(0, "in", False, [(0, 0, 1, 7, [1], [1], [])], READ | DESCRIBE)]
