"""References, checks, reports and notices against a real broker and a real store."""

import asyncio
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import SecretStr
from support import report_children
from support.drift_windows import closed, drifted
from support.fake_slack import Answer, FakeSlack
from typer.testing import CliRunner

from schemas import topics
from schemas.base import Message, rfc3339
from schemas.errors import ObjectNotFound
from schemas.window import DriftAlert, WindowSummary
from streams.cli.main import app
from streams.connecting import connect_drift
from streams.drift.metrics import DriftMetrics
from streams.drift.notices.pace import Pace
from streams.drift.notices.slack import Slack
from streams.drift.notices.telling import Notices, NoticesFromTopic
from streams.drift.reports.renderer import Renderer
from streams.drift.reports.writing import ReportWriter
from streams.producer import Producer
from streams.settings import KafkaSettings, Settings
from streams.settings_sources import load
from streams.stack.local_stack import StackInfo
from streams.topics import apply

pytestmark = [pytest.mark.integration, pytest.mark.slow]

BUCKET = "deeptrace-drift"
HOURS = 6
ENOUGH_S = 30


class Service:
    """The settings of a service on the stack, with a tenant and a group of this test's own, and its command line."""

    def __init__(self, stack: StackInfo, folder: Path) -> None:
        self.tenant = f"t-{uuid.uuid4().hex[:8]}"
        self.folder = folder
        self.begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2 * HOURS)
        self.env = {
            "DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS": stack.bootstrap_servers,
            "DEEPTRACE_KAFKA__PARTITIONS": "4",
            "DEEPTRACE_KAFKA__DRIFT_GROUP": f"drift-{self.tenant}",
            "DEEPTRACE_STORE__ENDPOINT": stack.s3_endpoint,
            "DEEPTRACE_STORE__ACCESS_KEY": stack.s3_access_key,
            "DEEPTRACE_STORE__SECRET_KEY": stack.s3_secret_key,
            "DEEPTRACE_DRIFT__MIN_IMAGES": "100",
        }
        self.settings: Settings = load(self.env).settings

    @property
    def kafka(self) -> KafkaSettings:
        return self.settings.kafka

    async def publish(self, topic: str, *messages: Message) -> None:
        """Publish under the tenant's key, in order."""
        async with Producer(self.kafka, client_id="test") as producer:
            for message in messages:
                await producer.send(topic, key=self.tenant.encode(), value=message.to_bytes())

    def windows(self, counts: dict[str, int], *, first: int) -> list[WindowSummary]:
        """Return six hours of the tenant's traffic."""
        return [
            closed(
                counts, tenant=self.tenant, hour=first + hour, start=self.begin, confidence_histogram=(0,) * 9 + (100,)
            )
            for hour in range(HOURS)
        ]

    def run(self, *arguments: str, code: int = 0) -> list[dict[str, object]]:
        """Run `deeptrace drift ... --json`; return what it printed."""
        return [json.loads(line) for line in self.say(*arguments, "--json", code=code).splitlines()]

    def say(self, *arguments: str, code: int = 0) -> str:
        """Run `deeptrace drift ...`; return what it printed for a person."""
        done = CliRunner().invoke(app, [*arguments], env=self.env)
        assert done.exit_code == code, done.output
        return done.stdout

    def has(self, key: str) -> bool:
        """Whether the drift bucket has such an object."""
        store = connect_drift(self.settings.store)
        try:
            return store.head(BUCKET, key).size_bytes > 0
        except ObjectNotFound:
            return False
        finally:
            store.close()

    async def committed(self, group: str, topic: str) -> int:
        """Return how many records of the topic a group is done with."""
        async with AIOKafkaConsumer(
            bootstrap_servers=self.kafka.bootstrap_servers, group_id=group, enable_auto_commit=False
        ) as consumer:
            places = [TopicPartition(topic, partition) for partition in range(self.kafka.partitions)]
            return sum([await consumer.committed(place) or 0 for place in places])


