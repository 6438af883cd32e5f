"""What a drift worker needs on the broker for what runs beside its windows."""

from streams.broker_access import kafka_acls, notice_needs, report_needs
from streams.settings import KafkaSettings

KAFKA = KafkaSettings(drift_group="d")


def test_telling_slack_needs_the_alerts_and_a_group_of_its_own():
    """No right to write: the commands have no empty one."""
    assert [line.split("--operation ")[1] for line in kafka_acls(notice_needs(KAFKA), "User:d", "kafka:9092")] == [
        "Read --topic deeptrace.drift-alerts.v1",
        "Read --group d-notices",
    ]


def test_reports_need_the_windows_and_a_group_of_their_own():
    """The alerts are told by the windows."""
    needs = report_needs(KAFKA)
    assert (needs.reads, needs.writes, needs.group) == (("deeptrace.windows.v1",), (), "d-reports")
