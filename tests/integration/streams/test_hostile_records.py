"""Records that are made to end or to drown whoever reads the topic, on a real broker and through a real worker."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError
from support.world import IMAGES, LETTERS, native, picture

from streams.stack.ports import free_ports

pytestmark = [pytest.mark.integration, pytest.mark.slow]

# aiokafka's producer in Python takes a name that turns itself into bytes, as clients in other languages take bytes.
SEND_RAW_NAME = """
import asyncio, sys
from aiokafka import AIOKafkaProducer

class Raw(str):
    def encode(self, *_):
        return bytes.fromhex("fffe00c3")

async def main():
    async with AIOKafkaProducer(bootstrap_servers=sys.argv[1], acks="all") as producer:
        await producer.send_and_wait(sys.argv[2], b"{}", key=b"raw", partition=0, headers=[(Raw("x"), b"1")])

asyncio.run(main())
"""


async def raw_letters(world) -> list[tuple[bytes | None, list[tuple[str, bytes]]]]:
    consumer = AIOKafkaConsumer(LETTERS, bootstrap_servers=world.info.bootstrap_servers, auto_offset_reset="earliest")
    found = []
    async with consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [(record.key, list(record.headers)) for record in records]
    return found


async def test_a_header_name_that_is_no_utf8_is_a_dead_letter_and_what_follows_is_judged(world):
    """It used to end the consumer within the fetch, and each one after it: the partition stood still for good."""
    world.put("good", picture(1))
    worker = world.worker()
    await world.publish([native(f"before-{n}", "good") for n in range(8)])
    sender = world.start(
        "-c", SEND_RAW_NAME, world.info.bootstrap_servers, IMAGES, log="sender.log", AIOKAFKA_NO_EXTENSIONS="1"
    )
    assert await asyncio.to_thread(sender.wait, 60) == 0, (world.folder / "sender.log").read_text()
    await world.publish([native(f"after-{n}", "good") for n in range(8)])
    await world.wait_for_outcomes(17, timeout_s=90)
    [(key, headers)] = await raw_letters(world)
    assert key == b"raw"
    assert ("\ufffd\ufffd\x00\ufffd", b"1") in headers
    assert worker.poll() is None
    audit = await asyncio.to_thread(world.run, "dlq", "list", "--json")
    assert "message_invalid" in audit.stdout


async def test_a_batch_that_unpacks_to_gigabytes_does_not_get_onto_the_topic(world):
    """150 MiB of zeros are 150 kB compressed; the broker unpacks them itself, and refuses. Small ones pass, compressed too."""
    async with AIOKafkaProducer(
        bootstrap_servers=world.info.bootstrap_servers, compression_type="gzip", max_request_size=1 << 30
    ) as producer:
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(IMAGES, bytes(150 << 20))
        await producer.send_and_wait(IMAGES, bytes(900 << 10))


async def test_records_of_every_odd_kind_have_an_outcome_each(world):
    """No value, an empty key, a thousand headers, a value as large as the topic takes, a timestamp of 1970."""
    worker = world.worker()
    odd = [
        {"value": None, "key": b"tombstone"},
        {"value": b"", "key": b""},
        {"value": b"{}", "headers": [(f"h{n}", b"x" * 50) for n in range(1000)]},
        {"value": b"{}", "headers": [("", b""), ("ce_id", b"")]},
        {"value": b"\x01" * (900 << 10)},
        {"value": b"{}", "timestamp_ms": 0},
        {"value": b"[" * 60_000},
        {"value": b"{}", "key": b"\xff" * 5000},
    ]
    async with AIOKafkaProducer(bootstrap_servers=world.info.bootstrap_servers, max_request_size=1 << 20) as producer:
        for record in odd:
            await producer.send_and_wait(IMAGES, **record)
    await world.wait_for_outcomes(len(odd), timeout_s=90)
    letters = await raw_letters(world)
    assert len({dict(headers)["dt-outcome-id"] for _, headers in letters}) == len(odd)
    assert worker.poll() is None


@pytest.mark.parametrize(
    ("sandbox", "said"), [("auto", b"deeptrace_decoders_sandboxed 1.0"), ("off", b"deeptrace_decoders_sandboxed 0.0")]
)
async def test_a_worker_says_whether_its_decoders_sit_in_the_sandbox(world, http, sandbox, said):
    """In a metric, and in the log where they do not."""
    [port] = free_ports(1)
    world.put("good", picture(1))
    await world.publish([native("event", "good")])
    world.worker(DEEPTRACE_HTTP__PORT=str(port), DEEPTRACE_DECODE__SANDBOX=sandbox)
    await world.wait_for_outcomes(1, timeout_s=90)
    _, metrics = await asyncio.to_thread(http, f"http://127.0.0.1:{port}/metrics")
    assert said in metrics
    assert ("decoders are not sandboxed" in (world.folder / "worker.log").read_text()) == (sandbox == "off")