@pytest.fixture
def service(stack: StackInfo, tmp_path: Path) -> Iterator[Service]:
    """Topics and the drift bucket are there; no worker runs."""
    made = Service(stack, tmp_path)
    asyncio.run(apply(made.kafka))
    store = connect_drift(made.settings.store)
    store.ensure_bucket(BUCKET)
    yield made
    store.close()


def alert(tenant: str, number: int, state: str = "raised") -> DriftAlert:
    return DriftAlert(
        alert_id=f"{tenant}-{number}",
        window_id=f"w{number}",
        tenant=tenant,
        start=datetime(2026, 11, 25, tzinfo=UTC),
        end=datetime(2026, 11, 25, 1, tzinfo=UTC),
        images=100,
        state=state,
        value=0.5,
        threshold=0.25,
        shares={},
        reference={},
    )


async def until(condition, *, what: str) -> None:
    """Wait for what must come."""
    async with asyncio.timeout(ENOUGH_S):
        while not condition():
            await asyncio.sleep(0.05)
    assert condition(), what


def test_a_reference_from_its_building_to_a_check_that_fails(service):
    """Built from calm windows and used; the same traffic is steady, other traffic exits with 3, and an older version can be chosen again."""
    calm, wild = {"real": 90, "flux": 10}, {"real": 30, "flux": 70}
    asyncio.run(service.publish(topics.WINDOWS, *service.windows(calm, first=0), *service.windows(wild, first=HOURS)))
    begin, middle = rfc3339(service.begin), rfc3339(service.begin + timedelta(hours=HOURS))
    ours = ("--tenant", service.tenant)

    service.run("drift", "check", "--since", begin, *ours, code=78)
    service.run(
        "drift", "reference", "build", "--since", begin, "--until", middle, *ours, code=3
    )  # 600 images are too few
    build = ("drift", "reference", "build", "--since", begin, *ours, "--min-images", "500")
    [tried] = service.run(*build, "--until", middle, "--dry-run")
    assert service.run("drift", "reference", "history", *ours) == []
    [built] = service.run(*build, "--until", middle, "--note", "calm")
    assert (built["shares"], built["images"], built["stored"]) == ({"real": 0.9, "flux": 0.1}, 600, True)
    assert tried["shares"] == built["shares"]

    check = ("drift", "check", *ours, "--fail-on-drift", "--since")
    [steady] = service.run(*check, begin, "--until", middle)
    assert (steady["state"], steady["windows"], steady["decided"]) == ("steady", HOURS, 600)
    [drift] = service.run(*check, middle, code=3)
    assert drift["state"] == "drifting"
    assert drift["reference"]["version"] == built["version"]
    assert drift["kl_current_reference_nats"]["low"] > 0.25

    [second] = service.run(*build, "--note", "all of it")
    assert second["shares"] == {"real": 0.6, "flux": 0.4}
    service.run("drift", "reference", "set", built["version"], *ours)
    history = service.run("drift", "reference", "history", *ours)
    assert [(one["version"], one["in_use"], one["note"]) for one in history] == [
        (built["version"], True, "calm"),
        (second["version"], False, "all of it"),
    ]
    [shown] = service.run("drift", "reference", "show", *ours)
    assert shown["version"] == built["version"]

    said = service.say(*check, middle, code=3)
    assert "drifted: on raw shares KL(current || reference) is at least" in said
    assert ["real", "30.00%", "90.00%", "-", "-"] in [line.split() for line in said.splitlines()]
    assert f"version   {built['version']} (in use)" in service.say("drift", "reference", "show", *ours)
    assert f"{second['version']}, before {built['version']}" in service.say(
        "drift", "reference", "set", second["version"], *ours
    )
    assert "calm" in service.say("drift", "reference", "history", *ours)


