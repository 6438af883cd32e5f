"""What a verdict costs the drift worker, against the same count in a plain Faust windowed table: `python tests/bench/drift.py [--verdicts 30000]`.

Both run by themselves, one after the other, on one broker, and read the same verdicts (2 to 3 KB each, as the scoring worker writes them). CPU time is
that of the worker's process from when it is ready and idle until every verdict is counted and its offset committed; what the drift worker uses
after that, until every window is closed and published, is told apart: a plain table has nothing of the kind. Memory over a million
verdicts: tests/bench/drift_memory.py.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from support.verdicts import CLASSES, verdict

from schemas import topics
from schemas.identity import outcome_id
from schemas.topics import record_key
from schemas.verdict import REAL, LabelSet, Novelty, SourceRecord, Stability
from schemas.window import OVERALL
from streams.producer import Producer
from streams.settings import KafkaSettings
from streams.stack.broker import start_broker
from streams.topics import apply, drift_table_changelog

PARTITIONS = 4
TENANTS = ("acme", "globex", "initech")
SPAN_S = 300
PLAIN_GROUP = "plain-drift"
WORKER = """
from streams.drift.app import DriftService
from streams.logs import configure_logs
from streams.runner import run_service
from streams.settings_sources import load
settings = load().settings
configure_logs(settings.log)
raise SystemExit(run_service(lambda: DriftService(settings)))
"""


class Bench:
    """One broker, its topics, and one worker at a time."""

    def __init__(self, folder: Path, bootstrap_servers: str) -> None:
        self.folder = folder
        self.kafka = KafkaSettings(
            bootstrap_servers=bootstrap_servers, drift_group="bench-drift", partitions=PARTITIONS
        )

    async def prepare(self) -> None:
        """Create the topics, those of the plain table too."""
        await apply(self.kafka)
        changelog = NewTopic(
            f"{PLAIN_GROUP}-counts-changelog", PARTITIONS, 1, topic_configs={"cleanup.policy": "compact"}
        )
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers)
        await admin.start()
        await admin.create_topics([changelog])
        await admin.close()

    def start(self, name: str) -> "subprocess.Popen[bytes]":
        """Start the worker of this name; it reads nothing that is there already but by its group."""
        environ = {key: value for key, value in os.environ.items() if not key.startswith("DEEPTRACE_")}
        environ |= {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "DEEPTRACE_KAFKA__DRIFT_GROUP": self.kafka.drift_group,
            "DEEPTRACE_KAFKA__PARTITIONS": str(PARTITIONS),
            "DEEPTRACE_HTTP__DRIFT_PORT": "0",
            "DEEPTRACE_LABELS__ENABLED": "false",
            "DEEPTRACE_DRIFT__ALLOWED_LATENESS_S": "5",
            "DEEPTRACE_DRIFT__IDLE_CLOSE_S": "10",
            "DEEPTRACE_DRIFT__REFERENCE": orjson.dumps(dict.fromkeys(CLASSES, 1 / len(CLASSES))).decode(),
        }
        plain = [sys.executable, str(Path(__file__).parent / "plain_faust_table.py"), "worker", "-l", "warn"]
        command = [sys.executable, "-c", WORKER] if name == "drift" else plain
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(command, env=environ, cwd=self.folder, stdout=log, stderr=log)

    async def publish(self, values: Sequence[tuple[bytes, bytes]]) -> None:
        """Publish verdicts as fast as the broker takes them."""
        async with Producer(self.kafka, client_id="bench") as producer:
            for at in range(0, len(values), 500):
                await asyncio.gather(
                    *(producer.send(topics.VERDICTS, key=key, value=value) for key, value in values[at : at + 500])
                )

    async def ends(self, *names: str) -> int:
        """Return how many records were ever written to these topics."""
        async with AIOKafkaConsumer(bootstrap_servers=self.kafka.bootstrap_servers) as consumer:
            places = [TopicPartition(name, partition) for name in names for partition in range(PARTITIONS)]
            return sum((await consumer.end_offsets(places)).values())

    async def committed(self, group: str, *names: str) -> int:
        """Return up to where a group has read these topics."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers)
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(group)
        except KafkaError:  # a new broker has to make its coordinator first
            return 0
        finally:
            await admin.close()
        return sum(max(0, one.offset) for place, one in offsets.items() if place.topic in names)

    async def caught_up(self, worker: "subprocess.Popen[bytes]", group: str, *names: str) -> None:
        """Return once the group has committed all that is on these topics."""
        while await self.committed(group, *names) < await self.ends(*names):
            assert worker.poll() is None, f"the worker ended; see {self.folder}"
            await asyncio.sleep(1)

    async def windows_of_all(self) -> int:
        """Return how many images the minutes over all tenants count."""
        async with AIOKafkaConsumer(
            bootstrap_servers=self.kafka.bootstrap_servers, auto_offset_reset="earliest"
        ) as one:
            places = [TopicPartition(topics.WINDOWS, partition) for partition in range(PARTITIONS)]
            one.assign(places)
            ends, images = await one.end_offsets(places), {}
            for place, end in ends.items():
                while await one.position(place) < end:
                    for record in (await one.getmany(place, timeout_ms=1000)).get(place, []):
                        window = orjson.loads(record.value)
                        if (window["tenant"], window["window"]) == (OVERALL, "1m"):
                            images[window["window_id"]] = window["images"] + window["late"]
            return sum(images.values())