def test_a_report_on_demand_lies_in_the_store_and_in_a_folder(service):
    """Rendered by Evidently itself, against a reference of the settings."""
    asyncio.run(service.publish(topics.WINDOWS, *service.windows({"real": 30, "flux": 70}, first=0)))
    service.env["DEEPTRACE_DRIFT__REFERENCE"] = '{"real": 0.9, "flux": 0.1}'
    begin = rfc3339(service.begin)
    [done] = service.run("drift", "report", "--since", begin, "--tenant", service.tenant, "--out", str(service.folder))
    stored, page, figures = done["written"]
    assert stored.startswith(f"{BUCKET}/reports/{service.tenant}/")
    store = connect_drift(service.settings.store)
    try:
        kept = store.get(BUCKET, stored.removeprefix(f"{BUCKET}/"), max_bytes=8 << 20, deadline_s=20).data
    finally:
        store.close()
    assert kept == Path(page).read_bytes()
    found = json.loads(Path(figures).read_bytes())
    assert found["metrics"][0]["config"]["method"] == "kl_div"
    assert found["metrics"][0]["value"] == pytest.approx(0.794, abs=0.001)  # 0.9 ln(0.9 / 0.3) + 0.1 ln(0.1 / 0.7)


async def test_slack_is_told_once_of_each_alert_through_limits_and_errors(service):
    """429 and 500 are waited out; a repeat on the topic is no second message; what was told is committed."""
    metrics = DriftMetrics()
    async with FakeSlack(Answer(429, {"Retry-After": "1"}), Answer(500)) as slack:
        teller = NoticesFromTopic(service.kafka, Notices(Slack(SecretStr(slack.url)), metrics, pace=Pace(60)))
        raised, resolved = alert(service.tenant, 1), alert(service.tenant, 2, "resolved")
        await service.publish(topics.DRIFT_ALERTS, raised, raised, resolved)
        await teller.start()
        try:
            await until(lambda: sum(service.tenant in text for text in slack.accepted) == 2, what="two messages")
        finally:
            await teller.stop()
    told = [text for text in slack.accepted if service.tenant in text]  # other tests of the session raise alerts, too
    assert "*Drift* of tenant" in told[0]
    assert "*Drift is over* of tenant" in told[1]
    assert len(slack.bodies) == len(slack.accepted) + 2
    assert await service.committed(service.kafka.notices_group, topics.DRIFT_ALERTS) >= 3


async def test_while_slack_is_away_nothing_is_committed_and_the_next_worker_tells(service):
    """The alerts are on their topic in any case."""
    unsent = alert(service.tenant, 3)
    await service.publish(topics.DRIFT_ALERTS, unsent)
    metrics = DriftMetrics()
    deaf = NoticesFromTopic(
        service.kafka, Notices(Slack(SecretStr("http://127.0.0.1:1/x")), metrics, pace=Pace(60), first_pause_s=0.1)
    )
    await deaf.start()
    await until(lambda: metrics.notices.labels("waiting")._value.get() >= 1, what="a try that failed")
    await deaf.stop()
    async with FakeSlack() as slack:
        teller = NoticesFromTopic(service.kafka, Notices(Slack(SecretStr(slack.url)), DriftMetrics(), pace=Pace(60)))
        await teller.start()
        try:
            await until(lambda: any(service.tenant in text for text in slack.texts), what="the notice")
        finally:
            await teller.stop()


async def test_the_worker_puts_the_report_of_an_alert_where_the_alert_says(service):
    """From the windows topic to the store; the process that renders is a double here."""
    window = closed(
        {"real": 30, "flux": 70},
        tenant=service.tenant,
        start=service.begin,
        reference={"real": 0.9, "flux": 0.1},
        divergences=drifted("drifting", "e1"),
    )
    metrics = DriftMetrics()
    writer = ReportWriter(
        service.settings, metrics, connect_drift(service.settings.store), renderer=Renderer(serve=report_children.echo)
    )
    await service.publish(topics.WINDOWS, window)
    await writer.start()
    try:
        await until(lambda: service.has(f"reports/{service.tenant}/{window.window_id}.html"), what="the report")
    finally:
        await writer.stop()
    assert metrics.reports.labels("written")._value.get() >= 1