def cpu_s(worker: "subprocess.Popen[bytes]") -> float:
    """Return the CPU seconds that the process has used, its threads included."""
    fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(worker: "subprocess.Popen[bytes]") -> float:
    """Return the resident memory of the process."""
    pages = int(Path(f"/proc/{worker.pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def made_up(count: int, part: int = 0) -> list[tuple[bytes, bytes]]:
    """Return keys and values of verdicts over five minutes of two hours ago, in order; each part is the five minutes after the one before."""
    draw = random.Random(part)
    start = datetime.fromtimestamp((time.time() - 7200) // 60 * 60 + SPAN_S * part, UTC)
    records = []
    for number in range(count):
        weights = [draw.random() ** 4 for _ in CLASSES]
        probs = {name: round(weight / sum(weights), 6) for name, weight in zip(CLASSES, weights, strict=True)}
        top = max(probs, key=probs.__getitem__)
        at = start + timedelta(seconds=SPAN_S * number / count)
        one = verdict(number).model_copy(
            update={
                "outcome_id": outcome_id("bench", str(part), str(number)),
                "image_id": uuid.UUID(int=draw.getrandbits(128)).hex,
                "tenant": draw.choice(TENANTS),
                "verdict": "real" if top == REAL else "ai_generated",
                "predicted_source": top,
                "per_class_probs": probs,
                "p_generator_given_ai": {name: probs[name] for name in CLASSES if name != REAL},
                "label_set": LabelSet(coverage=0.9, labels=tuple(CLASSES[:3])),
                "novelty": Novelty(score=draw.random(), threshold=2.0, method="mahalanobis", nearest=top),
                "stability": Stability(views=3, flips=0, p_ai_min=0.5, p_ai_max=0.9),
                "source": SourceRecord(topic=topics.IMAGES, partition=0, offset=number, event_time=at, format="native"),
                "labels": {"campaign": "x" * 100, "shop": "y" * 100},
            }
        )
        records.append((record_key(one.tenant, one.image_id), one.to_bytes()))
    return records


async def measure(bench: Bench, name: str, values: Sequence[tuple[bytes, bytes]]) -> dict[str, Any]:
    """Return what one worker uses for these verdicts."""
    group = bench.kafka.drift_group if name == "drift" else PLAIN_GROUP
    changelog = drift_table_changelog(bench.kafka) if name == "drift" else f"{PLAIN_GROUP}-counts-changelog"
    reads = (topics.VERDICTS, topics.OBSERVATIONS) if name == "drift" else (topics.VERDICTS,)
    worker = bench.start(name)
    try:
        await bench.publish(values[:50])  # until these are counted, it is not ready
        await bench.caught_up(worker, group, *reads)
        before_cpu, before_written = cpu_s(worker), await bench.ends(changelog)
        before_mib = resident_mib(worker)
        await bench.publish(values)
        await bench.caught_up(worker, group, *reads)
        counted_cpu = cpu_s(worker) - before_cpu
        figures: dict[str, Any] = {"cpu_us_a_verdict": round(1e6 * counted_cpu / len(values), 1)}
        if name == "drift":
            while await bench.windows_of_all() < len(values):
                await asyncio.sleep(1)
            await asyncio.sleep(3)
            closed_cpu = cpu_s(worker) - before_cpu
            figures["cpu_us_a_verdict_windows_closed"] = round(1e6 * closed_cpu / len(values), 1)
            figures["observation_records"] = await bench.ends(topics.OBSERVATIONS)
            figures["windows"] = await bench.ends(topics.WINDOWS)
        figures["resident_mib"] = {"ready": before_mib, "after": resident_mib(worker)}
        figures["changelog_records"] = await bench.ends(changelog) - before_written
        figures["verdicts_a_changelog_record"] = round(len(values) / figures["changelog_records"], 1)
        return figures
    finally:
        worker.send_signal(signal.SIGTERM)
        try:
            worker.wait(30)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


async def memory(count: int, rounds: int) -> dict[str, Any]:
    """Return the resident memory of a drift worker after each round of verdicts."""
    with tempfile.TemporaryDirectory(prefix="bench-drift-") as folder:
        broker = start_broker(Path(folder) / "broker")
        try:
            bench = Bench(Path(folder), broker.address)
            await bench.prepare()
            worker = bench.start("drift")
            mib = []
            for part in range(rounds):
                await bench.publish(made_up(count, part))
                await bench.caught_up(worker, bench.kafka.drift_group, topics.VERDICTS, topics.OBSERVATIONS)
                mib.append(resident_mib(worker))
            worker.send_signal(signal.SIGTERM)
            worker.wait(60)
        finally:
            broker.stop()
    return {"verdicts_a_round": count, "resident_mib": mib}


async def compare(count: int) -> dict[str, Any]:
    """Measure both workers on one broker."""
    values = made_up(count)
    with tempfile.TemporaryDirectory(prefix="bench-drift-") as folder:
        broker = start_broker(Path(folder) / "broker")
        try:
            bench = Bench(Path(folder), broker.address)
            await bench.prepare()
            drift = await measure(bench, "drift", values)
            plain = await measure(bench, "plain", values)
        finally:
            broker.stop()
        ratio = plain["cpu_us_a_verdict"] / drift["cpu_us_a_verdict"]
        size = sum(len(value) for _, value in values) / len(values)
        return {
            "verdicts": count,
            "verdict_bytes": round(size),
            "drift": drift,
            "plain_faust_table": plain,
            "times_cheaper": round(ratio, 2),
        }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verdicts", type=int, default=30_000)
    parser.add_argument(
        "--rounds", type=int, default=0, help="instead: the worker's memory over so many times the verdicts"
    )
    args = parser.parse_args()
    work = memory(args.verdicts, args.rounds) if args.rounds else compare(args.verdicts)
    print(json.dumps(asyncio.run(work), indent=2))


if __name__ == "__main__":
    main()
